# SPDX-License-Identifier: Apache-2.0
"""Smooth a chunk: keep where it goes, take out what it trembles.

Whittaker's smoother (Eilers, "A perfect smoother", 2003): the curve that is near the actions and
whose third differences are small. Parabolas pass unchanged, ends included, so a chunk that moves
evenly or speeds up evenly is not changed at all. A polynomial of the whole chunk, which is what
others fit, would bend wherever the policy rightly stops. Pure; any thread may call.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_ORDER = 3


def smoothed(actions: NDArray[np.float64], steps: float) -> NDArray[np.float64]:
    """(H, D) Actions without their wiggles.

    >>> straight = np.linspace(0.0, 1.0, 9)[:, None]
    >>> bool(np.allclose(smoothed(straight, 6.0), straight))
    True

    Args:
        actions: (H, D) Actions on an even grid.
        steps: A wave that is this many steps long is halved, shorter ones vanish, longer ones stay;
            two at least. Below two nothing is done.
    """
    if steps < 2.0 or len(actions) <= _ORDER:
        return actions
    return _smoother(len(actions), steps) @ actions


@lru_cache(maxsize=32)
def _smoother(horizon: int, steps: float) -> NDArray[np.float64]:
    """(H, H) Actions to smoothed actions."""
    # The gain of a wave of n steps is 1 / (1 + weight * (2 sin(pi / n))^(2 * order)).
    weight = (2.0 * np.sin(np.pi / steps)) ** (-2 * _ORDER)
    difference = np.diff(np.eye(horizon), n=_ORDER, axis=0)
    return np.linalg.inv(np.eye(horizon) + weight * difference.T @ difference)
