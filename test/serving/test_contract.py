# SPDX-License-Identifier: Apache-2.0
"""What holds for each protocol: our client against our server, over a socket.

What only one of them does is tested with its client (test/backends) and its front (here).
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import STAMP_NS, moves, observation, policy
from test.support.protocols import ACT_POLICY, POLICY, PROTOCOLS, Spoken
from test.support.served import served
from vla_ros.backends.base import PolicyBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import (
    ActionError,
    BackendError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
)
from vla_ros.core.observation import Observation, ObservationRequest, Prefix

LONG_S = 10.0
TIMEOUT_S = 0.3
MARGIN_S = 0.5
AGAIN_WITHIN_S = 5.0
TEXT = "the arm is tied: joint 3 must be 0 to 1.5, found -0.25 (\N{GREEK SMALL LETTER ALPHA})"

each = pytest.mark.parametrize("spoken", PROTOCOLS, ids=lambda spoken: spoken.name)


class Gated(GoldenBackend):
    """Thinks until it is let go; the golden actions, further by the first value of the state."""

    def __init__(self) -> None:
        super().__init__(policy=policy(POLICY))
        self.thinking, self.go = threading.Event(), threading.Event()
        self.go.set()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.thinking.set()
        assert self.go.wait(LONG_S)
        self.actions = moves() + observation.state[0]
        return super().infer(observation, prefix)

    def shut(self) -> None:
        """Have the next inference hang."""
        self.go.clear()
        self.thinking.clear()


class Counting(GoldenBackend):
    """Remembers its client's episode: each action is the number of the observation."""

    per_client = True

    def __init__(self, **facts: Any) -> None:
        super().__init__(**{"policy": policy(POLICY), **facts})
        self.count = 0

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.count += 1
        self.actions = np.full(moves().shape, self.count * 0.125)
        return super().infer(observation, prefix)

    def reset(self) -> None:
        self.count = 0

    def another(self) -> Counting:
        return Counting(policy=self.policy)


@pytest.fixture
def backend() -> Iterator[Gated]:
    made = Gated()
    yield made
    made.go.set()


@pytest.fixture
def client() -> Iterator[Callable[..., PolicyBackend]]:
    """Makes clients, and closes them twice."""
    made: list[PolicyBackend] = []

    def make(spoken: Spoken, port: int, text: str = "", **config: Any) -> PolicyBackend:
        made.append(spoken.connect_to(port, text, **config))
        return made[-1]

    yield make
    for item in made:
        item.close()
        item.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


@contextmanager
def at_work(backend: GoldenBackend, spoken: Spoken, *options: str) -> Iterator[int]:
    with served(backend, "--protocol", spoken.name, *options) as port:
        yield port


def expected(spoken: Spoken) -> np.ndarray:
    """The first chunk of an episode; an ACT server answers with its first action."""
    return moves()[: policy(spoken.text).horizon]


def until_it_works(ours: PolicyBackend, **changed: Any) -> ActionChunk:
    """The first chunk that comes, within a time."""
    deadline_s = time.monotonic() + AGAIN_WITHIN_S
    while True:
        try:
            return ours.infer(observation(**changed))
        except BackendError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.01)


@each
def test_a_client_connects_and_gets_what_the_policy_says(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=False)
    with at_work(backend, spoken) as port:
        ours = client(spoken, port)
        info = ours.connect()
        before_ns = time.time_ns()
        chunk = ours.infer(observation(request=request))

    assert str(port) in info.description
    np.testing.assert_allclose(chunk.actions, expected(spoken), rtol=1e-6)
    assert chunk.names == policy(POLICY).action_names
    assert (chunk.stamp_ns, chunk.step_ns) == (STAMP_NS, policy(POLICY).step_ns)
    assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (7, 2, 5)
    assert before_ns <= chunk.timing.sent_ns <= chunk.timing.received_ns <= time.time_ns()
    [seen] = backend.seen
    np.testing.assert_allclose(seen.state, observation().state, rtol=1e-6)
    for name, image in observation().images.items():
        np.testing.assert_array_equal(seen.images[name], image)


