# SPDX-License-Identifier: Apache-2.0
"""Jerk-limited transitions to a target that may be moving, by Ruckig, without lag once it is met.

Ruckig leads from state to state as fast as limits allow; told to follow a moving target, it lags.
Here it works in the frame that moves with the target: a command is the target plus an offset, and
Ruckig leads the offset to zero. A target that moves within the limits passes exactly. What it does
beyond them, a jump at a start, a seam or a hold, changes the offset and never the command, whose
position, velocity and acceleration are continuous.

Between two commands differences stay within the robot's velocity, its acceleration, and the jerk
that builds this acceleration up in ``jerk_time_s``. One thread. Radians or metres, seconds.
"""

from __future__ import annotations

import numpy as np
import ruckig
from numpy.typing import NDArray

from vla_ros.core.filter import Filter, FilterSettings
from vla_ros.core.robot_spec import RobotSpec

Doubles = NDArray[np.float64]

# The share of a limit that the offset is planned with even where the target uses all of it; at a
# thousandth Ruckig no longer finds a way from every state. What is too much, ``_move`` takes off.
_SHARE = 0.02
# A smaller difference is rounding and no jump [rad or m].
_EPSILON = 1e-9


def make(robot: RobotSpec, settings: FilterSettings) -> Filter:
    """Make the filter for a robot."""
    return JerkLimit(robot, jerk_time_s=settings.jerk_time_s)


class JerkLimit(Filter):
    """The target, plus an offset that dies away as fast as the joints can.

    All that is computed is of the (d,) continuous interfaces; switched ones pass untouched.
    """

    def __init__(self, robot: RobotSpec, *, jerk_time_s: float) -> None:
        """Make it; ``reset`` must come before ``step``.

        Args:
            robot: The body.
            jerk_time_s: Time in which a joint's greatest acceleration is built up.
        """
        self._columns = np.flatnonzero(~robot.switched)
        self._max_velocity = robot.limit_array("max_velocity")[self._columns]
        self._max_acceleration = robot.limit_array("max_acceleration")[self._columns]
        self._max_jerk = self._max_acceleration / jerk_time_s
        # Deceleration is built up in this time, and so is half effective meanwhile.
        self.stopping_delay_s = 0.5 * jerk_time_s
        joints = len(self._columns)
        self._ruckig = ruckig.Ruckig(joints)
        self._trajectory = ruckig.Trajectory(joints)
        self._problem = ruckig.InputParameter(joints)
        self._problem.synchronization = ruckig.Synchronization.No
        self._problem.max_jerk = self._max_jerk.tolist()
        still = np.zeros(len(robot.switched))
        self.reset(still, still)

    def reset(self, position: Doubles, velocity: Doubles) -> None:
        """Begin from here, without acceleration, as if the target had been here too."""
        self._position, self._velocity = position[self._columns], velocity[self._columns]
        self._acceleration = np.zeros_like(self._position)
        self._target, self._target_velocity = self._position, self._velocity
        self._target_acceleration = self._acceleration
        # (3, d) Value, velocity and acceleration.
        self._offset = np.zeros((3, len(self._columns)))

    def step(
        self, target: Doubles, target_velocity: Doubles, *, dt_s: float
    ) -> tuple[Doubles, Doubles]:
        """(D,), (D,) The next command, and its mean velocity since the last one."""
        self._go_along(target[self._columns], target_velocity[self._columns], dt_s)
        away = (self._offset != 0.0).any(axis=0)
        if away.any():
            self._offset = self._nearer(away, dt_s)
        self._move(dt_s)
        position, velocity = target.copy(), target_velocity.copy()
        position[self._columns], velocity[self._columns] = self._position, self._velocity
        return position, velocity

    def _go_along(self, target: Doubles, velocity: Doubles, dt_s: float) -> None:
        """Go with the target as far as limits allow; what it does beyond them is offset."""
        velocity = _between(-self._max_velocity, velocity, self._max_velocity)
        jump = target - (self._target + velocity * dt_s)
        needed = (velocity - self._target_velocity) / dt_s
        acceleration = self._clipped(needed, self._target_acceleration, dt_s)
        self._offset[0] -= np.where(np.abs(jump) > _EPSILON, jump, 0.0)
        self._offset[1] -= (needed - acceleration) * dt_s
        self._target, self._target_velocity = target, velocity
        self._target_acceleration = acceleration

    def _nearer(self, away: NDArray[np.bool_], dt_s: float) -> Doubles:
        """(3, d) The offset after this tick, on the fastest way to zero from where it is."""
        problem = self._problem
        problem.enabled = away.tolist()
        (
            problem.current_position,
            problem.current_velocity,
            problem.current_acceleration,
        ) = self._offset.tolist()
        problem.max_velocity, problem.min_velocity = _room(
            self._max_velocity, self._target_velocity
        )
        problem.max_acceleration, problem.min_acceleration = _room(
            self._max_acceleration, self._target_acceleration
        )
        try:
            self._ruckig.calculate(problem, self._trajectory)
        except (ruckig.RuckigError, ValueError):
            # Rounding, in an odd state or with a jerk time far below a tick; not every result has
            # a name in Python. Straight ahead, as far as _move lets it, and ask again from there.
            return np.zeros_like(self._offset)
        offset = np.array(self._trajectory.at_time(dt_s))
        met = np.array(self._trajectory.independent_min_durations) <= dt_s
        offset[:, met | ~away] = 0.0
        return offset

    def _move(self, dt_s: float) -> None:
        """Command target plus offset, as far as joints can; the offset takes what is left."""
        wanted = ((self._target + self._offset[0] - self._position) / dt_s - self._velocity) / dt_s
        up = self._ending_in(self._max_velocity - self._velocity, dt_s)
        down = self._ending_in(self._max_velocity + self._velocity, dt_s)
        acceleration = self._clipped(_between(-down, wanted, up), self._acceleration, dt_s)
        self._offset += np.array([[dt_s * dt_s], [dt_s], [1.0]]) * (acceleration - wanted)
        position = self._target + self._offset[0]
        self._velocity = (position - self._position) / dt_s
        self._position, self._acceleration = position, acceleration

    def _clipped(self, acceleration: Doubles, last: Doubles, dt_s: float) -> Doubles:
        """(d,) An acceleration within its limit, and within the jerk's from the last one."""
        least = np.maximum(last - self._max_jerk * dt_s, -self._max_acceleration)
        greatest = np.minimum(last + self._max_jerk * dt_s, self._max_acceleration)
        return _between(least, acceleration, greatest)

    def _ending_in(self, room: Doubles, dt_s: float) -> Doubles:
        """(d,) The greatest acceleration that can end before a velocity has grown by some room.

        A tick of ``a``, then less and less, adds ``a dt + a^2 / 2 j`` at most, however long the
        next ticks are.
        """
        room = np.maximum(room, 0.0)
        ending: Doubles = self._max_jerk * (
            np.sqrt(dt_s * dt_s + 2.0 * room / self._max_jerk) - dt_s
        )
        return ending


def _between(least: Doubles, value: Doubles, greatest: Doubles) -> Doubles:
    """(d,) A value within bounds; np.clip takes three times as long."""
    inside: Doubles = np.minimum(np.maximum(value, least), greatest)
    return inside


def _room(limit: Doubles, used: Doubles) -> tuple[list[float], list[float]]:
    """(d,), (d,) What is left of a limit upward and downward, where some of it is used."""
    least = _SHARE * limit
    return np.maximum(limit - used, least).tolist(), np.minimum(-limit - used, -least).tolist()
