# SPDX-License-Identifier: Apache-2.0
"""The last thing that touches a command: position, velocity and acceleration limits.

A command is reached from the last *command*, never from a measurement, so the limits hold on what
is sent. What was clipped, and by how much, is counted per interface. One thread, or an external
lock.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.robot_spec import RobotSpec

# Below this a command counts as unclipped: rounding, not limiting [rad or m].
_EPSILON = 1e-9

Range = tuple[NDArray[np.float64], NDArray[np.float64]]


class Bounds(Protocol):
    """What else bounds a command, beside each joint's own limits."""

    def may_go(self, stop: NDArray[np.float64], next_stop: NDArray[np.float64]) -> bool:
        """Whether to take the next step; else the command brakes.

        Args:
            stop: (D,) Where the command would come to rest if it braked now.
            next_stop: (D,) The same after the next step.
        """

    def speed_share(self, positions: NDArray[np.float64], velocities: NDArray[np.float64]) -> float:
        """The share of a velocity that is allowed, 0 to 1.

        Args:
            positions: (D,) The last command.
            velocities: (D,) How fast it would move.
        """


class CommandLimiter:
    """Follows targets as closely as a robot's limits allow."""

    def __init__(self, robot: RobotSpec) -> None:
        """Take the limits of a robot's commanded interfaces, in ``command_names`` order."""
        self._lower = robot.limit_array("lower")
        self._upper = robot.limit_array("upper")
        self._max_velocity = robot.limit_array("max_velocity")
        self._max_acceleration = robot.limit_array("max_acceleration")
        self._switched = robot.switched
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

    def halt(self) -> None:
        """The robot has come to rest where it was commanded to be last."""
        self._velocity = np.zeros_like(self._velocity)

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

    def within(self, margin: float) -> Range:
        """(D,) Least and greatest targets that stay inside the position limits by a margin."""
        middle = 0.5 * (self._lower + self._upper)
        return np.minimum(self._lower + margin, middle), np.maximum(self._upper - margin, middle)

    def stopping_point(self, dt_s: float) -> NDArray[np.float64]:
        """(D,) Where the command comes to rest if it decelerates from now on.

        Args:
            dt_s: Time between commands, greater than zero.
        """
        stop = self._rest(self._anchored(), self._velocity, dt_s)
        return np.clip(stop, self._lower, self._upper)

    def _rest(
        self, position: NDArray[np.float64], velocity: NDArray[np.float64], dt_s: float
    ) -> NDArray[np.float64]:
        brake = self._max_acceleration * dt_s
        speed = np.abs(velocity)
        ticks = np.floor(speed / brake)
        distance = dt_s * (ticks * speed - 0.5 * brake * ticks * (ticks + 1.0))
        stop: NDArray[np.float64] = position + np.sign(velocity) * distance
        return stop

    def follow(
        self,
        target: NDArray[np.float64],
        target_velocity: NDArray[np.float64],
        *,
        dt_s: float,
        within: Range,
        preserve_direction: bool = False,
        bounds: Bounds | None = None,
    ) -> NDArray[np.float64]:
        """The next command on the way to a target that may itself be moving.

        In the frame that moves with the target the command brakes as late as it can, so it meets
        a resting target without overshoot and a moving one without lag.

        Args:
            target: (D,) Where the command should be now.
            target_velocity: (D,) How fast that moves; a jump of the target is not a velocity.
            dt_s: Time since the last command, greater than zero.
            within: (D,), (D,) Targets are clipped to this range.
            preserve_direction: Where one joint is too slow, all others slow down with it.
            bounds: What else bounds the command. It slows down, and comes to rest, no faster than
                the accelerations let it.

        Returns:
            (D,) The command. It is this limiter's position from now on.
        """
        position = self._anchored()
        goal = np.clip(target, *within)
        brake = self._max_acceleration * dt_s
        inside = np.where(goal == target, target_velocity, 0.0)
        gap = goal - (position + inside * dt_s)
        wanted = inside + np.sign(gap) * _approach(np.abs(gap) / dt_s, brake)
        if preserve_direction:
            wanted = self._slowed_together(wanted)
        velocity = self._feasible(position, wanted, dt_s)
        if bounds is not None:
            wanted = velocity * bounds.speed_share(position, velocity)
            velocity = self._feasible(position, wanted, dt_s)
            here = self._rest(position, self._velocity, dt_s)
            if not bounds.may_go(here, self._rest(position + velocity * dt_s, velocity, dt_s)):
                velocity = self._feasible(position, np.zeros_like(wanted), dt_s)
        command = position + velocity * dt_s
        self._count(np.abs(command - target))
        self._velocity = velocity
        self._position = command
        return command

    def _slowed_together(self, wanted: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,) A velocity of the same direction that no continuous interface is too slow for."""
        excess = np.abs(wanted) / self._max_velocity
        share = max(1.0, float(np.max(excess, where=~self._switched, initial=0.0)))
        return np.where(self._switched, wanted, wanted / share)

    def _feasible(
        self, position: NDArray[np.float64], wanted: NDArray[np.float64], dt_s: float
    ) -> NDArray[np.float64]:
        """(D,) The nearest velocity within all limits, now and later."""
        brake = self._max_acceleration * dt_s
        velocity = np.clip(wanted, self._velocity - brake, self._velocity + brake)
        velocity = np.clip(velocity, -self._max_velocity, self._max_velocity)
        # The pose may have been measured outside the limits; it is led back in, never thrown.
        up = _stoppable(np.maximum(self._upper - position, 0.0), self._max_acceleration, dt_s)
        down = _stoppable(np.maximum(position - self._lower, 0.0), self._max_acceleration, dt_s)
        return np.clip(velocity, -down, up)

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


def _stoppable(
    gap: NDArray[np.float64], acceleration: NDArray[np.float64], dt_s: float
) -> NDArray[np.float64]:
    """(D,) The fastest speed in this tick that lets a command stop before a bound.

    A tick of ``v``, then braking, takes ``v dt + v^2 / 2 a`` at most, however long the next ticks
    are. Never negative.

    Args:
        gap: (D,) Distance to the bound, not negative.
        acceleration: (D,) Greatest deceleration [1/s^2].
        dt_s: Length of this tick.
    """
    speed: NDArray[np.float64] = acceleration * (
        np.sqrt(dt_s * dt_s + 2.0 * gap / acceleration) - dt_s
    )
    return speed
