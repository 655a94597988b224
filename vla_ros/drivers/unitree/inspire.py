# SPDX-License-Identifier: Apache-2.0
"""The Inspire hands' joints in radians, and as Unitree's DDS carries them: 0 closed, 1 open.

D is 12, on both sides in the wire's order: the right hand first, of each hand the four fingers from
the smallest on, then the thumb's bend and its rotation. A joint is open at its least angle. Pure;
any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_ros.core.errors import ActionError, ConfigError, DeviceError, VlaRosError

JOINTS: Final = 12
Values = NDArray[np.float64]


class InspireHands:
    """Both hands' way between radians and the wire."""

    def __init__(self, lower_rad: Sequence[float], upper_rad: Sequence[float]) -> None:
        """Take the angles at which the wire's values end.

        Args:
            lower_rad: (D,) Where the joints are open, 1 on the wire.
            upper_rad: (D,) Where they are closed, 0 on the wire.

        Raises:
            ConfigError: There are not D finite angles each, or a joint has no range.
        """
        self._open = _checked(lower_rad, "angles of the open hands", ConfigError)
        self._closed = _checked(upper_rad, "angles of the closed hands", ConfigError)
        for place in np.flatnonzero(self._open >= self._closed).tolist():
            raise ConfigError(
                f"joint {place} of the hands must be closed above {self._open[place]:g} rad, where"
                f" it is open; found {self._closed[place]:g} rad"
            )

    def normalized(self, angles_rad: ArrayLike) -> Values:
        """(D,) What the wire says of angles; those beyond their ends are at them.

        Args:
            angles_rad: (D,) What is commanded.

        Raises:
            ActionError: There are not D finite angles.
        """
        angles = _checked(angles_rad, "angles of the hands", ActionError)
        openness = (self._closed - angles) / (self._closed - self._open)
        clipped: Values = np.clip(openness, 0.0, 1.0)
        return clipped

    def radians(self, normalized: ArrayLike) -> Values:
        """(D,) Which angles the wire tells; what is measured beyond the ends stays there.

        Args:
            normalized: (D,) What was measured.

        Raises:
            DeviceError: There are not D finite values.
        """
        values = _checked(normalized, "positions of the hands", DeviceError)
        angles: Values = self._closed - values * (self._closed - self._open)
        return angles


def _checked(values: ArrayLike, what: str, error: type[VlaRosError]) -> Values:
    checked = np.array(values, dtype=np.float64)
    if checked.shape != (JOINTS,):
        raise error(f"there must be {JOINTS} {what}, found the shape {checked.shape}")
    for place in np.flatnonzero(~np.isfinite(checked)).tolist():
        raise error(f"the {what} must be finite, found {checked[place]} at {place}")
    return checked
