# SPDX-License-Identifier: Apache-2.0
"""Chunks in, commands out: the pure heart of the action executor.

Every update is a Move or a Hold with a reason, every command is within the robot's limits, and a
chunk that is not for now (of another epoch, over, out of order) is dropped whole. No I/O and no
clock; one thread, or an external lock. Radians, metres, integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros.core import hold_reasons as reasons
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.asking import Asking
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, ExecutorStatus, Hold, Measured, Move
from vla_ros.core.filter import MakeFilter, no_filter
from vla_ros.core.motion import Motion
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.pace import Pace
from vla_ros.core.plan import Plan
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.request_scheduler import Failure, RequestScheduler
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.status_report import Situation, StatusReport, Tally
from vla_ros.core.tick import Tick, TickTimer
from vla_ros.core.tracking import TrackingWatch

Doubles = NDArray[np.float64]


class ActionExecutor:
    """Executes the chunks of one policy on one robot."""

    def __init__(
        self,
        robot: RobotSpec,
        policy: PolicySpec,
        params: ExecutorParams,
        *,
        make_filter: MakeFilter = no_filter,
    ) -> None:
        """Stopped, with an empty queue.

        Args:
            robot: The body.
            policy: The checkpoint.
            params: How to ask and execute.
            make_filter: Makes a filter of its name.

        Raises:
            ConfigError: The policy does not fit the robot, or the parameters do not fit them.
        """
        policy.check_against(robot)
        names = robot.command_names
        columns = np.array([names.index(name) for name in policy.action_names])
        self._params = params
        self._max_state_age_s = min(stream.max_age_s for stream in robot.state_streams.values())
        self._plan = Plan(policy, robot, columns, params)
        self._motion = Motion(robot, columns, policy.step_ns * 1e-9, make_filter)
        self._pace = Pace()
        self._tracking = TrackingWatch(names)
        self._scheduler = RequestScheduler(params.patience)
        self._asking = Asking(policy, self._plan, self._motion, self._scheduler, params)
        self._motion.configure(params)
        self._command: Command = Hold(reasons.STOPPED, None)
        self._stop: Failure | None = Failure(reasons.STOPPED, "")
        self._soft_start = True
        self._measured: Doubles | None = None
        self._rest_since_ns: int | None = None
        self._ticks = TickTimer()
        self._epoch = 0
        self._tally = Tally()
        self._report = StatusReport(
            self._plan, self._motion, self._scheduler, self._asking, self._tally
        )

    @property
    def params(self) -> ExecutorParams:
        """The parameters in force."""
        return self._params

    def check(self, params: ExecutorParams) -> None:
        """Refuse parameters that ``configure`` would refuse; nothing changes.

        Raises:
            ConfigError: They do not fit the robot or the policy.
        """
        self._plan.joining(params)
        self._motion.filters(params)

    def configure(self, params: ExecutorParams) -> None:
        """Change parameters; they hold from the next chunk and tick on.

        Raises:
            ConfigError: They do not fit the robot or the policy; then nothing has changed.
        """
        self.check(params)
        if params.speed_scale > 0.0 and self._params.speed_scale == 0.0:
            self.reset()  # the world may have changed during the pause
        self._params = params
        self._plan.configure(params)
        self._motion.configure(params)
        self._scheduler.patience = params.patience
        self._asking.params = params

    def start(self) -> None:
        """Move from now on. The first command starts from the measured pose, softly."""
        if self._stop is not None:
            self._stop = None
            self._command = Hold(reasons.STARTING, self._motion.position)
            self._soft_start = True
            self._pace.start()
            self._tracking.reset()
            self.reset()
            if self._motion.at_rest:
                self._motion.forget()

    def stop(self, reason: str = reasons.STOPPED, detail: str = "") -> None:
        """Decelerate and hold until ``start``; what is queued or in flight will not be executed."""
        self._stop = Failure(reason, detail)
        self.reset()

    def reset(self) -> int:
        """Begin a new epoch: whatever was queued or in flight is discarded.

        Returns:
            The new epoch.
        """
        self._epoch += 1
        self._plan.clear()
        self._scheduler.reset()
        return self._epoch

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Join a chunk to what is being executed.

        Raises:
            ChunkRefused: The chunk was dropped, and why.
        """
        self._scheduler.answered(chunk.request_id, now_ns)
        try:
            self._check(chunk)
            self._plan.offer(chunk, now_ns, rate=self._motion.offset_rate(now_ns))
        except ChunkRefused as error:
            self._tally.dropped[error.kind] += 1
            self._scheduler.fail(chunk.request_id, Failure(reasons.BAD_CHUNK, str(error)), now_ns)
            raise
        self._tally.joined(chunk.request_id, now_ns)
        self._scheduler.succeed(chunk.request_id)

    def _check(self, chunk: ActionChunk) -> None:
        if chunk.epoch != self._epoch:
            raise ChunkRefused(
                "old_epoch",
                f"the chunk is of epoch {chunk.epoch}, the present one is {self._epoch}",
            )
        blind = self._rest_since_ns is None or chunk.stamp_ns < self._rest_since_ns
        if self._params.scheduling == "sync" and blind:
            raise ChunkRefused("blind", "the robot has moved since the chunk's observation")

    def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
        """A request came to nothing; holds are named after it until another one succeeds."""
        if epoch == self._epoch:
            self._scheduler.answered(request_id, now_ns)
            self._scheduler.fail(request_id, failure, now_ns)

    def poll_request(self, now_ns: int) -> ObservationRequest | None:
        """The observation to ask for now, if any. Call once a tick, after ``update``."""
        if self._stop is not None or self._params.speed_scale == 0.0:
            return None
        return self._asking.poll(
            now_ns,
            epoch=self._epoch,
            rest_since_ns=self._rest_since_ns,
            moving=isinstance(self._command, Move),
        )

    def update(self, now_ns: int, measured: Measured | None) -> Command:
        """The command of this tick.

        Args:
            now_ns: Now. A clock that goes back begins a new epoch and holds for one tick.
            measured: The last measured pose; None before the first.
        """
        self._tally.ticks += 1
        tick = self._ticks.next(now_ns, period_ns=round(1e9 / self._params.control_rate_hz))
        if tick.kind == "stalled":
            self._motion.halt()
            if self._soft_start:
                self._motion.forget()
        fresh = measured is not None and measured.age_s <= self._max_state_age_s
        if measured is not None and fresh:
            self._measured = measured.values
            if self._motion.position is None:
                self._motion.anchor(measured.values)
        if tick.kind in ("first", "back"):
            self._plan.restart_clock(now_ns)
            self._rest_since_ns = None
        if tick.kind == "back":
            self.reset()
            return self._holding(reasons.CLOCK_JUMPED, tick, 0.0)
        self._watch(tick.passed_s)
        speed = self._speed(tick.passed_s)
        due = self._plan.ahead(now_ns, speed)
        reason = self._hold_reason(tick, fresh=fresh, speed=speed) or self._lack(due)
        if reason or due is None:
            return self._holding(reason, tick, speed)
        # Where no time has passed, as on a coarse simulated clock, nothing has changed.
        return self._moving(due, tick, speed) if tick.passed_ns else self._command

    def _watch(self, dt_s: float) -> None:
        """Stop a robot whose arm does not follow."""
        command, measured = self._motion.position, self._measured
        if self._stop is not None or command is None or measured is None:
            return
        detail = self._tracking.lost(
            command,
            measured,
            dt_s,
            max_error=self._params.max_tracking_error,
            patience_s=self._params.tracking_error_s,
        )
        if detail:
            self.stop(reasons.NOT_FOLLOWING, detail)
            self._motion.give_way(measured)

    def _speed(self, dt_s: float) -> float:
        """How fast the plan is executed in this tick, 0 to 1."""
        params, moving = self._params, isinstance(self._command, Move)
        scale = params.speed_scale
        if moving and self._motion.watches_hand_speed:
            scale = min(scale, self._motion.hand_speed_share(self._plan.velocity()))
        return self._pace.next(dt_s, scale=scale, soft_start_s=params.soft_start_s, moving=moving)

    def _hold_reason(self, tick: Tick, *, fresh: bool, speed: float) -> str:
        """Why the robot must not move now, whatever is queued; empty if it may."""
        if self._stop is not None:
            return self._stop.reason
        if not fresh:
            return reasons.STALE_STATE
        if self._params.speed_scale == 0.0 and speed == 0.0:
            return reasons.PAUSED
        return reasons.STALLED if tick.kind == "stalled" and not self._soft_start else ""

    def _lack(self, due: Doubles | None) -> str:
        """Why there is nothing to execute; empty if something is due."""
        if due is not None:
            return ""
        began = self._plan.newest is not None
        synchronous = self._params.scheduling == "sync"
        if began and not synchronous:
            self._tally.starved_ticks += 1
        if self._scheduler.failure is not None:
            return self._scheduler.failure.reason
        if not began:
            return reasons.STARTING
        return reasons.WAITING if synchronous else reasons.STARVED

    def _holding(self, reason: str, tick: Tick, speed: float) -> Hold:
        self._plan.hold(tick.now_ns, speed)
        if self._motion.position is not None and tick.passed_ns:
            self._motion.hold(tick.passed_s)
        if self._rest_since_ns is None and self._motion.at_rest:
            self._rest_since_ns = tick.now_ns
        self._tally.hold_ticks[reason] += 1
        self._command = hold = Hold(reason, self._motion.position)
        return hold

    def _moving(self, due: Doubles, tick: Tick, speed: float) -> Move:
        rate = self._plan.take_seam()
        velocity = self._plan.velocity() * speed
        before = self._plan.run(tick.now_ns, speed)
        if isinstance(self._command, Hold):
            at_least_s = self._params.soft_start_s if self._soft_start else 0.0
            self._motion.recover(before, velocity, last_ns=tick.last_ns, at_least_s=at_least_s)
        elif rate is not None:
            self._motion.join(before, rate, last_ns=tick.last_ns, decays=self._plan.decays)
        self._soft_start = False
        self._rest_since_ns = None
        self._command = move = Move(self._motion.move(due, before, self._measured, tick))
        return move

    @property
    def blend_s(self) -> float:
        """How long the last chunk's joining takes."""
        return self._motion.blend_s(self._params.aggregate_fn)

    def planned(self, now_ns: int) -> Doubles | None:
        """(d,) What is due now, in the policy's ``action_names`` order; None: nothing."""
        return self._plan.planned(now_ns)

    def status(self, now_ns: int) -> ExecutorStatus:
        """The executor now, to show."""
        hold = self._command if isinstance(self._command, Hold) else None
        now = Situation(self._stop, hold, self._epoch, self._measured)
        return self._report.status(now, now_ns)
