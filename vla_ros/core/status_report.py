# SPDX-License-Identifier: Apache-2.0
"""Counts what the executor does, and tells how it stands. One thread, or an external lock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import nan

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.asking import Asking
from vla_ros.core.executor_status import ExecutorStatus, Hold
from vla_ros.core.motion import Motion
from vla_ros.core.plan import Plan
from vla_ros.core.request_scheduler import Failure, RequestScheduler
from vla_ros.core.scheduling import asks_at_steps, latency_budget_s


@dataclass(slots=True)
class Tally:
    """What is counted.

    Attributes:
        ticks: Updates.
        starved_ticks: Those with an empty queue after a chunk had come.
        hold_ticks: Reason of a hold to ticks.
        received: Chunks joined.
        dropped: Why chunks were refused to how many.
        last_chunk_id: The request of the chunk joined last; 0 before the first.
        joined_ns: When that was.
    """

    ticks: int = 0
    starved_ticks: int = 0
    hold_ticks: Counter[str] = field(default_factory=Counter)
    received: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    last_chunk_id: int = 0
    joined_ns: int | None = None

    def joined(self, request_id: int, now_ns: int) -> None:
        """A chunk was joined."""
        self.received += 1
        self.last_chunk_id = request_id
        self.joined_ns = now_ns


@dataclass(frozen=True, slots=True)
class Situation:
    """What the executor is doing.

    Attributes:
        stop: Why it was stopped; None: it may move.
        hold: The last command, if it was a Hold.
        epoch: The present epoch.
        measured: (D,) The last measured pose; None before the first.
    """

    stop: Failure | None
    hold: Hold | None
    epoch: int
    measured: NDArray[np.float64] | None


class StatusReport:
    """Tells how the executor stands."""

    def __init__(
        self, plan: Plan, motion: Motion, scheduler: RequestScheduler, asking: Asking, tally: Tally
    ) -> None:
        """Keep the executor's parts, to look at."""
        self._plan = plan
        self._motion = motion
        self._scheduler = scheduler
        self._asking = asking
        self._tally = tally

    def status(self, now: Situation, now_ns: int) -> ExecutorStatus:
        """The executor now."""
        tally, scheduler, limiter = self._tally, self._scheduler, self._motion.limiter
        outlook = self._asking.outlook(now_ns, None)
        last = scheduler.last
        failure = now.stop or scheduler.failure
        return ExecutorStatus(
            mode=self._mode(now),
            hold_reason="" if now.hold is None else now.hold.reason,
            detail="" if failure is None else failure.detail,
            epoch=now.epoch,
            last_request_id=0 if last is None else last.request_id,
            last_chunk_id=tally.last_chunk_id,
            remaining_steps=outlook.remaining_steps,
            remaining_s=outlook.remaining_steps * outlook.step_s,
            asks_at_steps=asks_at_steps(self._asking.params, outlook),
            queue_fraction=outlook.remaining_steps / outlook.chunk_steps,
            speed=self._plan.speed,
            executed_steps=self._plan.executed_steps,
            ticks=tally.ticks,
            starved_ticks=tally.starved_ticks,
            hold_ticks=dict(tally.hold_ticks),
            observations_requested=scheduler.requested,
            requests_repeated=scheduler.repeated,
            requests_failed=scheduler.failed,
            chunks_received=tally.received,
            chunks_dropped=dict(tally.dropped),
            since_request_s=nan if last is None else (now_ns - last.stamp_ns) * 1e-9,
            since_chunk_s=nan if tally.joined_ns is None else (now_ns - tally.joined_ns) * 1e-9,
            latency_p50_s=scheduler.latency_s(50.0),
            latency_p95_s=scheduler.latency_s(95.0),
            chunk_s=outlook.chunk_steps * outlook.step_s,
            latency_budget_s=latency_budget_s(self._asking.params, outlook),
            command=self._motion.position,
            measured=now.measured,
            clipped=limiter.clipped.copy(),
            clipped_by_max=limiter.clipped_by_max,
        )

    def _mode(self, now: Situation) -> str:
        if self._motion.position is None:
            return "idle"
        if now.hold is None:
            return "move"
        return "hold" if now.stop is None else "stopped"
