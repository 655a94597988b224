# SPDX-License-Identifier: Apache-2.0
"""The last samples of one stream, in the order of their stamps.

So many are kept, or so many as a span of time holds. A sample that is older than the oldest one
kept, or repeats a stamp, is not taken. One thread, or an external lock. Stamps are integer
nanoseconds.
"""

from __future__ import annotations

import bisect
from typing import Generic, TypeVar

T = TypeVar("T")
# More are never kept, however densely they come.
_MOST = 512


class StreamBuffer(Generic[T]):
    """A short history of stamped values.

    >>> buffer = StreamBuffer[str](capacity=2)
    >>> [buffer.push(stamp, value) for stamp, value in ((10, "a"), (20, "b"), (20, "again"))]
    [True, True, False]
    >>> buffer.nearest(14)
    (10, 'a')
    """

    def __init__(self, capacity: int, *, span_ns: int = 0) -> None:
        """Make an empty buffer.

        Args:
            capacity: How many samples are kept, at least 1.
            span_ns: The samples since so long before the newest are kept too, and one from before,
                up to some hundred of them.
        """
        self._capacity = capacity
        self._span_ns = span_ns
        self._stamps: list[int] = []
        self._values: list[T] = []

    def __len__(self) -> int:
        """How many samples are kept now."""
        return len(self._stamps)

    def push(self, stamp_ns: int, value: T) -> bool:
        """Take a sample; late ones are put where they belong.

        Returns:
            Whether it was taken.
        """
        index = bisect.bisect_left(self._stamps, stamp_ns)
        if index < len(self._stamps) and self._stamps[index] == stamp_ns:
            return False
        if index == 0 and len(self._stamps) >= self._capacity:
            return False
        self._stamps.insert(index, stamp_ns)
        self._values.insert(index, value)
        while len(self._stamps) > self._capacity and not self._spanned():
            del self._stamps[0], self._values[0]
        return True

    def _spanned(self) -> bool:
        """Whether the oldest sample is within the span, or the one before it."""
        begin_ns = self._stamps[-1] - self._span_ns
        return self._stamps[1] > begin_ns and len(self._stamps) <= _MOST

    def clear(self) -> None:
        """Forget everything."""
        self._stamps.clear()
        self._values.clear()

    def newest(self) -> tuple[int, T] | None:
        """The sample with the greatest stamp, with its stamp; None if there is none."""
        return (self._stamps[-1], self._values[-1]) if self._stamps else None

    def nearest(self, stamp_ns: int, *, since_ns: int | None = None) -> tuple[int, T] | None:
        """The sample nearest in time, the older of two equally near; None if there is none.

        Args:
            stamp_ns: The moment.
            since_ns: At or before the moment; an older sample is given only if there is no other.
        """
        around = self.around(stamp_ns)
        if around is None:
            return None
        before, after = around
        if since_ns is not None and before[0] < since_ns:
            return after
        return before if stamp_ns - before[0] <= after[0] - stamp_ns else after

    def around(self, stamp_ns: int) -> tuple[tuple[int, T], tuple[int, T]] | None:
        """The last sample at or before a moment and the first at or after it.

        Outside the history both are its first or last sample; None if there is none.
        """
        if not self._stamps:
            return None
        after = min(bisect.bisect_left(self._stamps, stamp_ns), len(self._stamps) - 1)
        before = after if self._stamps[after] <= stamp_ns else max(after - 1, 0)
        return (
            (self._stamps[before], self._values[before]),
            (self._stamps[after], self._values[after]),
        )
