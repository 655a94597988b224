# SPDX-License-Identifier: Apache-2.0
"""Notice an arm that no longer follows its commands. One thread, or an external lock."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class TrackingWatch:
    """Watches how far the measured pose is from the command.

    >>> watch = TrackingWatch(("elbow/position",))
    >>> far, here = np.array([0.5]), np.array([0.0])
    >>> [watch.lost(far, here, 0.1, max_error=0.2, patience_s=0.15) for _ in range(2)]
    ['', 'elbow/position was more than 0.2 from its command for 0.15 s, now 0.5']
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        """Watch these interfaces, (D,)."""
        self._names = names
        self._far_s = np.zeros(len(names))

    def reset(self) -> None:
        """Forget how long anything has been far."""
        self._far_s[:] = 0.0

    def lost(
        self,
        command: NDArray[np.float64],
        measured: NDArray[np.float64],
        dt_s: float,
        *,
        max_error: float,
        patience_s: float,
    ) -> str:
        """What does not follow, in words; empty while everything does.

        Args:
            command: (D,) The last command.
            measured: (D,) The measured pose.
            dt_s: Time since the last call.
            max_error: How far it may be [rad or m]; 0: any distance.
            patience_s: How long it may be further than that.
        """
        error = np.abs(command - measured)
        self._far_s = np.where((error > max_error) & (max_error > 0.0), self._far_s + dt_s, 0.0)
        if not (self._far_s > patience_s).any():
            return ""
        worst = int(np.argmax(np.where(self._far_s > patience_s, error, 0.0)))
        return (
            f"{self._names[worst]} was more than {max_error:g} from its command for"
            f" {patience_s:g} s, now {error[worst]:.3g}"
        )
