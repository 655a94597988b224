# SPDX-License-Identifier: Apache-2.0
"""What a JPEG file says of its image, read from its first bytes: no pixel is decoded.

The segments are read strictly: a file of which this and a decoder might find different ones has no
header here. Pure; any thread may call.
"""

from __future__ import annotations

from dataclasses import dataclass

BEGIN = b"\xff\xd8\xff"
_BASELINE = 0xC0
# Segments that say how large the image is: all that begin a frame, and not the tables between them.
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Bytes that begin a segment, which therefore has a length, up to the one that begins the pixels.
_SEGMENTS = set(range(0xC0, 0xFF)) - set(range(0xD0, 0xDB))
_FRAME_BYTES = 10


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """What a JPEG file's image is.

    Attributes:
        height: Of the image [px].
        width: Of the image [px].
        channels: How many there are: 3 of a colour image.
        baseline: Whether it is encoded in the plain way, 8 bits and all pixels in one go.
    """

    height: int
    width: int
    channels: int
    baseline: bool


def jpeg_header(data: bytes | memoryview) -> JpegHeader | None:
    """What a JPEG file says of its image; None where it does not say it.

    >>> jpeg_header(b"GIF89a") is None
    True
    """
    if bytes(data[:3]) != BEGIN:
        return None
    at = 2
    # Each segment: 0xff, what it is, its length, the rest.
    while at + _FRAME_BYTES <= len(data) and data[at] == 0xFF and data[at + 1] in _SEGMENTS:
        kind, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if kind in _FRAMES:
            return JpegHeader(
                height=int.from_bytes(data[at + 5 : at + 7], "big"),
                width=int.from_bytes(data[at + 7 : at + 9], "big"),
                channels=data[at + 9],
                baseline=kind == _BASELINE and data[at + 4] == 8,
            )
        at += 2 + max(length, 2)
    return None
