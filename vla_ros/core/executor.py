# SPDX-License-Identifier: Apache-2.0
"""Chunks in, commands out: the pure heart of the action executor.

Every update is a Move or a Hold with a reason, every command is within the robot's limits, and a
chunk that is not for now (of another epoch, over, out of order) is dropped whole. No I/O and no
clock; one thread, or an external lock. Radians, metres, integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.blending import NEW_SHARE, OffsetDecay
from vla_ros.core.chunk_queue import ChunkQueue
from vla_ros.core.errors import ActionError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, ExecutorStatus, Hold, Measured, Move
from vla_ros.core.hold_reasons import (
    BAD_CHUNK,
    CLOCK_JUMPED,
    STALE_STATE,
    STARTING,
    STARVED,
    STOPPED,
)
from vla_ros.core.limits import CommandLimiter
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.request_scheduler import Failure, RequestScheduler
from vla_ros.core.robot_spec import RobotSpec


class ActionExecutor:
    """Executes the chunks of one policy on one robot."""

    def __init__(self, robot: RobotSpec, policy: PolicySpec, params: ExecutorParams) -> None:
        """Stopped, with an empty queue.

        Args:
            robot: The body.
            policy: The checkpoint.
            params: How to ask and execute.

        Raises:
            ConfigError: The policy does not fit the robot.
        """
        policy.check_against(robot)
        names = robot.command_names
        self._policy = policy
        self._params = params
        self._columns = np.array([names.index(name) for name in policy.action_names])
        self._max_state_age_s = min(stream.max_age_s for stream in robot.state_streams.values())
        self._queue = ChunkQueue(robot.switched[self._columns])
        self._switched = robot.switched[self._columns]
        self._limiter = CommandLimiter(robot)
        self._scheduler = RequestScheduler()
        nothing = np.zeros(len(self._columns))
        self._decay = OffsetDecay(0, 1, nothing, nothing)
        self._join = False
        # By how much the old plan's velocity differs from that of the chunk that is to be joined.
        self._rate: NDArray[np.float64] | None = None
        self._hold: Hold | None = Hold(STOPPED, None)
        self._hold_target: NDArray[np.float64] | None = None
        self._stop_reason: str | None = STOPPED
        self._measured: NDArray[np.float64] | None = None
        self._last_ns: int | None = None
        self._epoch = 0
        self._chunks_in_epoch = 0
        self._last_chunk_id = 0
        self._ticks = 0
        self._starved_ticks = 0
        self._hold_ticks: Counter[str] = Counter()
        self._received = 0
        self._dropped = 0

    @property
    def params(self) -> ExecutorParams:
        """The parameters in force."""
        return self._params

    def configure(self, params: ExecutorParams) -> None:
        """Change parameters; they hold from the next chunk and tick on."""
        self._params = params

    def start(self) -> None:
        """Move from now on. The first command starts from the measured pose."""
        if self._stop_reason is not None:
            self._stop_reason = None
            self.reset()
            self._limiter.forget()
            self._hold_target = None

    def stop(self, reason: str = STOPPED) -> None:
        """Decelerate and hold until ``start``; what is queued or in flight will not be executed."""
        self._stop_reason = reason
        self.reset()

    def reset(self) -> int:
        """Begin a new epoch: whatever was queued or in flight is discarded.

        Returns:
            The new epoch.
        """
        self._epoch += 1
        self._chunks_in_epoch = 0
        self._queue.clear()
        self._scheduler.reset()
        return self._epoch

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Join a chunk to what is being executed.

        Raises:
            ActionError: The chunk was dropped, and why.
        """
        moving = self._hold is None and self._queue.remaining_steps(now_ns) > 0.0
        velocity = self._queue.velocity(now_ns) + self._decay.rate_at(now_ns)
        try:
            self._accept(chunk, now_ns)
        except ActionError as error:
            self._dropped += 1
            self._fail(chunk.request_id, Failure(BAD_CHUNK, str(error)), now_ns)
            raise
        self._received += 1
        self._chunks_in_epoch += 1
        self._last_chunk_id = chunk.request_id
        self._scheduler.succeed(chunk.request_id)
        if self._params.aggregate_fn == "offset_decay":
            self._join = True
            self._rate = velocity - self._queue.velocity(now_ns) if moving else None

    def _accept(self, chunk: ActionChunk, now_ns: int) -> None:
        if chunk.epoch != self._epoch:
            raise ActionError(
                f"the chunk is of epoch {chunk.epoch}, the present one is {self._epoch}"
            )
        if chunk.names != self._policy.action_names:
            raise ActionError(
                f"the chunk commands {', '.join(chunk.names)}; policy {self._policy.name} commands"
                f" {', '.join(self._policy.action_names)}"
            )
        chunk = chunk.first(self._params.actions_per_chunk)
        self._queue.offer(chunk, now_ns=now_ns, new_share=NEW_SHARE[self._params.aggregate_fn])

    def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
        """A request came to nothing; holds are named after it until another one succeeds."""
        if epoch == self._epoch:
            self._fail(request_id, failure, now_ns)

    def _fail(self, request_id: int, failure: Failure, now_ns: int) -> None:
        retry_ns = now_ns + round(self._params.retry_interval_s * 1e9)
        self._scheduler.fail(request_id, failure, retry_ns=retry_ns)

    def poll_request(self, now_ns: int) -> ObservationRequest | None:
        """The observation to ask for now, if any. Call once a tick, after ``update``."""
        if self._stop_reason is not None:
            return None
        return self._scheduler.poll(
            now_ns,
            epoch=self._epoch,
            wanted=self._fraction(now_ns) <= self._params.chunk_size_threshold,
            must_go=self._queue.remaining_steps(now_ns) <= 0.0,
            timeout_s=self._params.request_timeout_s,
        )

    def _fraction(self, now_ns: int) -> float:
        per_chunk = min(self._params.actions_per_chunk, self._policy.horizon)
        return self._queue.remaining_steps(now_ns) / per_chunk

    def update(self, now_ns: int, measured: Measured | None) -> Command:
        """The command of this tick.

        Args:
            now_ns: Now. A clock that goes back begins a new epoch and holds for one tick.
            measured: The last measured pose; None before the first.
        """
        self._ticks += 1
        last_ns, self._last_ns = self._last_ns, now_ns
        fresh = measured is not None and measured.age_s <= self._max_state_age_s
        if measured is not None and fresh:
            self._measured = measured.values
            if self._limiter.position is None:
                self._limiter.anchor(measured.values)
        if last_ns is not None and now_ns < last_ns:
            self.reset()
            return self._holding(CLOCK_JUMPED, 0.0)
        tick_ns = 0 if last_ns is None else now_ns - last_ns
        due, before = self._queue.sample(now_ns), self._queue.sample(now_ns - tick_ns)
        reason = self._hold_reason(fresh=fresh, due=due is not None)
        position = self._limiter.position
        if reason or due is None or before is None or position is None or tick_ns == 0:
            return self._holding(reason or STARTING, tick_ns * 1e-9)
        return self._moving(due, before, position, now_ns, tick_ns)

    def _hold_reason(self, *, fresh: bool, due: bool) -> str:
        """Why the robot must not move now; empty if it may."""
        if self._stop_reason is not None:
            return self._stop_reason
        if not fresh:
            return STALE_STATE
        if due:
            return ""
        if self._chunks_in_epoch:
            self._starved_ticks += 1
        if self._scheduler.failure is not None:
            return self._scheduler.failure.reason
        return STARVED if self._chunks_in_epoch else STARTING

    def _holding(self, reason: str, dt_s: float) -> Hold:
        if self._limiter.position is not None and dt_s > 0.0:
            self._hold_still(dt_s)
        self._hold_ticks[reason] += 1
        self._rate = None  # the old plan's, not that of a command that comes to rest
        self._hold = Hold(reason, self._limiter.position)
        return self._hold

    def _hold_still(self, dt_s: float) -> None:
        """Come to rest within the limits, and stay there."""
        if self._hold_target is None:
            self._hold_target = self._limiter.stopping_point(dt_s)
        self._follow(self._hold_target, np.zeros_like(self._hold_target), dt_s)

    def _follow(
        self, target: NDArray[np.float64], velocity: NDArray[np.float64], dt_s: float
    ) -> NDArray[np.float64]:
        margin = self._params.position_margin
        return self._limiter.follow(target, velocity, dt_s=dt_s, margin=margin)

    def _moving(
        self,
        due: NDArray[np.float64],
        before: NDArray[np.float64],
        position: NDArray[np.float64],
        now_ns: int,
        tick_ns: int,
    ) -> Move:
        last_ns, dt_s = now_ns - tick_ns, tick_ns * 1e-9
        if self._hold is not None or self._join:
            self._decay = self._offset(position[self._columns] - before, last_ns)
        self._hold = self._hold_target = self._rate = None
        self._join = False
        due = due + self._decay.at(now_ns)
        before = before + self._decay.at(last_ns)
        target, velocity = position.copy(), np.zeros_like(position)
        target[self._columns] = due
        velocity[self._columns] = np.where(self._switched, 0.0, (due - before) / dt_s)
        return Move(self._follow(target, velocity, dt_s))

    def _offset(self, offset: NDArray[np.float64], last_ns: int) -> OffsetDecay:
        """What lies between the last command and the new chunk, in value and velocity.

        At a seam the velocities of the two plans are compared at the same moment, so that a chunk
        that repeats the old plan leaves no trace, whatever that plan's corners.
        """
        rate = self._rate
        if rate is None:
            rate = self._limiter.velocity[self._columns] - self._queue.velocity(last_ns)
        return OffsetDecay(
            start_ns=last_ns,
            duration_ns=round(self._params.blend_steps * self._policy.step_ns),
            offset=np.where(self._switched, 0.0, offset),
            rate=np.where(self._switched, 0.0, rate),
        )

    def status(self, now_ns: int) -> ExecutorStatus:
        """The executor now, to show."""
        hold = self._hold
        failure = self._scheduler.failure
        if self._limiter.position is None:
            mode = "idle"
        elif hold is None:
            mode = "move"
        else:
            mode = "hold" if self._stop_reason is None else "stopped"
        return ExecutorStatus(
            mode=mode,
            hold_reason="" if hold is None else hold.reason,
            detail="" if failure is None else failure.detail,
            epoch=self._epoch,
            last_request_id=self._scheduler.last_request_id,
            last_chunk_id=self._last_chunk_id,
            remaining_steps=self._queue.remaining_steps(now_ns),
            remaining_s=self._queue.remaining_s(now_ns),
            queue_fraction=self._fraction(now_ns),
            ticks=self._ticks,
            starved_ticks=self._starved_ticks,
            hold_ticks=dict(self._hold_ticks),
            observations_requested=self._scheduler.requested,
            chunks_received=self._received,
            chunks_dropped=self._dropped,
            requests_failed=self._scheduler.failed,
            command=self._limiter.position,
            measured=self._measured,
            clipped=self._limiter.clipped.copy(),
            clipped_by_max=self._limiter.clipped_by_max,
        )
