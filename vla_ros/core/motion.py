# SPDX-License-Identifier: Apache-2.0
"""From what is due to what is commanded: a chain of small stages.

The offset from the last command is led in, filters follow in the order that they were named in, and
the limits come last, always. Every command of a robot, moving or holding, passes the same chain.
One thread, or an external lock. Radians, metres, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.aggregates import AggregateFn
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.filter import Filter, FilterSettings, MakeFilter
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.limits import CommandLimiter
from vla_ros.core.offset_decay import OffsetDecay, gentle_duration_s
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.tick import Tick
from vla_ros.core.workspace import Workspace

Doubles = NDArray[np.float64]

# The share of a joint's velocity and acceleration that an offset may take; the rest is the plan's.
_OFFSET_SHARE = 0.5
# A command that moves slower than this is at rest [rad/s or m/s].
_REST = 1e-6


class Motion:
    """The command, as it moves.

    Attributes:
        limiter: The last stage, which knows the last command.
    """

    def __init__(
        self,
        robot: RobotSpec,
        columns: NDArray[np.int_],
        step_s: float,
        make_filter: MakeFilter,
    ) -> None:
        """Nothing is commanded yet.

        Args:
            robot: The body.
            columns: (d,) Where the policy's interfaces are among the robot's ``command_names``.
            step_s: The policy's step.
            make_filter: Makes a filter of its name.

        Raises:
            ConfigError: The robot's workspace does not fit its URDF.
        """
        self._robot = robot
        self._make_filter = make_filter
        self._workspace = _workspace(robot)
        self.limiter = CommandLimiter(robot)
        self._columns = columns
        self._step_s = step_s
        self._switched = robot.switched
        self._share = (
            _OFFSET_SHARE * robot.limit_array("max_velocity")[columns],
            _OFFSET_SHARE * robot.limit_array("max_acceleration")[columns],
        )
        self._params = ExecutorParams()
        self._filters: Sequence[Filter] = ()
        self._decay = OffsetDecay(0, 1, np.zeros(len(columns)), np.zeros(len(columns)))
        self._hold_target: Doubles | None = None
        # What the filters were last told to follow.
        self._target: Doubles | None = None

    def filters(self, params: ExecutorParams) -> tuple[Filter, ...]:
        """The filters that parameters name.

        Raises:
            ConfigError: There is none of that name, or it cannot work here.
        """
        settings = FilterSettings(params.low_pass_cutoff_hz, params.jerk_time_s)
        return tuple(self._make_filter(name, self._robot, settings) for name in params.filters)

    def configure(self, params: ExecutorParams) -> None:
        """Change the stages; the next command starts from the last one.

        Raises:
            ConfigError: As ``filters``; then nothing has changed.
        """
        self._filters, self._params = self.filters(params), params
        self._settle_filters()

    def forget(self) -> None:
        """Forget the last command; ``anchor`` must come before the next one."""
        self.limiter.forget()

    def halt(self) -> None:
        """The robot has come to rest where it was commanded to be last."""
        self.limiter.halt()
        self._hold_target = self._target = None
        self._settle_filters()

    def _settle_filters(self) -> None:
        position = self.limiter.position
        if position is not None:
            for stage in self._filters:
                stage.reset(position, self.limiter.velocity)

    @property
    def position(self) -> Doubles | None:
        """(D,) The last command; None before the first."""
        return self.limiter.position

    @property
    def at_rest(self) -> bool:
        """Whether the command does not move."""
        return bool(np.all(np.abs(self.limiter.velocity) < _REST))

    def anchor(self, measured: Doubles) -> None:
        """Start afresh, at rest, from where the robot is.

        Args:
            measured: (D,) The measured pose.
        """
        self.limiter.anchor(measured)
        self._hold_target = self._target = None
        self._settle_filters()

    def offset_rate(self, now_ns: int) -> Doubles:
        """(d,) How fast the offset decays at a moment of the ROS clock [1/s]."""
        return self._decay.rate_at(now_ns)

    def blend_s(self, function: AggregateFn) -> float:
        """How long the last plan's joining takes by an aggregate [s]; 0: it is joined at once."""
        if function == "offset_decay":
            return self._decay.duration_ns * 1e-9
        return self._params.blend_steps * self._step_s if function == "crossfade" else 0.0

    def offsets(self, moments_ns: NDArray[np.int64]) -> Doubles:
        """(T, d) The offset at (T,) moments of the ROS clock."""
        return self._decay.over(moments_ns)

    def recover(
        self, before: Doubles, velocity: Doubles, *, last_ns: int, at_least_s: float
    ) -> None:
        """Go over from a hold to a plan: the offset of the last command dies away from now on.

        Args:
            before: (d,) What the plan has for the last tick.
            velocity: (d,) How fast it moves there [1/s].
            last_ns: When that was, on the ROS clock.
            at_least_s: How long this takes at least.
        """
        rate = self.limiter.velocity[self._columns] - velocity
        self._lead_in(self._last() - before, rate, last_ns=last_ns, at_least_s=at_least_s)

    def join(
        self, before: Doubles, rate: Doubles, *, last_ns: int, decays: NDArray[np.bool_]
    ) -> None:
        """Go over from one plan to another.

        Args:
            before: (d,) What the new plan has for the last tick.
            rate: (d,) By how much the old one was faster [1/s].
            last_ns: When that was, on the ROS clock.
            decays: (d,) Which interfaces are led in; the others jump, as far as limits let them.
        """
        if not decays.any():
            return
        offset = np.where(decays, self._last() - before, self._decay.at(last_ns))
        rate = np.where(decays, rate, self._decay.rate_at(last_ns))
        self._lead_in(offset, rate, last_ns=last_ns, at_least_s=0.0)

    def _last(self) -> Doubles:
        """(d,) The last command, as it was before the filters."""
        last = self._target if self._filters and self._target is not None else self._commanded()
        return last[self._columns]

    def _lead_in(self, offset: Doubles, rate: Doubles, *, last_ns: int, at_least_s: float) -> None:
        """It takes ``blend_steps``, and longer where the joints would have to hurry."""
        leads = ~self._switched[self._columns]
        offset = np.where(leads, offset, 0.0)
        velocity, acceleration = self._share
        needed_s = gentle_duration_s(offset, max_velocity=velocity, max_acceleration=acceleration)
        duration_s = max(self._params.blend_steps * self._step_s, needed_s, at_least_s)
        self._decay = OffsetDecay(
            last_ns, round(duration_s * 1e9), offset, np.where(leads, rate, 0.0)
        )

    def move(
        self,
        due: Doubles,
        before: Doubles,
        measured: Doubles | None,
        tick: Tick,
    ) -> Doubles:
        """(D,) The next command on the way along a plan.

        Args:
            due: (d,) What is due now.
            before: (d,) What the same plan has for the last tick.
            measured: (D,) The measured pose.
            tick: Now; some time has passed.
        """
        dt_s, columns = tick.passed_s, self._columns
        due = due + self._decay.at(tick.now_ns)
        before = before + self._decay.at(tick.last_ns)
        target = self._commanded().copy()
        velocity = np.zeros_like(target)
        target[columns] = due
        velocity[columns] = np.where(self._switched[columns], 0.0, (due - before) / dt_s)
        self._hold_target = None
        within = self.limiter.within(self._params.position_margin)
        reach = self._params.max_relative_target
        if reach > 0.0 and measured is not None:
            within = (
                np.maximum(within[0], measured - reach),
                np.minimum(within[1], measured + reach),
            )
        return self._follow(target, velocity, dt_s, within)

    def give_way(self, measured: Doubles) -> None:
        """Hold where the robot is, so that it does not go on pushing.

        Args:
            measured: (D,) The measured pose.
        """
        self._hold_target = measured.copy()

    def hold(self, dt_s: float) -> Doubles:
        """(D,) The next command on the way to rest, and at rest."""
        if self._hold_target is None:
            delay_s = sum(stage.stopping_delay_s for stage in self._filters)
            further = np.where(self._switched, 0.0, delay_s * self.limiter.velocity)
            self._hold_target = self.limiter.stopping_point(dt_s) + further
        still = np.zeros_like(self._hold_target)
        within = self.limiter.within(self._params.position_margin)
        return self._follow(self._hold_target, still, dt_s, within)

    def _follow(
        self, target: Doubles, velocity: Doubles, dt_s: float, within: tuple[Doubles, Doubles]
    ) -> Doubles:
        self._target = target
        for stage in self._filters:
            target, velocity = stage.step(target, velocity, dt_s=dt_s)
        return self.limiter.follow(
            target,
            velocity,
            dt_s=dt_s,
            within=within,
            preserve_direction=self._params.preserve_direction,
            bounds=self._workspace,
        )

    @property
    def watches_hand_speed(self) -> bool:
        """Whether there is a greatest speed of the hand."""
        return self._workspace is not None and self._workspace.max_speed_m_s is not None

    def hand_speed_share(self, velocity: Doubles) -> float:
        """The share of the plan's speed that the workspace's greatest speed leaves, 0 to 1.

        Args:
            velocity: (d,) How fast the plan moves at full speed [1/s].
        """
        position, workspace = self.position, self._workspace
        if position is None or workspace is None:
            return 1.0
        whole = np.zeros_like(position)
        whole[self._columns] = velocity
        return workspace.speed_share(position, whole)

    def _commanded(self) -> Doubles:
        position = self.limiter.position
        if position is None:
            raise RuntimeError("anchor() must come before a command")
        return position


def _workspace(robot: RobotSpec) -> Workspace | None:
    """Where the robot's hand may be; None: anywhere."""
    if robot.workspace is None or robot.urdf is None:
        return None
    return Workspace(robot.workspace, Kinematics.from_file(robot.urdf), robot.command_names)
