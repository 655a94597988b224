# SPDX-License-Identifier: Apache-2.0
"""What time has passed since the last tick: some, none, far too much, or less than none.

One thread, or an external lock. Integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# After so long without a command, in time and in ticks, a robot has come to rest at its last one.
_STALL_NS = 100_000_000
_STALL_TICKS = 3


@dataclass(frozen=True, slots=True)
class Tick:
    """One tick.

    Attributes:
        now_ns: Now.
        passed_ns: Time in which the robot went on; of a tick that went back, one period.
        kind: ``first`` of all, ``usual``, ``stalled`` when it comes far too late, or ``back`` when
            the clock went back.
    """

    now_ns: int
    passed_ns: int
    kind: Literal["first", "usual", "stalled", "back"]

    @property
    def passed_s(self) -> float:
        """Time in which the robot went on [s]."""
        return self.passed_ns * 1e-9

    @property
    def last_ns(self) -> int:
        """When the robot got the command before, or could have got it."""
        return self.now_ns - self.passed_ns


class TickTimer:
    """Tells ticks apart.

    >>> timer = TickTimer()
    >>> [timer.next(ns, period_ns=20).kind for ns in (100, 120, 120, 500_000_000, 7)]
    ['first', 'usual', 'usual', 'stalled', 'back']
    """

    def __init__(self) -> None:
        """No tick has been."""
        self._last_ns: int | None = None

    def next(self, now_ns: int, *, period_ns: int) -> Tick:
        """The tick of a moment.

        Args:
            now_ns: Now.
            period_ns: Time from tick to tick, as it should be.
        """
        last_ns, self._last_ns = self._last_ns, now_ns
        if last_ns is None:
            return Tick(now_ns, 0, "first")
        if now_ns < last_ns:
            return Tick(now_ns, period_ns, "back")
        if now_ns - last_ns > max(_STALL_NS, _STALL_TICKS * period_ns):
            return Tick(now_ns, 0, "stalled")
        return Tick(now_ns, now_ns - last_ns, "usual")
