# SPDX-License-Identifier: Apache-2.0
"""Memory in which one large message after the other is put together. One thread.

The system hands out fresh memory page by page: for a message of some megabytes, that costs more
than to fill it.
"""

from __future__ import annotations

from collections.abc import Sequence

# What is shorter, ZeroMQ copies anyway.
_SHORTEST = 64 * 1024


class ReusedMemory:
    """As long as the longest message so far."""

    def __init__(self) -> None:
        """Take none yet."""
        self._memory = bytearray()

    def join(self, parts: Sequence[bytes | memoryview]) -> bytes | memoryview:
        """The parts, one after the other; valid until the next call.

        Args:
            parts: Bytes, or views of such.
        """
        length = sum(len(part) for part in parts)
        if length < _SHORTEST:
            return b"".join(parts)
        if length > len(self._memory):
            self._memory = bytearray(length)
        joined = memoryview(self._memory)[:length]
        start = 0
        for part in parts:
            end = start + len(part)
            joined[start:end] = part
            start = end
        return joined.toreadonly()
