# SPDX-License-Identifier: Apache-2.0
"""Temporal ensembling as ACT does it: one action a step, joined from the chunks of the last steps.

Steps are counted, not timed: one chunk is added at each step. For one thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ActionError

# How much less each newer chunk counts than the one before (ACT, imitate_episodes.py: exp(-0.01 i),
# where i counts from the oldest chunk on).
RATE = 0.01


class StepEnsemble:
    """Joins the chunks of one episode.

    It keeps the weighted sum of what the chunks so far say of each step to come, so it needs the
    room of one chunk, however many there were.
    """

    def __init__(self, horizon: int, width: int) -> None:
        """No chunk has come yet.

        Args:
            horizon: H, actions in a chunk.
            width: D, values of an action.
        """
        self._sums = np.zeros((horizon, width))
        self._weights = np.zeros((horizon, 1))
        # How many chunks say something of each step: the age of the next one there.
        self._counts = np.zeros((horizon, 1))

    def add(self, actions: NDArray[np.floating]) -> NDArray[np.float64]:
        """(D,) The action of this step; the next call is for the next one.

        Args:
            actions: (H, D) The chunk that begins at this step.

        Raises:
            ActionError: It has another shape.
        """
        if actions.shape != self._sums.shape:
            raise ActionError(f"a chunk must be {self._sums.shape}; found {actions.shape}")
        weight = np.exp(-RATE * self._counts)
        self._sums += weight * actions
        self._weights += weight
        self._counts += 1
        action = self._sums[0] / self._weights[0]
        for kept in (self._sums, self._weights, self._counts):
            kept[:-1] = kept[1:]
            kept[-1] = 0
        return np.asarray(action, np.float64)
