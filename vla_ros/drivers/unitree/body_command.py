# SPDX-License-Identifier: Apache-2.0
"""What Unitree's body and hands are told: softly, never fast, and given back in the end.

Nothing is told before somebody commands. Then goals begin where the joints were measured, so legs
and waist, which nobody commands, stay there. Goals follow what is commanded within the limits of
position and velocity, and stay where they are while nothing is commanded or measured.

Arms that are commanded beside the robot's own controller, by ``rt/arm_sdk``, are taken over by a
weight that rises from 0 to 1, and given back by one that falls: when nobody has commanded them for
long, and in the end. ``rt/lowcmd`` knows no weight: nobody else would hold the arms, and they would
fall. They are held for good there, as the robot itself keeps a last command.

Time is an argument [s, steady clock]; one thread, or an external lock. D joints; radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.goal_limiter import GoalLimiter
from vla_ros.drivers.unitree.body_spec import UnitreeSpec
from vla_ros.drivers.unitree.crc import sealed
from vla_ros.drivers.unitree.idl_go import MotorCmd as HandCmd
from vla_ros.drivers.unitree.idl_go import MotorCmds
from vla_ros.drivers.unitree.idl_hg import MOTORS, LowCmd, MotorCmd

Angles = NDArray[np.float64]
# Older than this, what was measured is no place to go on from [s].
STALE_S = 0.2
# A longer pause between two goals does not make the next step larger [s].
_MAX_PAUSE_S = 0.05
# For so long a weight of zero is said, because a message may be lost [s].
_FAREWELL_S = 0.1
_DRIVEN = 1


class JointFollower:
    """Goals of some joints, followed softly.

    Attributes:
        max_velocity_rad_s: How fast goals may move; 0 at first.
    """

    def __init__(self, lower: Angles, upper: Angles) -> None:
        """Nothing is measured or commanded yet.

        Args:
            lower: (D,) Least goals.
            upper: (D,) Greatest goals.
        """
        self.max_velocity_rad_s = 0.0
        self._limiter = GoalLimiter(lower, upper, 0.0)
        self._measured: Angles | None = None
        self._measured_s = -math.inf
        self._moved_s = -math.inf

    @property
    def goal(self) -> Angles | None:
        """(D,) What the joints are told; None: nothing."""
        return self._limiter.goal

    @property
    def place(self) -> Angles | None:
        """(D,) Where the joints are told to be, or else were measured; None: nobody knows."""
        return self._measured if self.goal is None else self.goal

    def measure(self, position: Angles, now_s: float) -> None:
        """Where the joints are now, (D,)."""
        self._measured, self._measured_s = position, now_s

    def is_measured(self, now_s: float) -> bool:
        """Whether it is known where the joints are."""
        return now_s - self._measured_s <= STALE_S

    def forget(self) -> None:
        """Tell the joints nothing, until the next command."""
        self._limiter.let_go()

    def follow(self, target: Angles, now_s: float) -> Angles | None:
        """(D,) The goals now; None: nothing is to be told.

        Args:
            target: (D,) What is commanded; NaN: nothing.
            now_s: Now.
        """
        if self._measured is None or not self.is_measured(now_s):
            return self.goal
        if self.goal is None:
            if np.isnan(target).all():
                return None
            self._limiter.hold(self._measured)
            self._moved_s = now_s
        pause_s = min(now_s - self._moved_s, _MAX_PAUSE_S)
        self._moved_s = now_s
        self._limiter.max_step = self.max_velocity_rad_s * pause_s
        return self._limiter.toward(target)


class Phase(Enum):
    """How a body stands to what commands it; the value says so."""

    SILENT = "nothing is sent before somebody commands"
    HOLDING = "keeps its place, because nothing is commanded"
    FOLLOWING = "follows"
    UNMEASURED = "keeps its place, because its state is stale"
    RELEASING = "is being given back"


@dataclass(frozen=True, slots=True)
class BodyGoal:
    """What the body is told.

    Attributes:
        position: (D,) Of all motors [rad].
        weight: How far it follows, 0 to 1.
    """

    position: Angles
    weight: float


class BodyCommander:
    """Takes a body over, leads it, and gives it back.

    Attributes:
        phase: How it stands.
        ramp_s: How long taking over and giving back last; 0, as at first: there is no weight.
        release_after_s: The body is given back where nobody commanded it for so long; never at
            first.
    """

    def __init__(self, follower: JointFollower) -> None:
        """Leave the body alone at first.

        Args:
            follower: (D,) Its goals.
        """
        self.phase = Phase.SILENT
        self.ramp_s = 0.0
        self.release_after_s = math.inf
        self._follower = follower
        self._weight = 0.0
        self._ending = False
        self._ticked_s = -math.inf
        self._commanded_s = -math.inf
        self._weightless_s = math.inf

    @property
    def released(self) -> bool:
        """Whether nothing of it is held, or it is held for good."""
        return self.ramp_s == 0.0 or self.phase is Phase.SILENT

    def release(self) -> None:
        """Give it back, whatever is commanded."""
        self._ending = True

    def begin(self) -> None:
        """Be ready to take it over, from where it will be measured then; nothing is told before."""
        self._ending = False
        self._fall_silent()

    def tick(self, target: Angles, now_s: float) -> BodyGoal | None:
        """What the body is told now; None: nothing.

        Args:
            target: (D,) What is commanded; NaN: nothing.
            now_s: Now.
        """
        measured = self._follower.is_measured(now_s)
        commanded = measured and not self._ending and not np.isnan(target).all()
        if commanded:
            self._commanded_s = now_s
            if self.phase is Phase.RELEASING:
                # The arms are not where the goals are any more.
                self._follower.forget()
        elif self._ending:
            target = np.full_like(target, np.nan)
        position = self._follower.follow(target, now_s)
        if position is None:
            return None
        wanted = not self._ending and now_s - self._commanded_s <= self.release_after_s
        self._move_weight(now_s, up=wanted or self.ramp_s == 0.0)
        if self.ramp_s > 0.0 and not wanted:
            self.phase = Phase.RELEASING
            if now_s - self._weightless_s > _FAREWELL_S:
                self._fall_silent()
                return None
        elif commanded:
            self.phase = Phase.FOLLOWING
        else:
            self.phase = Phase.HOLDING if measured else Phase.UNMEASURED
        return BodyGoal(position, self._weight)

    def _move_weight(self, now_s: float, *, up: bool) -> None:
        """Let the weight rise or fall."""
        began_s = now_s if self.phase is Phase.SILENT else self._ticked_s
        pause_s = min(now_s - began_s, _MAX_PAUSE_S)
        self._ticked_s = now_s
        step = pause_s / self.ramp_s if self.ramp_s > 0.0 else 1.0
        self._weight = min(max(self._weight + (step if up else -step), 0.0), 1.0)
        if self._weight > 0.0:
            self._weightless_s = math.inf
        elif self._weightless_s == math.inf:
            self._weightless_s = now_s

    def _fall_silent(self) -> None:
        self._follower.forget()
        self._weight, self._weightless_s = 0.0, math.inf
        self.phase = Phase.SILENT


def low_cmd(spec: UnitreeSpec, goal: BodyGoal, mode_machine: int, *, weighted: bool) -> LowCmd:
    """The message that says so, with its checksum.

    Args:
        spec: The body.
        goal: What it is told.
        mode_machine: As in the robot's state.
        weighted: Whether the weight is said, for ``rt/arm_sdk``.
    """
    motors = [MotorCmd() for _ in range(MOTORS)]
    for motor, position in zip(spec.motors.values(), goal.position.tolist(), strict=True):
        gains = motor.gains
        motors[motor.place] = MotorCmd(mode=_DRIVEN, q=position, kp=gains.kp, kd=gains.kd)
    if weighted:
        motors[spec.weight_place].q = goal.weight
    return sealed(LowCmd(mode_machine=mode_machine, motor_cmd=motors))


def hand_cmds(normalized: Angles) -> MotorCmds:
    """The message that tells the hands, whose values are (12,), 0 closed and 1 open."""
    return MotorCmds([HandCmd(q=value) for value in normalized.tolist()])
