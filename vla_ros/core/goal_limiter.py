# SPDX-License-Identifier: Apache-2.0
"""What a position servo is told: towards a target, within bounds and never far at once.

The last guard before a motor, whoever commands it. Pure; one thread, or an external lock. Radians.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Angles = NDArray[np.float64]


class GoalLimiter:
    """The goals of some servos.

    Attributes:
        max_step: The most that a goal moves at once.
        limited: How often a goal was kept back: (D,) by its bounds or by ``max_step``.
    """

    def __init__(self, lower: Angles, upper: Angles, max_step: float) -> None:
        """Know no goal yet.

        Args:
            lower: (D,) Least goals.
            upper: (D,) Greatest goals.
            max_step: The most that a goal moves at once.
        """
        self.max_step = max_step
        self.limited = np.zeros(len(lower), dtype=np.int64)
        self._lower = lower
        self._upper = upper
        self._goal: Angles | None = None

    @property
    def goal(self) -> Angles | None:
        """(D,) The goals in force; None while nothing is held."""
        return self._goal

    def hold(self, position: Angles) -> Angles:
        """(D,) Begin from where the servos are, even out of bounds: nothing shall jump."""
        self._goal = position.copy()
        return self._goal

    def let_go(self) -> None:
        """Have no goal."""
        self._goal = None

    def toward(self, target: Angles) -> Angles:
        """(D,) The next goals; ``hold`` must have been called.

        Args:
            target: (D,) Where the servos shall go; NaN: stay.
        """
        if self._goal is None:
            raise RuntimeError("toward needs hold before it")
        wanted = np.where(np.isnan(target), self._goal, target)
        bounded = np.where(np.isnan(target), wanted, np.clip(wanted, self._lower, self._upper))
        step = np.clip(bounded - self._goal, -self.max_step, self.max_step)
        self._goal = self._goal + step
        self.limited += np.abs(self._goal - wanted) > 1e-12
        return self._goal
