# SPDX-License-Identifier: Apache-2.0
"""How often messages come. Time is an argument; one thread."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 2.0


class StreamRate:
    """Messages per second over the last two seconds.

    >>> rate = StreamRate()
    >>> for tick in range(101):
    ...     rate.received(tick * 20_000_000)
    >>> rate.hz(2_000_000_000), rate.hz(5_000_000_000)
    (50.0, 0.0)
    """

    def __init__(self) -> None:
        """Nothing was received yet."""
        self._received: deque[int] = deque()

    def received(self, steady_ns: int) -> None:
        """A message came."""
        self._received.append(steady_ns)
        self._forget(steady_ns)

    def hz(self, steady_ns: int) -> float:
        """Messages per second now."""
        self._forget(steady_ns)
        return len(self._received) / _WINDOW_S

    def _forget(self, steady_ns: int) -> None:
        horizon_ns = steady_ns - round(_WINDOW_S * 1e9)
        while self._received and self._received[0] <= horizon_ns:
            self._received.popleft()
