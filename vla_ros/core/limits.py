# SPDX-License-Identifier: Apache-2.0
"""The last thing that touches a command: position, velocity and acceleration limits.

A command is reached from the last *command*, never from a measurement, so the limits hold on what
is sent. What was clipped, and by how much, is counted per interface. One thread, or an external
lock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.robot_spec import RobotSpec

# Below this a command counts as unclipped: rounding, not limiting [rad or m].
_EPSILON = 1e-9


class CommandLimiter:
    """Follows targets as closely as a robot's limits allow."""

    def __init__(self, robot: RobotSpec) -> None:
        """Take the limits of a robot's commanded interfaces, in ``command_names`` order."""
        self._lower = robot.limit_array("lower")
        self._upper = robot.limit_array("upper")
        self._max_velocity = robot.limit_array("max_velocity")
        self._max_acceleration = robot.limit_array("max_acceleration")
        self._position: NDArray[np.float64] | None = None
        self._velocity = np.zeros_like(self._lower)
        self.clipped = np.zeros(len(self._lower), dtype=np.uint64)
        self.clipped_by_max = np.zeros_like(self._lower)

    @property
    def position(self) -> NDArray[np.float64] | None:
        """(D,) The last command; None before the first."""
        return self._position

    @property
    def velocity(self) -> NDArray[np.float64]:
        """(D,) How fast the command moves [1/s]."""
        return self._velocity

    def anchor(self, position: NDArray[np.float64]) -> None:
        """Start afresh, at rest, from where the robot is.

        Args:
            position: (D,) The measured pose.
        """
        self._position = position.copy()
        self._velocity = np.zeros_like(position)

    def forget(self) -> None:
        """Forget the last command; ``anchor`` must come before the next ``follow``."""
        self._position = None

    def stopping_point(self, dt_s: float) -> NDArray[np.float64]:
        """(D,) Where the command comes to rest if it decelerates from now on.

        Args:
            dt_s: Time between commands, greater than zero.
        """
        brake = self._max_acceleration * dt_s
        speed = np.abs(self._velocity)
        ticks = np.floor(speed / brake)
        distance = dt_s * (ticks * speed - 0.5 * brake * ticks * (ticks + 1.0))
        stop = self._anchored() + np.sign(self._velocity) * distance
        return np.clip(stop, self._lower, self._upper)

    def follow(
        self,
        target: NDArray[np.float64],
        target_velocity: NDArray[np.float64],
        *,
        dt_s: float,
        margin: float,
    ) -> NDArray[np.float64]:
        """The next command on the way to a target that may itself be moving.

        In the frame that moves with the target the command brakes as late as it can, so it meets
        a resting target without overshoot and a moving one without lag.

        Args:
            target: (D,) Where the command should be now.
            target_velocity: (D,) How fast that moves; a jump of the target is not a velocity.
            dt_s: Time since the last command, greater than zero.
            margin: How far inside the position limits to stay.

        Returns:
            (D,) The command. It is this limiter's position from now on.
        """
        position = self._anchored()
        middle = 0.5 * (self._lower + self._upper)
        goal = np.clip(
            target,
            np.minimum(self._lower + margin, middle),
            np.maximum(self._upper - margin, middle),
        )
        brake = self._max_acceleration * dt_s
        inside = np.where(goal == target, target_velocity, 0.0)
        gap = goal - (position + inside * dt_s)
        wanted = inside + np.sign(gap) * _approach(np.abs(gap) / dt_s, brake)
        velocity = np.clip(wanted, self._velocity - brake, self._velocity + brake)
        velocity = np.clip(velocity, -self._max_velocity, self._max_velocity)
        command = position + velocity * dt_s
        # The pose may have been measured outside the limits; it is led back in, never thrown.
        command = np.clip(
            command, np.minimum(self._lower, position), np.maximum(self._upper, position)
        )
        self._count(np.abs(command - target))
        self._velocity = (command - position) / dt_s
        self._position = command
        return command

    def _anchored(self) -> NDArray[np.float64]:
        if self._position is None:
            raise RuntimeError("anchor() must come before a command can be limited")
        return self._position

    def _count(self, excess: NDArray[np.float64]) -> None:
        self.clipped += excess > _EPSILON
        self.clipped_by_max = np.maximum(self.clipped_by_max, excess)


def _approach(gap: NDArray[np.float64], brake: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D,) The fastest speed that can still come to rest within a gap, tick by tick.

    Speeds ``v, v - b, v - 2 b ...`` of ``n`` ticks sum up to the gap when
    ``v = (gap + b n (n - 1) / 2) / n``. The continuous ``v^2 = 2 a d`` overshoots between ticks.

    Args:
        gap: (D,) Distance per tick length, not negative [1/s].
        brake: (D,) Greatest change of speed in a tick [1/s].
    """
    ticks = np.ceil(0.5 * (np.sqrt(1.0 + 8.0 * gap / brake) - 1.0))
    ticks = np.maximum(ticks, 1.0)
    speed: NDArray[np.float64] = gap / ticks + 0.5 * brake * (ticks - 1.0)
    return speed
