# SPDX-License-Identifier: Apache-2.0
"""Tells an image that was sent again from a new look at a scene that stands still.

An image server sends its newest image again and again until there is another one; taken as new, an
old image would look fresh. But where nothing moves in a simulation, new images are the same, byte
by byte. So an image that came again is dropped for a while, and after that the scene counts as
still: every image is taken until there is a different one. A simulator's states come twice as
well, and are told apart in the same way.

Time is an argument [ns, steady clock]; one thread.
"""

from __future__ import annotations


class Repeats:
    """Looks at the images of one source.

    Attributes:
        dropped: Images that were not taken.

    >>> repeats = Repeats(still_after_s=0.2)
    >>> [repeats.takes(b"a", tick * 100_000_000) for tick in range(5)]
    [True, False, False, True, True]
    """

    def __init__(self, *, still_after_s: float) -> None:
        """Nothing came yet.

        Args:
            still_after_s: For so long an image may come again before the scene counts as still;
                0: it never does, as before a real camera, whose images are never the same.
        """
        self.dropped = 0
        self._still_after_ns = round(still_after_s * 1e9)
        self._newest = b""
        self._since_ns = 0

    def takes(self, jpeg: bytes, now_ns: int) -> bool:
        """Whether this image is worth passing on."""
        if jpeg != self._newest:
            self._newest, self._since_ns = jpeg, now_ns
            return True
        if self._still_after_ns and now_ns - self._since_ns > self._still_after_ns:
            return True
        self.dropped += 1
        return False

    def same_for_s(self, now_ns: int) -> float:
        """For how long the image has been the same by now [s]."""
        return (now_ns - self._since_ns) * 1e-9 if self._newest else 0.0
