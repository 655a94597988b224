# SPDX-License-Identifier: Apache-2.0
"""What a filter of commands is. Pure; filters are of ``vla_ros.filters``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec


class Filter(Protocol):
    """One stage between what is due and the limits. One thread.

    Interfaces that are switched pass untouched.

    Attributes:
        stopping_delay_s: How much later than the limits allow it comes to rest: so much further it
            goes, at the speed that it has.
    """

    stopping_delay_s: float

    def reset(self, position: NDArray[np.float64], velocity: NDArray[np.float64]) -> None:
        """Begin from here.

        Args:
            position: (D,) The last command, in the robot's ``command_names`` order.
            velocity: (D,) How fast it moves.
        """

    def step(
        self, target: NDArray[np.float64], target_velocity: NDArray[np.float64], *, dt_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(D,), (D,) What comes out after another tick, and how fast it moves.

        Args:
            target: (D,) What goes in.
            target_velocity: (D,) How fast that moves; a jump of the target is not a velocity.
            dt_s: Time since the last tick, greater than zero.
        """


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """What filters can be told.

    Attributes:
        low_pass_cutoff_hz: Above this a low-pass damps.
        jerk_time_s: Time in which a joint's greatest acceleration may be reached.
    """

    low_pass_cutoff_hz: float
    jerk_time_s: float


MakeFilter = Callable[[str, RobotSpec, FilterSettings], Filter]


def no_filter(name: str, robot: RobotSpec, settings: FilterSettings) -> Filter:
    """Make no filter.

    Raises:
        ConfigError: Always.
    """
    raise ConfigError(f"filters: {name!r} cannot be had for {robot.name}: {settings}")
