# SPDX-License-Identifier: Apache-2.0
"""The way from a world to the program that renders its images: the newest posture, and no queue.

Datagrams between two processes of one machine: sending never waits, and what the other side is too
busy for is lost. The side that ends is noticed by the other one. Each side belongs to one thread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import VlaRosError

_SEED = struct.Struct("<q")
_MAX_BYTES = 65536


class FeedEnded(VlaRosError):  # noqa: N818 - the name is what happened
    """The other side is gone."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What an image shall show.

    Attributes:
        seed: Of the world.
        posture: Where everything stands; see ``World.posture``.
    """

    seed: int
    posture: NDArray[np.float64]


class ImageFeed:
    """One side."""

    def __init__(self, side: socket.socket) -> None:
        """Use ``image_feed`` or a socket that was inherited."""
        side.settimeout(0.0)
        self._side = side

    def fileno(self) -> int:
        """For another process to inherit."""
        return self._side.fileno()

    def show(self, shown: Shown) -> None:
        """Send what shall be shown; it is lost if the other side is busy.

        Raises:
            FeedEnded: The other side is gone.
        """
        self._send(_SEED.pack(shown.seed) + shown.posture.astype("<f8").tobytes())

    def newest(self) -> Shown | None:
        """What came last since the last call, if anything did.

        Raises:
            FeedEnded: The other side is gone.
        """
        newest = None
        while (data := self._receive()) is not None:
            newest = data
        if newest is None:
            return None
        (seed,) = _SEED.unpack_from(newest)
        return Shown(seed, np.frombuffer(newest, "<f8", offset=_SEED.size))

    def tell(self, text: str) -> None:
        """Send a line to the other side.

        Raises:
            FeedEnded: The other side is gone.
        """
        self._send(text.encode())

    def told(self, timeout_s: float) -> str | None:
        """Wait for a line of the other side; None if none came in time.

        Raises:
            FeedEnded: The other side is gone.
        """
        select.select([self._side], [], [], timeout_s)
        data = self._receive()
        return None if data is None else data.decode()

    def close(self) -> None:
        """Let the other side know that it is over; a second time does nothing."""
        self._side.close()

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            try:
                self._side.send(data)
            except ConnectionError as error:
                raise FeedEnded("nobody listens any more") from error

    def _receive(self) -> bytes | None:
        """The next datagram; None if there is none."""
        try:
            data = self._side.recv(_MAX_BYTES)
        except BlockingIOError:
            return None
        except ConnectionError as error:
            raise FeedEnded("nobody talks any more") from error
        if not data:
            raise FeedEnded("nobody talks any more")
        return data


def image_feed() -> tuple[ImageFeed, ImageFeed]:
    """Both sides."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return ImageFeed(one), ImageFeed(other)
