# SPDX-License-Identifier: Apache-2.0
"""A first-order low-pass: what trembles faster than the cutoff is damped, and all of it lags.

Each tick goes the share ``1 - exp(-2 pi f dt)`` of the way to the target, which is exact for a
target that stands still during the tick, however long that is. Behind a ramp it settles
``1 / (2 pi f)`` late, less about half a tick: 32 ms at 5 Hz. A jump is rounded off, not limited.
One thread. Radians or metres, seconds, Hz.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.filter import Filter, FilterSettings
from vla_ros.core.robot_spec import RobotSpec

Doubles = NDArray[np.float64]


def make(robot: RobotSpec, settings: FilterSettings) -> Filter:
    """Make the filter for a robot."""
    return LowPass(robot.switched, cutoff_hz=settings.low_pass_cutoff_hz)


class LowPass(Filter):
    """Follows the target exponentially."""

    def __init__(self, switched: NDArray[np.bool_], *, cutoff_hz: float) -> None:
        """Make it; ``reset`` must come before ``step``.

        Args:
            switched: (D,) Which interfaces pass untouched.
            cutoff_hz: Where a sine is damped to 71 %, greater than zero.
        """
        self.stopping_delay_s = 0.0
        self._switched = switched
        self._rate = 2.0 * math.pi * cutoff_hz
        self._position = np.zeros(len(switched))

    def reset(self, position: Doubles, velocity: Doubles) -> None:
        """Begin from here; a low-pass of first order remembers no velocity."""
        self._position = position.copy()

    def step(
        self, target: Doubles, target_velocity: Doubles, *, dt_s: float
    ) -> tuple[Doubles, Doubles]:
        """(D,), (D,) The next command, and its mean velocity since the last one."""
        share = -math.expm1(-self._rate * dt_s)
        moved = np.where(self._switched, target, self._position + share * (target - self._position))
        velocity = np.where(self._switched, target_velocity, (moved - self._position) / dt_s)
        self._position = moved
        return moved.copy(), velocity
