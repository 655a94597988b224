# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import types

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image
from vla_ros_msgs.msg import CameraImage

from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ObservationError
from vla_ros.ros.images import (
    camera_image,
    camera_message,
    message_type,
    rgb_from_camera_image,
    rgb_from_message,
)

HEIGHT, WIDTH = 4, 6
RAW = CameraSpec("c/image_raw", "raw", HEIGHT, WIDTH, 0.2, None)
COMPRESSED = CameraSpec("c/image_raw/compressed", "compressed", HEIGHT, WIDTH, 0.2, None)
STAMP = Time(sec=7, nanosec=8)
RGB = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
OPAQUE = np.full((HEIGHT, WIDTH, 1), 255, dtype=np.uint8)

PIXELS = {
    "rgb8": RGB,
    "bgr8": RGB[:, :, ::-1],
    "rgba8": np.concatenate([RGB, OPAQUE], axis=2),
    "bgra8": np.concatenate([RGB[:, :, ::-1], OPAQUE], axis=2),
}


def image(pixels: np.ndarray, encoding: str, *, padding: int = 0, big: bool = False) -> Image:
    """A raw image message with ``padding`` bytes after each row."""
    rows = np.ascontiguousarray(pixels).reshape(HEIGHT, -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=99)
    message = Image(
        height=HEIGHT,
        width=WIDTH,
        encoding=encoding,
        step=padded.shape[1],
        is_bigendian=int(big),
        data=padded.tobytes(),
    )
    message.header.stamp = STAMP
    return message


def encoded(extension: str, pixels: np.ndarray = RGB) -> CompressedImage:
    _, data = cv2.imencode(extension, pixels[:, :, ::-1])
    return CompressedImage(format=extension, data=data.tobytes())


@pytest.mark.parametrize("padding", [0, 1, 13])
@pytest.mark.parametrize("encoding", sorted(PIXELS))
def test_colours_and_padded_rows(encoding: str, padding: int):
    message = image(PIXELS[encoding], encoding, padding=padding)

    np.testing.assert_array_equal(rgb_from_message(message, "c", RAW), RGB)

    part = camera_image(message, "c", RAW)
    assert (part.camera, part.stamp, part.encoding) == ("c", STAMP, "rgb8")
    np.testing.assert_array_equal(rgb_from_camera_image(part, RAW), RGB)


def test_the_last_row_needs_no_padding():
    message = image(RGB, "rgb8", padding=5)
    message.data = message.data[:-5]

    np.testing.assert_array_equal(rgb_from_message(message, "c", RAW), RGB)
    np.testing.assert_array_equal(rgb_from_camera_image(camera_image(message, "c", RAW), RAW), RGB)


