# SPDX-License-Identifier: Apache-2.0
"""The executor's parameters, all of them tunable while it runs. Immutable; any thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vla_ros.core.aggregates import AGGREGATE_FNS, AggregateFn
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import param
from vla_ros.core.track import Interpolation

Scheduling = Literal["async", "auto", "sync"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for.

    Attributes:
        timeout_s: After this a request is given up, and has failed.
        repeat_factor: After this many times the p95 latency it is repeated; 0: never.
        retry_interval_s: Shortest time from a failed request to the next one.
    """

    timeout_s: float
    repeat_factor: float
    retry_interval_s: float


@dataclass(frozen=True, slots=True)
class ExecutorParams:
    """How chunks are asked for and executed."""

    control_rate_hz: float = param(50.0, "Commands per second [Hz].", ge=1.0, le=1000.0)
    scheduling: Scheduling = param(
        "async",
        "When to ask for an observation: async by chunk_size_threshold; auto as late as the"
        " measured latency allows; sync at rest, when the chunk is used up.",
    )
    chunk_size_threshold: float = param(
        0.5,
        "async: ask when remaining / actions_per_chunk is at most this; larger asks earlier and"
        " more often.",
        ge=0.0,
        le=1.0,
    )
    latency_margin_s: float = param(
        0.05, "auto: ask so much earlier than the p95 latency needs [s].", ge=0.0, le=10.0
    )
    execution_horizon: int = param(
        0,
        "sync: how many actions are executed before the next observation; 0: actions_per_chunk.",
        ge=0,
        le=1024,
    )
    settle_s: float = param(
        0.1, "sync: how long the arm is at rest before it is looked at [s].", ge=0.0, le=10.0
    )
    actions_per_chunk: int = param(
        50, "How many actions of a chunk are used; never more than it has.", ge=1, le=1024
    )
    aggregate_fn: AggregateFn = param("offset_decay", "How a new chunk is joined to the old one.")
    aggregate_overrides: tuple[str, ...] = param(
        (), "Other ways for some interfaces: a list of interface=aggregate_fn."
    )
    blend_steps: float = param(
        8.0,
        "How long offset_decay and crossfade take, in steps of the policy.",
        ge=1.0,
        le=100.0,
    )
    smoothing_steps: float = param(
        8.0,
        "offset_decay: waves of a chunk shorter than so many steps are taken out; 0: none.",
        ge=0.0,
        le=100.0,
    )
    interpolation: Interpolation = param("cubic", "What is commanded between two actions.")
    filters: tuple[str, ...] = param((), "What commands pass before the limits, in this order.")
    low_pass_cutoff_hz: float = param(
        5.0, "low_pass: above this commands are damped [Hz].", ge=0.01, le=500.0
    )
    jerk_time_s: float = param(
        0.1,
        "jerk_limit: time in which the greatest acceleration may be reached [s].",
        ge=0.001,
        le=10.0,
    )
    speed_scale: float = param(
        1.0, "How fast the plan is executed; 0 holds, at less than 1 all is slower.", ge=0.0, le=1.0
    )
    soft_start_s: float = param(
        0.5, "Time from rest to full speed after a start [s].", ge=0.0, le=60.0
    )
    position_margin: float = param(
        0.0, "Commands stay this far inside the position limits [rad or m].", ge=0.0, le=1.0
    )
    preserve_direction: bool = param(
        False, "Where one joint is too slow, all others slow down with it."
    )
    max_relative_target: float = param(
        0.0,
        "Commands stay this near to the measured position [rad or m]; 0: no such limit.",
        ge=0.0,
        le=10.0,
    )
    max_tracking_error: float = param(
        0.0,
        "Stop when the measured position is further than this from the command [rad or m] for"
        " tracking_error_s; 0: never.",
        ge=0.0,
        le=10.0,
    )
    tracking_error_s: float = param(0.5, "How long that must last [s].", ge=0.0, le=60.0)
    request_timeout_s: float = param(
        5.0,
        "A request without an answer is given up after this, and an older observation's chunk"
        " refused [s].",
        ge=0.05,
        le=600.0,
    )
    repeat_factor: float = param(
        4.0,
        "A request is repeated when its answer takes this many times the p95 latency; 0: never.",
        ge=0.0,
        le=1000.0,
    )
    retry_interval_s: float = param(
        0.1, "Shortest time from a failed request to the next one [s].", ge=0.0, le=60.0
    )

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            ConfigError: An override is not ``interface=aggregate_fn``, or an interface has two.
        """
        interfaces = [interface for interface, _ in map(_override, self.aggregate_overrides)]
        for interface in interfaces:
            if interfaces.count(interface) > 1:
                raise ConfigError(f"aggregate_overrides: {interface} stands there more than once")

    def functions(self, names: Sequence[str]) -> tuple[AggregateFn, ...]:
        """(D,) The aggregate of each interface.

        Raises:
            ConfigError: An override is for none of them.
        """
        overrides = dict(map(_override, self.aggregate_overrides))
        for interface in overrides:
            if interface not in names:
                raise ConfigError(
                    f"aggregate_overrides: {interface} is not commanded by the policy, which"
                    f" commands {', '.join(names)}"
                )
        return tuple(overrides.get(name, self.aggregate_fn) for name in names)

    @property
    def patience(self) -> Patience:
        """How long an answer is waited for."""
        return Patience(self.request_timeout_s, self.repeat_factor, self.retry_interval_s)

    @property
    def chunk_length(self) -> int:
        """How many actions of a chunk are used in this scheduling."""
        if self.scheduling == "sync" and self.execution_horizon:
            return min(self.actions_per_chunk, self.execution_horizon)
        return self.actions_per_chunk


def _override(text: str) -> tuple[str, AggregateFn]:
    interface, _, function = text.partition("=")
    if function not in AGGREGATE_FNS:
        raise ConfigError(
            f"aggregate_overrides: {text!r} must be interface=aggregate_fn, with one of"
            f" {', '.join(AGGREGATE_FNS)}"
        )
    return interface, function
