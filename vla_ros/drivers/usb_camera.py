# SPDX-License-Identifier: Apache-2.0
"""A camera on V4L2, read with OpenCV, that gives JPEG files with the time they were taken at.

A camera that compresses is read undecoded: what it sent is what is given. Images of one that does
not are encoded here. Images that are not whole are counted and dropped. One thread per camera: a
read blocks until an image is there, for one second at most.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.jpeg import whole_jpeg

# How long OpenCV waits for an image [s]; it reads this once, before the first image.
_WAIT_VARIABLE, _WAIT_S = "OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1"
_MJPG = int.from_bytes(b"MJPG", "little")
# An image that claims to be older has a stamp of another clock.
_OLDEST_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CameraMode:
    """What is asked of a camera.

    Attributes:
        height: Image height [px].
        width: Image width [px].
        fps: Images per second [Hz]; a camera may give fewer, and in poor light it will.
        jpeg_quality: With which images are encoded that come uncompressed, 1 to 100.
    """

    height: int
    width: int
    fps: float
    jpeg_quality: int = 95


@dataclass(frozen=True, slots=True)
class Frame:
    """One image.

    Attributes:
        jpeg: (N,) uint8 A JPEG file.
        captured_ns: When it was taken, on the steady clock.
    """

    jpeg: NDArray[np.uint8]
    captured_ns: int


class Capture(Protocol):
    """What is used of ``cv2.VideoCapture``."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether there is a camera behind it."""

    def set(self, propId: int, value: float) -> bool:  # noqa: N803 - OpenCV's name
        """Ask for something; whether it was done."""

    def get(self, propId: int) -> float:  # noqa: N803 - OpenCV's name
        """What is so now."""

    def read(self) -> tuple[bool, Any]:
        """Whether there is an image, and the image."""

    def release(self) -> None:
        """Close."""


def open_v4l2(path: Path) -> Capture:
    """Open a device with OpenCV."""
    os.environ.setdefault(_WAIT_VARIABLE, _WAIT_S)
    capture: Capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    return capture


class UsbCamera:
    """An open camera.

    Attributes:
        corrupt: How many images were not whole.
        compresses: Whether the camera itself makes the JPEG files.
        fps: Images per second that it promises [Hz]; 0: it does not say.
    """

    def __init__(
        self, path: Path, mode: CameraMode, open_capture: Callable[[Path], Capture] = open_v4l2
    ) -> None:
        """Open a camera.

        Args:
            path: Its device.
            mode: What it shall give.
            open_capture: Opens the device.

        Raises:
            DeviceError: It cannot be opened, or has no images of this size.
        """
        self.corrupt = 0
        self._path = path
        self._mode = mode
        self._capture = open_capture(path)
        try:
            self._prepare()
        except DeviceError:
            self.close()
            raise
        self.compresses = self._asks(cv2.CAP_PROP_FOURCC) == _MJPG
        if self.compresses:
            self._capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
        self.fps = max(self._capture.get(cv2.CAP_PROP_FPS), 0.0)

    def read(self) -> Frame | None:
        """The next image, or None if none came or it was not whole.

        Raises:
            DeviceError: The camera is gone or cannot be read.
        """
        try:
            there, image = self._capture.read()
        except cv2.error as error:
            raise DeviceError(f"camera {self._path} cannot be read: {error}") from error
        if not there:
            # Its device goes with the camera, also while it is open.
            if not self._path.exists():
                raise DeviceError(f"camera {self._path} is gone")
            return None
        jpeg = whole_jpeg(image) if self.compresses else self._encoded(image)
        if jpeg is None:
            self.corrupt += 1
            return None
        return Frame(jpeg, self._captured_ns())

    def close(self) -> None:
        """Let go of the camera."""
        self._capture.release()

    def _prepare(self) -> None:
        """Set the mode; the form comes first, because it decides what else there is."""
        capture, mode = self._capture, self._mode
        if not capture.isOpened():
            raise DeviceError(
                f"camera {self._path} cannot be opened: somebody else has it, it may not be read"
                " (group 'video'), or it gives no images (try its other device)"
            )
        capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.height)
        capture.set(cv2.CAP_PROP_FPS, mode.fps)
        height, width = self._asks(cv2.CAP_PROP_FRAME_HEIGHT), self._asks(cv2.CAP_PROP_FRAME_WIDTH)
        if (height, width) != (mode.height, mode.width):
            raise DeviceError(
                f"camera {self._path} gives {height}x{width} px where {mode.height}x{mode.width}"
                " (height x width) is wanted; its sizes are listed by"
                f" 'v4l2-ctl --list-formats-ext --device {self._path}'"
            )

    def _asks(self, what: int) -> int:
        return round(self._capture.get(what))

    def _encoded(self, image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """A BGR image as a JPEG file; None where it has another size."""
        if image.shape != (self._mode.height, self._mode.width, 3):
            return None
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._mode.jpeg_quality]
        encoded: NDArray[np.uint8] = cv2.imencode(".jpg", image, quality)[1].ravel()
        return encoded

    def _captured_ns(self) -> int:
        """When the image was taken: the driver's stamp, where it is one of the steady clock."""
        now_ns = time.monotonic_ns()
        captured_ns = round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return captured_ns if 0 <= now_ns - captured_ns <= _OLDEST_NS else now_ns