@pytest.mark.parametrize("padding", [0, 3])
def test_grey_becomes_three_equal_channels(padding: int):
    grey = rgb_from_message(image(RGB[:, :, :1], "mono8", padding=padding), "c", RAW)

    np.testing.assert_array_equal(grey, np.repeat(RGB[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["rgb16", "bgr16"])
def test_sixteen_bits_in_either_byte_order(encoding: str, big: bool):
    pixels = RGB if encoding == "rgb16" else RGB[:, :, ::-1]
    wide = (pixels.astype(np.uint16) * 256 + 77).astype(">u2" if big else "<u2")

    found = rgb_from_message(image(wide, encoding, big=big), "c", RAW)

    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, RGB)


def test_rgb8_without_padding_passes_untouched():
    message = image(RGB, "rgb8")

    assert camera_image(message, "c", RAW).data == message.data
    assert np.shares_memory(rgb_from_message(message, "c", RAW), np.asarray(message.data))


def test_a_jpeg_passes_untouched_and_is_decoded_later():
    flat = np.full((HEIGHT, WIDTH, 3), (200, 100, 30), dtype=np.uint8)
    message = encoded(".jpg", flat)

    part = camera_image(message, "c", COMPRESSED)

    assert part.encoding == CameraImage.JPEG
    assert part.data == message.data
    for found in (
        rgb_from_camera_image(part, COMPRESSED), rgb_from_message(message, "c", COMPRESSED)
    ):  # fmt: skip
        np.testing.assert_allclose(found.astype(int), flat, atol=3)


def test_a_png_is_decoded():
    part = camera_image(encoded(".png"), "c", COMPRESSED)

    assert part.encoding == CameraImage.RGB8
    np.testing.assert_array_equal(rgb_from_camera_image(part, COMPRESSED), RGB)


@pytest.mark.parametrize("spec", [RAW, COMPRESSED])
def test_what_a_camera_publishes_can_be_read(spec: CameraSpec):
    flat = np.full((HEIGHT, WIDTH, 3), (10, 100, 200), dtype=np.uint8)

    message = camera_message(flat, "c", spec, STAMP)

    assert isinstance(message, message_type(spec))
    assert message.header.stamp == STAMP
    found = rgb_from_message(message, "c", spec)
    np.testing.assert_allclose(found.astype(int), flat, atol=3)


def changed(message: Image, **fields) -> Image:
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (changed(image(RGB, "rgb8"), height=5), "is 5x6 px, .* says 4x6"),
        (changed(image(RGB, "rgb8"), width=5), "is 4x5 px, .* says 4x6"),
        (changed(image(RGB, "rgb8"), step=17), "rows of 17"),
        (changed(image(RGB, "rgb8"), data=b"123"), "has 3 bytes"),
        (changed(image(RGB, "rgba8")), "rows of 18, .* in rows of 24"),
        (image(RGB, "bayer_rggb8"), "encoding 'bayer_rggb8'; without cv_bridge there are rgb8"),
        (encoded(".jpg", np.zeros((8, 8, 3), np.uint8)), "is 8x8 px, .* says 4x6"),
        (CompressedImage(data=b""), "cannot be read"),
        (CompressedImage(data=b"\xff\xd8\xff no"), "cannot be read"),
        (CompressedImage(data=b"neither"), "cannot be read"),
    ],
)
def test_a_bad_image_is_refused(message: Image | CompressedImage, text: str):
    spec = RAW if isinstance(message, Image) else COMPRESSED

    with pytest.raises(ObservationError, match=f"camera c: image .*{text}") as caught:
        rgb_from_camera_image(camera_image(message, "c", spec), spec)

    assert (caught.value.reason, caught.value.stream) == ("stale_camera", "c")


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (CameraImage(encoding="png"), "encoding 'png'; an observation carries rgb8 and jpeg"),
        (CameraImage(encoding="rgb8", height=4, width=7), "is 4x7"),
        (CameraImage(encoding="rgb8", height=4, width=6, data=b"0"), "has 1 bytes for 4x6"),
    ],
)
def test_a_bad_part_of_an_observation_is_refused(part: CameraImage, text: str):
    with pytest.raises(ObservationError, match=text):
        rgb_from_camera_image(part, RAW)


def test_other_encodings_go_to_cv_bridge_where_there_is_one(monkeypatch: pytest.MonkeyPatch):
    class CvBridgeError(TypeError):
        pass

    class CvBridge:
        def imgmsg_to_cv2(self, message: Image, desired_encoding: str) -> np.ndarray:
            if message.encoding != "yuv422" or desired_encoding != "rgb8":
                raise CvBridgeError("not that")
            return RGB

    module = types.ModuleType("cv_bridge")
    module.CvBridge, module.CvBridgeError = CvBridge, CvBridgeError
    monkeypatch.setitem(sys.modules, "cv_bridge", module)

    np.testing.assert_array_equal(rgb_from_message(image(RGB, "yuv422"), "c", RAW), RGB)
    with pytest.raises(ObservationError, match="cannot be converted to rgb8: not that"):
        rgb_from_message(image(RGB, "nv21"), "c", RAW)
