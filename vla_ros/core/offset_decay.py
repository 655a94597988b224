# SPDX-License-Identifier: Apache-2.0
"""How an offset from the last command dies away.

The new plan is executed alone, plus the distance that it has from the last command, which decays
with value and velocity matched: so the first command, a seam, recovery and the release of a stop
are one code path. Pure; any thread may call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the quintic below, without a rate: its greatest slope and curvature for an offset of one in a
# time of one, at u = 1/2 and at u = (3 - sqrt 3) / 6.
_PEAK_RATE = 1.875
_PEAK_ACCELERATION = 10.0 / 3.0**0.5


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
        value, slope = _basis(max(u, 0.0))
        offset: NDArray[np.float64] = (
            value * self.offset + slope * (self.duration_ns * 1e-9) * self.rate
        )
        return offset

    def over(self, moments_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """(T, D) The offset at (T,) moments."""
        u = np.clip((moments_ns - self.start_ns) / self.duration_ns, 0.0, 1.0)
        value, slope = _basis(u[:, None])
        offsets: NDArray[np.float64] = (
            value * self.offset + slope * (self.duration_ns * 1e-9) * self.rate
        )
        return offsets

    def rate_at(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) How fast the offset changes at a moment [rad/s]; zero once it is gone."""
        u = (now_ns - self.start_ns) / self.duration_ns
        if u >= 1.0:
            return np.zeros_like(self.offset)
        u = max(u, 0.0)
        value = u**2 * (-30.0 + u * (60.0 - 30.0 * u))
        slope = 1.0 + u**2 * (-18.0 + u * (32.0 - 15.0 * u))
        return value / (self.duration_ns * 1e-9) * self.offset + slope * self.rate


def _basis(u: Any) -> tuple[Any, Any]:
    """Hermite's basis of degree 5: value and slope at u = 0, everything else zero."""
    value = 1.0 + u**3 * (-10.0 + u * (15.0 - 6.0 * u))
    slope = u + u**3 * (-6.0 + u * (8.0 - 3.0 * u))
    return value, slope


def gentle_duration_s(
    offset: NDArray[np.float64],
    *,
    max_velocity: NDArray[np.float64],
    max_acceleration: NDArray[np.float64],
) -> float:
    """How long an offset must take to die away within some speed and acceleration.

    >>> one = np.ones(1)
    >>> gentle_duration_s(one, max_velocity=0.5 * one, max_acceleration=100.0 * one)
    3.75

    Args:
        offset: (D,) The offset [rad].
        max_velocity: (D,) What may be spent on it [rad/s].
        max_acceleration: (D,) What may be spent on it [rad/s^2].
    """
    size = np.abs(offset)
    by_rate = _PEAK_RATE * size / max_velocity
    by_acceleration = np.sqrt(_PEAK_ACCELERATION * size / max_acceleration)
    return float(np.max(np.maximum(by_rate, by_acceleration)))
