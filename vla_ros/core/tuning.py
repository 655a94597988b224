# SPDX-License-Identifier: Apache-2.0
"""Settings computed from what was measured: this policy, this network, this robot.

Guides give tables of thresholds and chunk sizes for cases; here every number follows from measured
latencies and chunks. One thread, or an external lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.offset_decay import gentle_duration_s
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.smoothing import smoothed

# Fewer answers than this say nothing.
_ENOUGH = 5
# Above what was measured, for what was not seen in half a minute.
_RESERVE = 1.2
# The share of a joint's limits that joining, and a chunk's own trembling, may take.
_SHARE = 0.5
# The share of its time that a policy may be busy for one robot.
_BUSY = 0.7
# Smoothing this much costs no precision that was noticed.
_HARMLESS = 8.0
_SMOOTHINGS = (0.0, 4.0, 6.0, 8.0, 12.0, 16.0)
_LEAST_BLEND, _MOST_BLEND = 4.0, 20.0


@dataclass(frozen=True, slots=True)
class Advice:
    """One recommended setting.

    Attributes:
        name: The executor's parameter.
        now: Its value in force.
        value: What it should be.
        why: From what that follows.
    """

    name: str
    now: object
    value: object
    why: str


class Tuner:
    """Collects what is seen while the robot runs, then recommends."""

    def __init__(self, robot: RobotSpec, policy: PolicySpec) -> None:
        """Nothing is seen yet.

        Args:
            robot: The body.
            policy: The checkpoint.
        """
        columns = [robot.command_names.index(name) for name in policy.action_names]
        self._policy = policy
        self._step_s = policy.step_ns * 1e-9
        self._continuous = ~robot.switched[columns]
        self._velocity = _SHARE * robot.limit_array("max_velocity")[columns]
        self._acceleration = _SHARE * robot.limit_array("max_acceleration")[columns]
        self._latencies_s: list[float] = []
        self._jumps: list[NDArray[np.float64]] = []
        self._chunks: list[NDArray[np.float64]] = []

    def see(self, chunk: ActionChunk, now_ns: int, *, planned: NDArray[np.float64] | None) -> None:
        """A chunk came.

        Args:
            chunk: The chunk, of the policy's interfaces.
            now_ns: Now, on the ROS clock.
            planned: (d,) What was going to be executed now; None: nothing.
        """
        if chunk.timing.requested_ns:
            self._latencies_s.append((now_ns - chunk.timing.requested_ns) * 1e-9)
        self._chunks.append(chunk.actions)
        index = min(max(now_ns - chunk.stamp_ns, 0) // chunk.step_ns, chunk.horizon - 1)
        if planned is not None:
            jump = np.abs(chunk.actions[index] - planned)
            self._jumps.append(np.where(self._continuous, jump, 0.0))

    def advise(self, params: ExecutorParams) -> tuple[Advice, ...]:
        """What to set; empty if too little was seen.

        Args:
            params: The parameters in force.
        """
        if len(self._latencies_s) < _ENOUGH:
            return ()
        return (
            *self._asking(params),
            *self._joining(params),
        )

    def measured(self) -> str:
        """What was seen, in words."""
        if not self._latencies_s:
            return "no chunk came"
        p50, p95, p99 = 1e3 * np.percentile(self._latencies_s, [50, 95, 99])
        return (
            f"{len(self._chunks)} chunks; latency p50 {p50:.0f} ms, p95 {p95:.0f} ms,"
            f" p99 {p99:.0f} ms, worst {1e3 * max(self._latencies_s):.0f} ms"
        )

    def _asking(self, params: ExecutorParams) -> Sequence[Advice]:
        latency_s = float(np.percentile(self._latencies_s, 99))
        needed_s = _RESERVE * latency_s + 2.0 / params.control_rate_hz
        horizon, steps = self._policy.horizon, min(params.actions_per_chunk, self._policy.horizon)
        why = f"p99 latency {1e3 * latency_s:.0f} ms and a fifth more"
        if needed_s > horizon * self._step_s:
            lasts_ms = 1e3 * horizon * self._step_s
            return [
                Advice(
                    "scheduling",
                    params.scheduling,
                    "sync",
                    f"{why}; a chunk lasts {lasts_ms:.0f} ms",
                ),
                _timeout(params, max(self._latencies_s)),
            ]
        # Half of a chunk at least is executed before the next one takes over.
        if needed_s > 0.5 * steps * self._step_s:
            steps = min(horizon, ceil(2.0 * needed_s / self._step_s))
        chunk_s = steps * self._step_s
        least = min(ceil(20.0 * needed_s / chunk_s) / 20.0, 1.0)
        # A larger one asks so often that the policy would be busy for more than its share.
        most = floor(20.0 * (1.0 - latency_s / (_BUSY * chunk_s))) / 20.0
        threshold = _within(params.chunk_size_threshold, least, most)
        return [
            Advice("actions_per_chunk", params.actions_per_chunk, steps, why),
            Advice(
                "chunk_size_threshold",
                params.chunk_size_threshold,
                threshold,
                f"{why}, of a chunk of {1e3 * chunk_s:.0f} ms: at least {least:g}",
            ),
            _timeout(params, max(self._latencies_s)),
        ]

    def _joining(self, params: ExecutorParams) -> Sequence[Advice]:
        advice = []
        if self._jumps:
            jump = np.percentile(self._jumps, 95, axis=0)
            seconds = gentle_duration_s(
                jump, max_velocity=self._velocity, max_acceleration=self._acceleration
            )
            steps = min(max(float(ceil(seconds / self._step_s)), _LEAST_BLEND), _MOST_BLEND)
            why = f"chunks disagree by {jump.max():.3f} (p95) where they meet: at least {steps:g}"
            value = _within(params.blend_steps, steps, 2.0 * steps)
            advice.append(Advice("blend_steps", params.blend_steps, value, why))
        smoothing, why = self._smoothing()
        value = _within(params.smoothing_steps, smoothing, _HARMLESS)
        return [*advice, Advice("smoothing_steps", params.smoothing_steps, value, why)]

    def _smoothing(self) -> tuple[float, str]:
        """As much as is needed to keep what a chunk trembles within the limits, and why."""
        for steps in _SMOOTHINGS:
            share = max(self._trembling(smoothed(actions, steps)) for actions in self._chunks)
            if share <= 1.0:
                break
        why = f"with {steps:g} a chunk takes {share * _SHARE:.0%} of the acceleration limits (p95)"
        return steps, why

    def _trembling(self, actions: NDArray[np.float64]) -> float:
        """The share of the acceleration allowed that a chunk takes, p95 over its steps."""
        if len(actions) < 3 or not self._continuous.any():
            return 0.0
        acceleration = np.abs(np.diff(actions, n=2, axis=0)) / self._step_s**2
        share = np.percentile(acceleration, 95, axis=0) / self._acceleration
        return float(np.max(share[self._continuous]))


def _timeout(params: ExecutorParams, worst_s: float) -> Advice:
    least_s = max(1.0, float(ceil(3.0 * worst_s)))
    why = f"three times the worst latency, {1e3 * worst_s:.0f} ms: at least {least_s:g}"
    value = _within(params.request_timeout_s, least_s, 10.0 * least_s)
    return Advice("request_timeout_s", params.request_timeout_s, value, why)


def _within(value: float, least: float, most: float) -> float:
    """The value in force where it will do, else the nearest that does."""
    return max(least, min(value, most))


def in_words(measured: str, advice: Sequence[Advice], node: str) -> str:
    """Advice as it is printed, with what to type.

    Args:
        measured: What was seen.
        advice: What to set.
        node: The executor's full name.
    """
    lines = [measured]
    if not advice:
        lines.append(f"at least {_ENOUGH} chunks are needed: let the robot run while it is tuned")
    for item in advice:
        if item.now == item.value:
            lines.append(f"{item.name} is right at {item.now}: {item.why}")
        else:
            lines.append(
                f"ros2 param set {node} {item.name} {item.value}  # now {item.now}: {item.why}"
            )
    return "\n".join(lines)