@each
def test_a_policy_that_hangs_costs_no_more_than_its_time(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours = client(spoken, port, timeout_s=TIMEOUT_S)
        ours.connect()
        ours.infer(observation())
        backend.shut()
        for text in (r"gave no answer .*within 0\.\d\d s", "is still busy with an earlier"):
            started_s = time.monotonic()
            with pytest.raises(BackendSilent, match=text):
                ours.infer(observation())
            assert time.monotonic() - started_s < TIMEOUT_S + MARGIN_S
        backend.go.set()
        # The late answer is not taken for this one's. ACT's server joins it with those before.
        chunk = until_it_works(ours, stamp_ns=STAMP_NS + 1, state=np.full(6, 5.0))
        assert chunk.stamp_ns == STAMP_NS + 1
        assert chunk.actions[0, 0] > 1.0


@each
def test_a_server_that_is_started_again_is_found(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours = client(spoken, port)
        ours.connect()
        ours.infer(observation())
    for _ in range(2):
        with pytest.raises(BackendUnavailable, match=rf":{port}\b.*: \w+"):
            ours.infer(observation())
    again = Gated()
    with at_work(again, spoken, "--port", str(port)):
        chunk = until_it_works(ours)

    np.testing.assert_allclose(chunk.actions, expected(spoken), rtol=1e-6)
    assert len(again.seen) == 1


@each
def test_who_is_thinking_when_the_server_ends_is_told(
    spoken: Spoken,
    backend: Gated,
    client: Callable[..., PolicyBackend],
    threads: ThreadPoolExecutor,
):
    with at_work(backend, spoken, "--drain-s", "0") as port:
        ours = client(spoken, port)
        ours.connect()
        backend.shut()
        asked = threads.submit(ours.infer, observation())
        assert backend.thinking.wait(LONG_S)
    error = asked.exception(LONG_S)
    assert isinstance(error, BackendError)
    assert "the server is ending" in str(error)


@each
def test_a_reset_reaches_the_policy(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours = client(spoken, port)
        ours.connect()
        for _ in range(2):
            ours.infer(observation())
            before = backend.resets
            ours.reset()
            # openpi's clients are answered before it is done, but no inference overtakes it.
            ours.infer(observation())
            assert backend.resets == before + 1


@each
def test_an_episode_is_the_clients_own(spoken: Spoken, client: Callable[..., PolicyBackend]):
    with at_work(Counting(), spoken) as port:
        first, second = client(spoken, port), client(spoken, port)

        def number(ours: PolicyBackend) -> float:
            return float(ours.infer(observation()).actions[0, 0])

        for ours in (first, second):
            ours.connect()
            assert number(ours) == 0.125
            assert number(ours) > 0.125
        first.reset()
        assert number(second) > 0.125
        assert number(first) == 0.125


@each
def test_the_policys_own_words_arrive(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours = client(spoken, port)
        ours.connect()
        ours.infer(observation())
        backend.error = RemotePolicyError(TEXT)
        with pytest.raises(RemotePolicyError, match=re.escape(TEXT)):
            ours.infer(observation())
        backend.error = None
        assert until_it_works(ours).stamp_ns == STAMP_NS


@each
def test_a_fault_of_the_policys_is_an_error_and_stops_nothing(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours, other = client(spoken, port), client(spoken, port)
        for each_one in (ours, other):
            each_one.connect()
            each_one.infer(observation())
        backend.error = ZeroDivisionError("0 steps")
        with pytest.raises(
            RemotePolicyError, match="the policy failed: ZeroDivisionError: 0 steps"
        ):
            ours.infer(observation())
        backend.error = None
        other.infer(observation())
        assert until_it_works(ours).stamp_ns == STAMP_NS


@each
def test_who_finds_no_place_is_told_so(
    spoken: Spoken,
    backend: Gated,
    client: Callable[..., PolicyBackend],
    threads: ThreadPoolExecutor,
):
    with at_work(backend, spoken, "--max-waiting", "1") as port:
        clients = [client(spoken, port) for _ in range(3)]
        for ours in clients:
            ours.connect()
            ours.infer(observation())
        backend.shut()
        asked: list[Future[ActionChunk]] = [threads.submit(clients[0].infer, observation())]
        assert backend.thinking.wait(LONG_S)
        # One of them finds the only place taken.
        asked += [threads.submit(ours.infer, observation()) for ours in clients[1:]]
        done, others = wait(asked, LONG_S, FIRST_COMPLETED)
        [refused] = done
        error = refused.exception()
        assert isinstance(error, BackendError)
        assert "the server is overloaded: 1 clients are waiting" in str(error)
        backend.go.set()
        for future in others:
            assert future.result(LONG_S).stamp_ns == STAMP_NS
        assert until_it_works(clients[asked.index(refused)]).stamp_ns == STAMP_NS


@each
def test_a_connection_may_be_made_again_and_again(
    spoken: Spoken, backend: Gated, client: Callable[..., PolicyBackend]
):
    with at_work(backend, spoken) as port:
        ours = client(spoken, port)
        ours.close()
        for _ in range(2):
            ours.connect()
            ours.connect()
            np.testing.assert_allclose(
                ours.infer(observation()).actions, expected(spoken), rtol=1e-6
            )
            ours.close()
            ours.close()
        # Without connect, too.
        assert ours.infer(observation()).stamp_ns == STAMP_NS


OTHER_HORIZON = POLICY.replace("horizon: 16", "horizon: 8")
LONGER = POLICY.replace("horizon: 16", "horizon: 32")
OTHER_KEYS = POLICY.replace("front:", "top:")
ACT_KEYS = ACT_POLICY.replace("front:", "top:")


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        (
            "gr00t",
            OTHER_HORIZON,
            ConfigError,
            r"policy\.yaml has .*\(8 of them\), .* \(16 of them\)",
        ),
        (
            "gr00t",
            OTHER_KEYS,
            ConfigError,
            "video keys differ: .* has top, wrist, .* has front, wrist",
        ),
        ("openpi", OTHER_HORIZON, ConfigError, "action_horizon is 8; the server .* says int 16"),
        ("lerobot", OTHER_KEYS, RemotePolicyError, "camera 'front' is missing"),
        ("act", OTHER_HORIZON, ConfigError, "horizon: must be 1, .* found 8"),
    ],
)
def test_another_policy_is_refused_when_connecting(
    name: str,
    text: str,
    kind: type[VlaRosError],
    words: str,
    backend: Gated,
    client: Callable[..., PolicyBackend],
):
    [spoken] = [protocol for protocol in PROTOCOLS if protocol.name == name]
    with at_work(backend, spoken) as port:
        with pytest.raises(kind, match=words):
            client(spoken, port, text).connect()
        assert backend.seen == []


@pytest.mark.parametrize(
    ("name", "text", "kind", "words"),
    [
        ("gr00t_http", OTHER_KEYS, RemotePolicyError, "video key 'front' is missing"),
        ("gr00t_http", OTHER_HORIZON, ActionError, r"must be \(8, 5\) .* found \(16, 5\)"),
        ("lerobot", LONGER, ActionError, r"must be \(32, 6\).* found \(16, 6\)"),
        ("openpi", OTHER_KEYS, RemotePolicyError, "video key 'front' is missing"),
        ("act", ACT_KEYS, RemotePolicyError, "video key 'front' is missing"),
    ],
)
def test_another_policy_is_refused_by_the_first_answer_at_the_latest(
    name: str,
    text: str,
    kind: type[VlaRosError],
    words: str,
    backend: Gated,
    client: Callable[..., PolicyBackend],
):
    [spoken] = [protocol for protocol in PROTOCOLS if protocol.name == name]
    with at_work(backend, spoken) as port:
        ours = client(spoken, port, text)
        ours.connect()
        with pytest.raises(kind, match=words):
            ours.infer(observation())
