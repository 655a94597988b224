# SPDX-License-Identifier: Apache-2.0
"""A world's time runs with the clock. Pure: the clock's time is an argument. One thread."""

from __future__ import annotations


class RealTime:
    """Says up to which moment a world's physics shall be stepped."""

    def __init__(self, *, max_lag_s: float = 0.2) -> None:
        """Call ``begin`` before anything else.

        Args:
            max_lag_s: Where the clock is further ahead of the world, the world gives up catching
                up: time is lost.
        """
        self._max_lag_s = max_lag_s
        self._zero_s = 0.0

    def begin(self, *, world_s: float, now_s: float) -> None:
        """From now on the world's time runs with the clock.

        Args:
            world_s: The world's time.
            now_s: The clock's.
        """
        self._zero_s = now_s - world_s

    def until(self, *, world_s: float, now_s: float) -> tuple[float, float]:
        """The world's time that it is now, and how much time was lost, as a rule none.

        Args:
            world_s: The time up to which the world was stepped.
            now_s: The clock's time.
        """
        elapsed_s = now_s - self._zero_s
        lag_s = elapsed_s - world_s
        if lag_s <= self._max_lag_s:
            return elapsed_s, 0.0
        self._zero_s += lag_s
        return world_s, lag_s
