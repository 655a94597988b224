# SPDX-License-Identifier: Apache-2.0
"""Images as JPEG files in a GR00T tree, and back: an encoding that vla_ros alone speaks.

In the place of an image array stands ``{"__jpeg__": [file, ...], "shape": [1, T, H, W, 3]}``, one
file (bytes as an array) for each frame. The files lose a little. They come from anybody, so their
own headers are held against the shape, and the shape against a limit, before a pixel is decoded.
Pure; any thread may call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.core.jpeg_header import jpeg_header
from vla_ros.wire.array_view import MAX_DIMENSIONS
from vla_ros.wire.shown import shown

DEFAULT_QUALITY = 90
_MARK = "__jpeg__"
_END = b"\xff\xd9"
# By number: OpenCV has names for them since 4.7 only, and passes over them before.
_SAMPLING_FACTOR, _EVERY_PIXEL = 7, 0x111111

A = TypeVar("A")
R = TypeVar("R")
Frame = NDArray[np.uint8]
File = NDArray[np.uint8]


class Each(Protocol):
    """How a function is called for each of several things: ``map``, or a pool's."""

    def __call__(self, call: Callable[[A], R], things: Iterable[A], /) -> Iterable[R]:
        """The results, in the things' order."""


@dataclass(frozen=True, slots=True)
class JpegQuality:
    """How much of an image is kept.

    Attributes:
        quality: 1 to 100.
        full_color: Whether colours are kept at every pixel (4:4:4), else at every fourth (4:2:0).
            Worth it for images as small as the model's own.
    """

    quality: int = DEFAULT_QUALITY
    full_color: bool = False

    @property
    def options(self) -> list[int]:
        """The same in OpenCV's words."""
        options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        if self.full_color:
            options += [_SAMPLING_FACTOR, _EVERY_PIXEL]
        return options


def encode_images(
    video: Mapping[str, NDArray[np.uint8]], quality: JpegQuality, each: Each = map
) -> dict[str, dict[str, Any]]:
    """Each key's images as a map of JPEG files.

    Args:
        video: Key to (..., H, W, 3) uint8 RGB.
        quality: How much of them is kept.
        each: Calls for each frame; the frames of all keys may be encoded at once.

    Raises:
        WireFormatError: An image is larger than a JPEG file can hold.
    """
    owners, frames = [], []
    for key, images in video.items():
        for frame in images.reshape(-1, *images.shape[-3:]):
            owners.append(key)
            frames.append(frame)
    files: dict[str, list[File]] = {key: [] for key in video}
    for key, file in zip(owners, each(lambda frame: _encoded(frame, quality), frames), strict=True):
        files[key].append(file)
    return {key: {_MARK: files[key], "shape": list(images.shape)} for key, images in video.items()}


def decode_images(video: Mapping[str, Any], *, max_bytes: int, each: Each = map) -> dict[str, Any]:
    """The same, with the arrays in the place of such maps. What is no such map stays as it is.

    Args:
        video: Key to what was sent.
        max_bytes: How much memory all of the images may take.
        each: Calls for each file.

    Raises:
        WireFormatError: A file is broken or not as its map says, or the images are too large.
    """
    decoded = dict(video)
    files: list[tuple[str, File, Frame]] = []
    left = max_bytes
    for key, value in video.items():
        if not isinstance(value, Mapping) or _MARK not in value:
            continue
        where = f"video key {key!r}"
        shape = _shape(value.get("shape"), where)
        left -= math.prod(shape)
        if left < 0:
            raise WireFormatError(
                f"{where}: the decoded images would take more than the {max_bytes} bytes that are"
                " allowed"
            )
        listed = _files(value[_MARK], shape, where)
        images = np.empty(shape, np.uint8)
        frames = images.reshape(-1, *shape[-3:])
        files += [(where, file, frame) for file, frame in zip(listed, frames, strict=True)]
        decoded[key] = images
    for _ in each(lambda task: _decode(*task), files):
        pass
    return decoded


def _encoded(frame: Frame, quality: JpegQuality) -> File:
    what = f"an image {frame.shape} cannot be a JPEG file"
    try:
        done, file = cv2.imencode(".jpg", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), quality.options)
    except cv2.error as error:
        raise WireFormatError(f"{what}: {error}") from error
    if not done:
        raise WireFormatError(what)
    return np.asarray(file, np.uint8)


def _decode(where: str, file: File, frame: Frame) -> None:
    """Fills the frame with a file's pixels."""
    try:
        pixels = cv2.imdecode(file, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise _broken(where, f"{len(file)} bytes: {error}") from error
    if pixels is None or pixels.shape != frame.shape:
        raise _broken(where, f"{len(file)} bytes that are no image")
    cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=frame)


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if (
        not isinstance(value, list)
        or not 3 <= len(value) <= MAX_DIMENSIONS
        or not all(type(size) is int and size > 0 for size in value)
        or value[-1] != 3
    ):
        raise WireFormatError(
            f"{where}: shape must be [..., H, W, 3], integers of 1 or more; found {shown(value)}"
        )
    return tuple(value)


def _files(value: Any, shape: tuple[int, ...], where: str) -> list[File]:
    """The files, each of which claims to be an image of that shape."""
    count = math.prod(shape[:-3])
    if not isinstance(value, list) or len(value) != count:
        raise WireFormatError(
            f"{where}: {_MARK} must be a list of {count} files for shape {shape};"
            f" found {shown(value)}"
        )
    for file in value:
        if not isinstance(file, np.ndarray) or file.dtype != np.uint8 or file.ndim != 1:
            raise WireFormatError(
                f"{where}: a JPEG file must be an array (N,) uint8; found {shown(file)}"
            )
        data = file.data
        header = jpeg_header(data)
        if header is None or bytes(data[-2:]) != _END:
            raise _broken(where, f"{len(data)} bytes that begin with {bytes(data[:4]).hex(' ')!r}")
        if not header.baseline or header.channels != 3:
            raise _broken(where, "one that is progressive or not in 8-bit colour")
        if (header.height, header.width) != shape[-3:-1]:
            raise _broken(where, f"one of {header.height} x {header.width} px for shape {shape}")
    return value


def _broken(where: str, found: str) -> WireFormatError:
    return WireFormatError(f"{where}: must be whole baseline JPEG files; found {found}")
