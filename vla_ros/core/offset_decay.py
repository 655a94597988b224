# SPDX-License-Identifier: Apache-2.0
"""How a new chunk is joined to what was going to be executed.

Two kinds of join. An *aggregate* mixes old and new actions that are due at the same moment, with
LeRobot's weights. *Offset decay* executes the new chunk alone and lets its offset from the last
command die away, with value and velocity matched, so that the first command, a seam, recovery and
the release of a stop are one code path. Pure; any thread may call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

AggregateFn = Literal["offset_decay", "latest_only", "weighted_average", "average", "conservative"]
AGGREGATE_FNS: tuple[str, ...] = get_args(AggregateFn)

# The new chunk's share where old and new overlap (LeRobot, async_inference/configs.py).
NEW_SHARE: dict[AggregateFn, float] = {
    "offset_decay": 1.0,
    "latest_only": 1.0,
    "weighted_average": 0.7,
    "average": 0.5,
    "conservative": 0.3,
}


@dataclass(frozen=True, slots=True)
class OffsetDecay:
    """An offset that dies away along a quintic.

    The quintic has the given value and rate and no curvature at the start, and none of the three
    at the end, so position, velocity and acceleration are continuous there.

    Attributes:
        start_ns: When the offset has its full value.
        duration_ns: When it is gone, after the start.
        offset: (D,) Value at the start [rad].
        rate: (D,) Rate of change at the start [rad/s].
    """

    start_ns: int
    duration_ns: int
    offset: NDArray[np.float64]
    rate: NDArray[np.float64]

    def at(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) The offset at a moment; zero once it is gone.

        >>> decay = OffsetDecay(0, 1_000_000_000, np.array([1.0]), np.array([0.0]))
        >>> [float(decay.at(t)[0]) for t in (0, 500_000_000, 1_000_000_000)]
        [1.0, 0.5, 0.0]
        """
        u = (now_ns - self.start_ns) / self.duration_ns
        if u >= 1.0:
            return np.zeros_like(self.offset)
        u = max(u, 0.0)
        # Hermite basis of degree 5: value and slope at u = 0, everything else zero.
        value = 1.0 + u**3 * (-10.0 + u * (15.0 - 6.0 * u))
        slope = u + u**3 * (-6.0 + u * (8.0 - 3.0 * u))
        return value * self.offset + slope * (self.duration_ns * 1e-9) * self.rate

    def rate_at(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) How fast the offset changes at a moment [rad/s]; zero once it is gone."""
        u = (now_ns - self.start_ns) / self.duration_ns
        if u >= 1.0:
            return np.zeros_like(self.offset)
        u = max(u, 0.0)
        value = u**2 * (-30.0 + u * (60.0 - 30.0 * u))
        slope = 1.0 + u**2 * (-18.0 + u * (32.0 - 15.0 * u))
        return value / (self.duration_ns * 1e-9) * self.offset + slope * self.rate
