# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a robot that follows a policy, each as a context in which it does.

A fault says why the executor may hold because of it, and where that is certain, after how long it
must. ``doc/safety.md`` has the stated times; the chunk that is being executed lasts that long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from test.system import bad_messages
from test.system.faulty_ring import FaultyRing
from test.system.parameter_faults import PARAMETERS, bad_parameters, parameters_changed
from vla_ros.core import hold_reasons as reasons

CHUNK_S = 32 / 30
# What comes of an answer that does not come, or of a server that has just begun.
_NO_ANSWER = frozenset(
    {reasons.SERVER_SILENT, reasons.SERVER_UNAVAILABLE, reasons.STARVED, reasons.POLICY_ERROR}
)
_EVERY_PARAMETER = frozenset(
    {reasons.PAUSED, reasons.WAITING, reasons.NOT_FOLLOWING, reasons.BAD_CHUNK, reasons.STOPPED}
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to go wrong.

    Attributes:
        name: Its name in the report.
        strike: It goes wrong inside this context.
        lasts_s: How long at least and at most.
        reasons: Why the executor may hold. It may always be that it has no chunk yet.
        holds_after_s: After this it must hold; None: it need not.
    """

    name: str
    strike: Callable[[FaultyRing], AbstractContextManager[None]]
    lasts_s: tuple[float, float]
    reasons: frozenset[str] = frozenset()
    holds_after_s: float | None = None


def all_faults() -> tuple[Fault, ...]:
    """Every fault there is."""
    return (*_policy_faults(), *_sensor_faults(), *_executor_faults(), *_message_faults())


def _policy_faults() -> tuple[Fault, ...]:
    gone = partial(Fault, reasons=_NO_ANSWER, holds_after_s=CHUNK_S)
    return (
        gone("server stalled", lambda ring: ring.frozen("policy_server"), (0.5, 4.0)),
        gone("server killed", lambda ring: ring.killed("policy_server"), (0.0, 3.0)),
        gone("network cut", _network_cut, (0.3, 4.0)),
        gone("network silent", _network_silent, (0.3, 4.0)),
        Fault("network slow", _network_slow, (2.0, 5.0), _NO_ANSWER),
        gone("inference killed", lambda ring: ring.killed("inference"), (0.0, 2.0)),
        Fault(
            "aggregator killed",
            lambda ring: ring.killed("aggregator"),
            (0.0, 2.0),
            _NO_ANSWER | {reasons.STALE_CAMERA, reasons.STALE_STATE},  # until it has seen them
            CHUNK_S,
        ),
    )


def _sensor_faults() -> tuple[Fault, ...]:
    # A world that stands still is late for a moment when it goes on.
    stale_camera = frozenset({reasons.STALE_CAMERA, reasons.STARVED})
    stale_state = frozenset({reasons.STALE_STATE, reasons.STARVED})
    camera = partial(Fault, reasons=stale_camera, holds_after_s=CHUNK_S + 0.2)
    joints = partial(Fault, reasons=stale_state, holds_after_s=0.1)
    return (
        camera("cameras frozen", lambda ring: ring.frozen("relay_Image"), (0.2, 3.0)),
        camera("cameras killed", lambda ring: ring.killed("relay_Image"), (0.0, 2.0)),
        joints("joint states frozen", lambda ring: ring.frozen("relay_JointState"), (0.05, 2.0)),
        joints("joint states killed", lambda ring: ring.killed("relay_JointState"), (0.0, 1.0)),
        Fault(
            "robot frozen",
            lambda ring: ring.frozen("simulation"),
            (0.05, 1.5),
            stale_camera | stale_state,
            0.1,
        ),
    )


def _executor_faults() -> tuple[Fault, ...]:
    stopped = frozenset({reasons.STOPPED})
    inactive = frozenset({reasons.DEACTIVATED, reasons.STALE_STATE})
    # Until the nodes have found each other, a request may come to nothing.
    begun_anew = frozenset({reasons.STALE_STATE, reasons.DEACTIVATED, reasons.SERVER_SILENT})
    changed = partial(Fault, lasts_s=(0.5, 3.0), reasons=_EVERY_PARAMETER | _NO_ANSWER)
    return (
        Fault("stop and start", lambda ring: ring.stopped(), (0.6, 2.0), stopped, 0.1),
        Fault("stops and starts at random", _buttons, (1.0, 2.0), stopped),
        Fault("reset", _reset, (0.2, 1.0)),
        Fault(
            "executor frozen",
            lambda ring: ring.frozen("executor"),
            (0.03, 1.0),
            frozenset({reasons.STALE_STATE, reasons.STARVED, reasons.SERVER_SILENT}),
        ),
        Fault(
            "executor killed",
            lambda ring: ring.executor_gone(politely=False),
            (0.0, 1.0),
            begun_anew,
        ),
        Fault(
            "executor ended", lambda ring: ring.executor_gone(politely=True), (0.0, 1.0), begun_anew
        ),
        Fault("deactivated", lambda ring: ring.inactive(cleaned_up=False), (0.2, 1.5), inactive),
        Fault(
            "cleaned up",
            lambda ring: ring.inactive(cleaned_up=True),
            (0.2, 1.5),
            inactive | stopped,
        ),
        changed("a parameter changed", parameters_changed(1)),
        changed("some parameters changed", parameters_changed(4)),
        changed("all parameters changed", parameters_changed(PARAMETERS)),
        Fault("bad parameters", bad_parameters, (0.2, 0.5)),
    )


def _message_faults() -> tuple[Fault, ...]:
    dropped = frozenset({reasons.BAD_CHUNK, reasons.STARVED})
    # An observation or a failure that nobody asked for may take the place of one that was.
    confused = _NO_ANSWER | dropped | {reasons.STALE_CAMERA, reasons.STALE_STATE}
    return (
        Fault("malformed chunks", _said(bad_messages.malformed_chunks), (0.3, 1.0), dropped),
        Fault("chunks out of place", _said(bad_messages.misplaced_chunks), (0.3, 1.0), dropped),
        Fault("chunks far away", _said(bad_messages.far_chunks), (0.3, 1.5), dropped),
        Fault("absurd chunks", _said(bad_messages.absurd_chunks), (0.3, 1.0), dropped),
        Fault("garbage requests", _said(bad_messages.requests), (0.3, 1.0), confused),
        Fault("garbage observations", _said(bad_messages.observations), (0.3, 1.0), confused),
        Fault("garbage failures", _said(bad_messages.failures), (0.3, 1.0), confused),
        Fault(
            "garbage from sensors",
            _said(bad_messages.sensor_data),
            (0.3, 1.0),
            confused,
        ),
        Fault("another instruction", _other_instruction, (0.5, 2.0), frozenset({reasons.STARVED})),
        Fault(
            "senseless instruction",
            _senseless_instruction,
            (0.5, 2.0),
            frozenset({reasons.POLICY_ERROR, reasons.STARVED}),
        ),
    )


@contextmanager
def _network_cut(ring: FaultyRing) -> Iterator[None]:
    ring.proxy.cut()
    yield
    ring.proxy.mend()


@contextmanager
def _network_silent(ring: FaultyRing) -> Iterator[None]:
    """Nothing comes through; at the end it does, or the connection is lost."""
    ring.proxy.swallow()
    yield
    if ring.random.random() < 0.5:
        ring.proxy.cut()
    ring.proxy.mend()


@contextmanager
def _network_slow(ring: FaultyRing) -> Iterator[None]:
    ring.proxy.delay_s = ring.random.uniform(0.1, 1.5)
    yield
    ring.proxy.delay_s = 0.0


def _said(
    messages: Callable[[FaultyRing], Iterator[tuple[Any, str]]],
) -> Callable[[FaultyRing], AbstractContextManager[None]]:
    """Somebody says something that nobody asked for, message by message."""

    @contextmanager
    def strike(ring: FaultyRing) -> Iterator[None]:
        for message, topic in messages(ring):
            ring.say(message, topic)
            ring.spin_for(ring.random.uniform(0.0, 0.1))
        yield

    return strike


@contextmanager
def _buttons(ring: FaultyRing) -> Iterator[None]:
    """Every service again and again, in any order; at the end it is started."""
    for _ in range(ring.random.randint(2, 6)):
        name = ring.random.choice(["stop", "start", "reset"])
        if name == "stop":
            with ring.stopped():
                ring.spin_for(ring.random.uniform(0.0, 0.3))
                if ring.random.random() < 0.5:
                    ring.call(ring.random.choice(["stop", "reset"]))
        else:
            ring.call(name)
        ring.spin_for(ring.random.uniform(0.0, 0.5))
    yield


@contextmanager
def _reset(ring: FaultyRing) -> Iterator[None]:
    ring.call("reset")
    yield


@contextmanager
def _other_instruction(ring: FaultyRing) -> Iterator[None]:
    colour = ring.random.choice(["red", "green", "blue"])
    ring.instruct(f"put the {colour} cube on the plate")
    yield
    ring.instruct(ring.instruction)


@contextmanager
def _senseless_instruction(ring: FaultyRing) -> Iterator[None]:
    ring.instruct(ring.random.choice(["dance", "\x00", "x" * 100_000, "put the cube"]))
    yield
    ring.instruct(ring.instruction)
