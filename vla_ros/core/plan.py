# SPDX-License-Identifier: Apache-2.0
"""What is going to be executed: the queue, on a clock that runs while the robot executes it.

Moments are of the ROS clock, integer nanoseconds; the plan's own clock is hidden in here. One
thread, or an external lock. Radians, metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.chunk_queue import ChunkQueue, Joining
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.plan_clock import PlanClock
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.track import Track

Doubles = NDArray[np.float64]

# A chunk's step may differ by this share from the policy's, as a rounded rate does.
_STEP_SHARE = 0.01


class Plan:
    """The actions of one policy, in time.

    Attributes:
        newest: The chunk that was joined last; None since the last ``clear``.
    """

    def __init__(
        self,
        policy: PolicySpec,
        robot: RobotSpec,
        columns: NDArray[np.int_],
        params: ExecutorParams,
    ) -> None:
        """Nothing is planned.

        Args:
            policy: The checkpoint.
            robot: The body.
            columns: (d,) Where the policy's interfaces are among the robot's ``command_names``.
            params: How chunks are joined.

        Raises:
            ConfigError: The parameters do not fit the policy.
        """
        self._policy = policy
        lower, upper = robot.limit_array("lower")[columns], robot.limit_array("upper")[columns]
        # Actions further out are taken for these: the limits clip both, but absurd ones overflow on
        # the way there.
        self._reach = 2.0 * lower - upper, 2.0 * upper - lower
        self._params = params
        self._queue = ChunkQueue(robot.switched[columns], self.joining(params))
        self._clock: PlanClock | None = None
        self._executed_ns = 0
        # The first chunk since the last tick: when it came, and how fast the plan before it moved.
        self._seam: tuple[int, Doubles] | None = None
        self.newest: ActionChunk | None = None

    def joining(self, params: ExecutorParams) -> Joining:
        """How chunks are joined by some parameters.

        Raises:
            ConfigError: They do not fit the policy.
        """
        return Joining(
            functions=params.functions(self._policy.action_names),
            blend_ns=round(params.blend_steps * self._policy.step_ns),
            smoothing_steps=params.smoothing_steps,
            interpolation=params.interpolation,
            actions_per_chunk=params.chunk_length,
        )

    def configure(self, params: ExecutorParams) -> None:
        """Join the next chunks in this way.

        Raises:
            ConfigError: The parameters do not fit the policy.
        """
        self._queue.joining = self.joining(params)
        self._params = params

    @property
    def decays(self) -> NDArray[np.bool_]:
        """(d,) Which interfaces are joined by offset decay."""
        return np.array([name == "offset_decay" for name in self._queue.joining.functions])

    @property
    def chunk_steps(self) -> int:
        """How many actions a fresh chunk has."""
        return min(self._params.chunk_length, self._policy.horizon)

    @property
    def executed_steps(self) -> float:
        """How many steps of chunks have been executed so far."""
        return self._executed_ns / self._policy.step_ns

    def clear(self) -> None:
        """Drop everything."""
        self._queue.clear()
        self._seam = None
        self.newest = None

    def restart_clock(self, now_ns: int) -> None:
        """Forget about moments before now; the ROS clock has begun, or has jumped."""
        self.clear()
        self._clock = PlanClock(now_ns)

    def _at(self, ros_ns: int) -> int:
        return ros_ns if self._clock is None else self._clock.at(ros_ns)

    def offer(self, chunk: ActionChunk, now_ns: int, *, rate: Doubles) -> None:
        """Join a chunk.

        Args:
            chunk: The chunk.
            now_ns: Now.
            rate: (d,) How fast the command moves beside the plan before it [1/s].

        Raises:
            ChunkRefused: The chunk is not for now. It is dropped whole.
        """
        self._check(chunk, now_ns)
        plan_ns = self._at(now_ns)
        velocity = self._queue.velocity(plan_ns) * self.speed + rate
        used = chunk.moved_to(self._at(chunk.stamp_ns), np.clip(chunk.actions, *self._reach))
        self._queue.offer(used, now_ns=plan_ns)
        if self._seam is None:
            self._seam = plan_ns, velocity
        self.newest = chunk

    def _check(self, chunk: ActionChunk, now_ns: int) -> None:
        if chunk.names != self._policy.action_names:
            raise ChunkRefused(
                "other_interfaces",
                f"the chunk commands {', '.join(chunk.names)}; policy {self._policy.name} commands"
                f" {', '.join(self._policy.action_names)}",
            )
        if abs(chunk.step_ns - self._policy.step_ns) > _STEP_SHARE * self._policy.step_ns:
            raise ChunkRefused(
                "other_step",
                f"the chunk's step is {chunk.step_ns * 1e-9:g} s; that of policy"
                f" {self._policy.name} is {self._policy.step_ns * 1e-9:g} s",
            )
        newest, age_s = self.newest, (now_ns - chunk.stamp_ns) * 1e-9
        if age_s < -chunk.step_ns * 1e-9:
            raise ChunkRefused("early", f"the chunk's observation is {-age_s:.3f} s in the future")
        if age_s > self._params.request_timeout_s:
            raise ChunkRefused(
                "late", f"the chunk's observation was {age_s:.3f} s old when it came"
            )
        if newest is not None and chunk.stamp_ns < newest.stamp_ns:
            raise ChunkRefused(
                "out_of_order", "the chunk comes of an older observation than what is queued"
            )
        if newest is not None and chunk.request_id and chunk.request_id == newest.request_id:
            raise ChunkRefused("duplicate", f"request {chunk.request_id} has its chunk already")

    @property
    def speed(self) -> float:
        """How fast the plan's clock ran in the last tick, 0 to 1."""
        return 0.0 if self._clock is None else self._clock.speed

    def planned(self, now_ns: int) -> Doubles | None:
        """(d,) What is due at a moment; None: nothing."""
        return self._queue.sample(self._at(now_ns))

    def ahead(self, now_ns: int, speed: float) -> Doubles | None:
        """(d,) What is due after the time since the last tick, at a speed; None: nothing."""
        if self._clock is None:
            return None
        return self._queue.sample(self._clock.ahead(now_ns, speed=speed))

    def hold(self, now_ns: int, speed: float) -> None:
        """Let time pass without the robot executing anything.

        Args:
            now_ns: Now.
            speed: With which the time since the last tick would have passed. What is left but would
                not have lasted so long is over.
        """
        if self._clock is None:
            self._clock = PlanClock(now_ns)
        if self.ahead(now_ns, speed) is None:
            self._queue.clear()
        self._clock.run(now_ns, speed=0.0)

    def run(self, now_ns: int, speed: float) -> Doubles:
        """Let the time since the last tick pass at a speed; something must be due ``ahead``.

        Returns:
            (d,) What the plan has for the last tick.
        """
        clock = self._clock
        before = None if clock is None else self._queue.sample(clock.now_ns)
        if clock is None or before is None:
            raise RuntimeError("nothing is due")
        last_ns = clock.now_ns
        clock.run(now_ns, speed=speed)
        self._executed_ns += clock.now_ns - last_ns
        return before

    def velocity(self) -> Doubles:
        """(d,) How fast the plan moves at full speed [1/s]."""
        return self._queue.velocity(0 if self._clock is None else self._clock.now_ns)

    def take_seam(self) -> Doubles | None:
        """(d,) By how much the plan before a new chunk was faster [1/s]; None: no new chunk.

        The velocities of the two plans are compared at the same moment, so that a chunk that
        repeats the old plan leaves no trace, whatever that plan's corners.
        """
        seam, self._seam = self._seam, None
        return None if seam is None else seam[1] - self._queue.velocity(seam[0]) * self.speed

    def remaining_steps(self, now_ns: int) -> float:
        """How many actions are left; never negative."""
        return self._queue.remaining_steps(self._at(now_ns))

    def left(self, now_ns: int) -> tuple[int, Track] | None:
        """When the queued plan's first action was due, and that plan; None: nothing is left.

        The moment is as if the robot had moved at full speed meanwhile.
        """
        track = self._queue.plan
        if track is None or self.remaining_steps(now_ns) <= 0.0:
            return None
        return now_ns - (self._at(now_ns) - track.stamp_ns), track
