# SPDX-License-Identifier: Apache-2.0
"""JPEG files: whether they are whole, how large their image is, and cutting and joining them.

Only cutting and joining look at pixels, and lose a little; the rest reads a file's first bytes, see
``core.jpeg_header``. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import DeviceError
from vla_ros.core.jpeg_header import BEGIN, jpeg_header

_END = b"\xff\xd9"


def whole_jpeg(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The JPEG file in a camera's buffer, without what follows it; None where it is not whole.

    Args:
        image: uint8, in whatever shape.

    >>> whole_jpeg(np.array([[0xFF, 0xD8, 0xFF, 1, 2, 0xFF, 0xD9, 0, 0]], np.uint8)).size
    7
    """
    flat = image.ravel()
    data = flat.tobytes()
    end = data.rfind(_END)
    if not data.startswith(BEGIN) or end < 0:
        return None
    return flat[: end + len(_END)]


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width [px] of a JPEG file's image, from its header alone.

    Raises:
        DeviceError: It is no JPEG file, or not a whole one.
    """
    if not data.startswith(BEGIN):
        raise DeviceError(f"no JPEG file: it begins with {data[:4].hex(' ') or 'nothing'}")
    if data.rfind(_END) < 0:
        raise DeviceError(f"a JPEG file that is cut off after {len(data)} bytes")
    header = jpeg_header(data)
    if header is None:
        raise DeviceError("a JPEG file that does not say how large its image is")
    return header.height, header.width


def cut_jpeg(data: bytes, columns: Sequence[tuple[int, int]], *, quality: int) -> list[bytes]:
    """Parts of an image as JPEG files, each of full height.

    Args:
        data: A JPEG file.
        columns: First and last-but-one column of each part [px].
        quality: With which they are encoded, 1 to 100.

    Raises:
        DeviceError: It is no JPEG file.
    """
    pixels = _decoded(data)
    return [_encoded(pixels[:, first:end], quality) for first, end in columns]


def join_jpegs(files: Sequence[bytes], *, quality: int) -> bytes:
    """Images of the same height side by side, as one JPEG file.

    Raises:
        DeviceError: One is no JPEG file, or of another height.
    """
    images = [_decoded(data) for data in files]
    heights = sorted({image.shape[0] for image in images})
    if len(heights) != 1:
        raise DeviceError(f"images of {heights} px height cannot stand side by side")
    return _encoded(np.concatenate(images, axis=1), quality)


def _decoded(data: bytes) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR."""
    encoded = np.frombuffer(data, np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if pixels is None:
        raise DeviceError(f"no JPEG file that can be read ({len(data)} bytes)")
    return np.asarray(pixels, np.uint8)


def _encoded(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG file of (H, W, 3) uint8 BGR."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(".jpg", pixels, options)[1].data)
