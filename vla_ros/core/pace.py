# SPDX-License-Identifier: Apache-2.0
"""How fast the plan's clock may run now: reduced speed, soft start, and no jump between speeds.

One thread, or an external lock.
"""

from __future__ import annotations

# A change of speed from none to full takes this long.
_CHANGE_S = 0.25


class Pace:
    """The speed of the plan's clock, 0 to 1.

    >>> pace = Pace()
    >>> pace.start()
    >>> [pace.next(0.1, scale=1.0, soft_start_s=0.2, moving=True) for _ in range(3)]
    [0.5, 1.0, 1.0]
    """

    def __init__(self) -> None:
        """At rest."""
        self._speed = 1.0
        self._moved_s = 0.0

    def start(self) -> None:
        """Begin a soft start with the next movement."""
        self._moved_s = 0.0

    def next(self, dt_s: float, *, scale: float, soft_start_s: float, moving: bool) -> float:
        """The speed of the coming tick.

        Args:
            dt_s: Length of the tick.
            scale: The speed that is wished for, 0 to 1.
            soft_start_s: Time from rest to full speed after ``start``.
            moving: Whether the robot is going to move in this tick.
        """
        change = dt_s / _CHANGE_S
        self._speed += min(max(scale - self._speed, -change), change)
        if moving:
            self._moved_s += dt_s
        share = self._moved_s / soft_start_s if soft_start_s > 0.0 else 1.0
        return self._speed * min(share, 1.0)
