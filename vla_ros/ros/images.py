# SPDX-License-Identifier: Apache-2.0
"""Camera messages to RGB arrays and to the images inside an Observation message.

Where nothing has to change, nothing is copied: rgb8 rows without padding and JPEG files pass
through as they came. Every image is checked against the camera's description. Pure; any thread.
"""

from __future__ import annotations

import array
import importlib
from dataclasses import dataclass

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from vla_ros_msgs.msg import CameraImage

from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ObservationError
from vla_ros.core.hold_reasons import STALE_CAMERA

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a pixel lies in memory: channels, bytes per channel, and where R, G and B are."""

    channels: int
    bytes: int
    rgb: slice | None


_FIRST_THREE, _REVERSED = slice(0, 3), slice(2, None, -1)
_LAYOUTS = {
    "rgb8": _Layout(3, 1, _FIRST_THREE),
    "bgr8": _Layout(3, 1, _REVERSED),
    "rgba8": _Layout(4, 1, _FIRST_THREE),
    "bgra8": _Layout(4, 1, _REVERSED),
    "mono8": _Layout(1, 1, None),
    "rgb16": _Layout(3, 2, _FIRST_THREE),
    "bgr16": _Layout(3, 2, _REVERSED),
    "rgba16": _Layout(4, 2, _FIRST_THREE),
    "bgra16": _Layout(4, 2, _REVERSED),
}


def message_type(spec: CameraSpec) -> type:
    """The message that a camera's topic carries."""
    return Image if spec.transport == "raw" else CompressedImage


def rgb_from_message(
    message: Image | CompressedImage, camera: str, spec: CameraSpec
) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of a camera's message. A view of the message where that is possible.

    Raises:
        ObservationError: The image is not what the camera's description says.
    """
    if isinstance(message, CompressedImage):
        return _decoded(message.data, camera, spec)
    return _raw(message, camera, spec)


def camera_image(message: Image | CompressedImage, camera: str, spec: CameraSpec) -> CameraImage:
    """A camera's message as part of an observation.

    Raises:
        ObservationError: The image is not what the camera's description says.
    """
    image = CameraImage(camera=camera, stamp=message.header.stamp)
    if isinstance(message, CompressedImage):
        if bytes(message.data[:3]) == _JPEG:
            image.encoding = CameraImage.JPEG
            image.data = message.data
            return image
    elif message.encoding == "rgb8" and message.step == 3 * message.width:
        _check_size(message.height, message.width, camera, spec)
        if len(message.data) == message.step * message.height:
            return _rgb8(image, message.data, spec)
    return _rgb8(image, bytes_of(rgb_from_message(message, camera, spec)), spec)


def camera_message(
    pixels: NDArray[np.uint8], camera: str, spec: CameraSpec, stamp: Time
) -> Image | CompressedImage:
    """What a camera publishes on its topic.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        camera: The camera's name.
        spec: Its description, which says in which form it publishes.
        stamp: When the image was taken.
    """
    if spec.transport == "raw":
        message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding="rgb8")
        message.step = 3 * message.width
        message.data = bytes_of(pixels)
    else:
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        message = CompressedImage(format="jpeg", data=bytes_of(encoded))
    message.header.stamp = stamp
    message.header.frame_id = optical_frame(camera)
    return message


def optical_frame(camera: str) -> str:
    """The frame of reference of a camera's images.

    >>> optical_frame("chest")
    'chest_optical_frame'
    """
    return f"{camera}_optical_frame"


def rgb_from_camera_image(image: CameraImage, spec: CameraSpec) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of an image inside an observation.

    Raises:
        ObservationError: The image is not what the camera's description says.
    """
    if image.encoding == CameraImage.JPEG:
        return _decoded(image.data, image.camera, spec)
    if image.encoding != CameraImage.RGB8:
        raise _malformed(
            image.camera,
            f"has the encoding {image.encoding!r}; an observation carries"
            f" {CameraImage.RGB8} and {CameraImage.JPEG}",
        )
    _check_size(image.height, image.width, image.camera, spec)
    if len(image.data) != 3 * image.height * image.width:
        raise _malformed(
            image.camera, f"has {len(image.data)} bytes for {image.height}x{image.width} pixels"
        )
    pixels = np.frombuffer(image.data, dtype=np.uint8)
    return pixels.reshape(image.height, image.width, 3)


def bytes_of(values: NDArray[np.uint8]) -> array.array[int]:
    """The bytes of an array as the type that rclpy takes without looking at each of them."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return data


def _rgb8(image: CameraImage, data: array.array[int], spec: CameraSpec) -> CameraImage:
    image.encoding = CameraImage.RGB8
    image.height, image.width = spec.height, spec.width
    image.data = data
    return image


def _raw(message: Image, camera: str, spec: CameraSpec) -> NDArray[np.uint8]:
    _check_size(message.height, message.width, camera, spec)
    layout = _LAYOUTS.get(message.encoding)
    if layout is None:
        return _by_cv_bridge(message, camera)
    row = message.width * layout.channels * layout.bytes
    needed = message.step * (message.height - 1) + row
    if message.step < row or len(message.data) < needed:
        raise _malformed(
            camera,
            f"has {len(message.data)} bytes in rows of {message.step}, while {message.height} rows"
            f" of {message.width} {message.encoding} pixels take {needed} in rows of {row} or more",
        )
    order = ">" if message.is_bigendian else "<"
    pixels = np.ndarray(
        (message.height, message.width, layout.channels),
        dtype=f"{order}u{layout.bytes}",
        buffer=memoryview(message.data),
        strides=(message.step, layout.channels * layout.bytes, layout.bytes),
    )
    if layout.bytes > 1:
        pixels = (pixels >> 8).astype(np.uint8)
    return pixels.repeat(3, axis=2) if layout.rgb is None else pixels[:, :, layout.rgb]


def _decoded(data: array.array[int], camera: str, spec: CameraSpec) -> NDArray[np.uint8]:
    encoded = np.frombuffer(data, dtype=np.uint8)
    pixels = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    if pixels is None:
        raise _malformed(camera, f"is compressed in a way that cannot be read ({len(data)} bytes)")
    _check_size(pixels.shape[0], pixels.shape[1], camera, spec)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _by_cv_bridge(message: Image, camera: str) -> NDArray[np.uint8]:
    """The rarer encodings, where cv_bridge is installed."""
    try:
        bridge = importlib.import_module("cv_bridge")
    except ImportError as error:
        raise _malformed(
            camera,
            f"has the encoding {message.encoding!r}; without cv_bridge there are"
            f" {', '.join(_LAYOUTS)}",
        ) from error
    try:
        pixels = bridge.CvBridge().imgmsg_to_cv2(message, desired_encoding="rgb8")
    except bridge.CvBridgeError as error:
        raise _malformed(camera, f"cannot be converted to rgb8: {error}") from error
    return np.asarray(pixels, dtype=np.uint8)


def _check_size(height: int, width: int, camera: str, spec: CameraSpec) -> None:
    if (height, width) != (spec.height, spec.width):
        raise _malformed(
            camera,
            f"is {height}x{width} px, while the robot's description says"
            f" {spec.height}x{spec.width} (height x width)",
        )


def _malformed(camera: str, text: str) -> ObservationError:
    return ObservationError(f"camera {camera}: image {text}", reason=STALE_CAMERA, stream=camera)
