# SPDX-License-Identifier: Apache-2.0
"""Percentiles over the last samples.

A window, so that one slow answer is forgotten after as many others, unlike a running maximum. One
thread, or an external lock.
"""

from __future__ import annotations

from collections import deque

import numpy as np


class PercentileWindow:
    """The last samples of a duration, and their percentiles.

    >>> window = PercentileWindow(capacity=3)
    >>> for sample in (9.0, 1.0, 2.0, 3.0):
    ...     window.add(sample)
    >>> window.percentile(50.0), window.maximum()
    (2.0, 3.0)
    """

    def __init__(self, capacity: int) -> None:
        """Keep the last ``capacity`` samples."""
        self._samples: deque[float] = deque(maxlen=capacity)
        self._known: dict[float, float] = {}

    def __len__(self) -> int:
        """How many samples are in the window."""
        return len(self._samples)

    def add(self, sample: float) -> None:
        """Take a sample."""
        self._samples.append(sample)
        self._known.clear()

    def percentile(self, q: float) -> float:
        """The ``q``-th percentile (0 to 100), linear between samples; NaN of nothing."""
        if q not in self._known:
            known = float(np.percentile(self._samples, q)) if self._samples else float("nan")
            self._known[q] = known
        return self._known[q]

    def maximum(self) -> float:
        """The greatest sample; NaN of nothing."""
        return max(self._samples, default=float("nan"))
