# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from test.support.programs import program
from test.support.video_devices import HEIGHT, WIDTH, VideoDevices, jpeg
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.usb_camera import CameraMode, UsbCamera

MODE = CameraMode(HEIGHT, WIDTH, 30.0)
MJPG, YUYV = (cv2.VideoWriter_fourcc(*name) for name in ("MJPG", "YUYV"))
RAMP = np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


class Capture:
    """What cv2.VideoCapture does with a V4L2 camera, whose images wait in ``images``.

    As there: a form or a size that the camera lacks is answered with what it has, the size counts
    once both of its numbers are set, and undecoded images have one row of bytes.
    """

    def __init__(self, *, form: int = MJPG, sizes: tuple = ((HEIGHT, WIDTH),)) -> None:
        self.images: deque[Any] = deque()
        self.clock_ms: Any = lambda: time.monotonic_ns() * 1e-6
        self.closed = False
        self.opened = True
        self._sizes = sizes
        self._now = {
            cv2.CAP_PROP_FOURCC: form,
            cv2.CAP_PROP_CONVERT_RGB: 1,
            cv2.CAP_PROP_FRAME_HEIGHT: sizes[0][0],
            cv2.CAP_PROP_FRAME_WIDTH: sizes[0][1],
            cv2.CAP_PROP_FPS: 0.0,
        }
        self._asked: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, propId: int, value: float) -> bool:  # noqa: N803
        if propId == cv2.CAP_PROP_FOURCC:
            return value == self._now[propId]
        if propId in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH):
            self._asked[propId] = value
            wanted = tuple(
                self._asked.get(what)
                for what in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
            )
            if wanted in self._sizes:
                self._now.update(self._asked)
        else:
            self._now[propId] = value
        return True

    def get(self, propId: int) -> float:  # noqa: N803
        return self.clock_ms() if propId == cv2.CAP_PROP_POS_MSEC else self._now[propId]

    def read(self) -> tuple[bool, Any]:
        image = self.images.popleft() if self.images else None
        if isinstance(image, Exception):
            raise image
        undecoded = not self._now[cv2.CAP_PROP_CONVERT_RGB]
        if isinstance(image, bytes):
            if undecoded:
                return True, np.frombuffer(image, dtype=np.uint8)[np.newaxis]
            image = cv2.imdecode(np.frombuffer(image, dtype=np.uint8), cv2.IMREAD_COLOR)
        return image is not None, image

    def release(self) -> None:
        self.closed = True


def camera(capture: Capture, path: Path = Path("/"), mode: CameraMode = MODE) -> UsbCamera:
    return UsbCamera(path, mode, lambda _: capture)


def pixels(data: np.ndarray) -> np.ndarray:
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_what_a_camera_compresses_is_given_byte_for_byte():
    capture = Capture()
    capture.images.extend([jpeg(10), jpeg(20)])
    made = camera(capture)

    frames = [made.read(), made.read()]

    assert [frame.jpeg.tobytes() for frame in frames if frame] == [jpeg(10), jpeg(20)]
    assert (made.compresses, made.fps, made.corrupt) == (True, 30.0, 0)


def test_what_follows_the_image_in_the_buffer_is_cut_off():
    capture = Capture()
    capture.images.append(jpeg() + bytes(500))

    frame = camera(capture).read()

    assert frame is not None
    assert frame.jpeg.tobytes() == jpeg()


def test_images_that_are_not_whole_are_dropped_and_counted():
    capture = Capture()
    no_end, no_begin = jpeg()[:-2], jpeg()[2:]
    capture.images.extend([no_end, jpeg(), no_begin, b"", b"\xff\xd8\xff", jpeg()])
    made = camera(capture)

    came = [made.read() is not None for _ in range(6)]

    assert came == [False, True, False, False, False, True]
    assert made.corrupt == 4


def test_images_without_tables_are_read_as_those_with_the_standard_ones():
    """Many cameras leave out the Huffman tables."""
    data, begin = jpeg(), 2
    bare = bytearray(data[:2])
    while data[begin + 1] != 0xDA:
        size = 2 + int.from_bytes(data[begin + 2 : begin + 4], "big")
        bare += data[begin : begin + size] if data[begin + 1] != 0xC4 else b""
        begin += size
    bare += data[begin:]
    assert len(bare) < len(data)
    capture = Capture()
    capture.images.append(bytes(bare))

    frame = camera(capture).read()

    assert frame is not None
    np.testing.assert_array_equal(pixels(frame.jpeg), pixels(np.frombuffer(data, np.uint8)))


def test_images_that_come_uncompressed_are_encoded_here():
    capture = Capture(form=YUYV)
    capture.images.extend([RAMP, RAMP, RAMP[:10]])
    fine, coarse = (
        camera(capture, mode=CameraMode(HEIGHT, WIDTH, 30.0, quality)) for quality in (95, 20)
    )

    frames = fine.read(), coarse.read()

    assert frames[0] is not None
    assert frames[1] is not None
    assert not fine.compresses
    np.testing.assert_allclose(pixels(frames[0].jpeg), RAMP.astype(float), atol=12.0)
    assert len(frames[1].jpeg) < len(frames[0].jpeg)
    assert fine.read() is None
    assert fine.corrupt == 1


def test_an_image_carries_the_time_that_the_driver_says():
    capture = Capture()
    capture.images.append(jpeg())
    taken_ns = time.monotonic_ns() - 40_000_000
    capture.clock_ms = lambda: taken_ns * 1e-6

    frame = camera(capture).read()

    assert frame is not None
    assert abs(frame.captured_ns - taken_ns) < 1000


@pytest.mark.parametrize("clock_ms", [0.0, -1.0, 1.7e12])
def test_a_time_of_another_clock_does_not_count(clock_ms: float):
    capture = Capture()
    capture.images.append(jpeg())
    capture.clock_ms = lambda: clock_ms
    before_ns = time.monotonic_ns()

    frame = camera(capture).read()

    assert frame is not None
    assert before_ns <= frame.captured_ns <= time.monotonic_ns()


def test_a_camera_that_cannot_be_opened_is_let_go_of():
    capture = Capture()
    capture.opened = False

    with pytest.raises(DeviceError, match="camera / cannot be opened: somebody else has it"):
        camera(capture)
    assert capture.closed


def test_a_camera_without_images_of_that_size_is_refused():
    capture = Capture(sizes=((HEIGHT, WIDTH), (480, 640)))
    made = camera(capture, mode=CameraMode(480, 640, 30.0))
    assert not capture.closed
    made.close()
    assert capture.closed

    other = Capture()
    with pytest.raises(DeviceError, match=r"gives 48x64 px where 1080x1920 \(height x width\)"):
        camera(other, mode=CameraMode(1080, 1920, 30.0))
    assert other.closed


def test_no_image_is_not_an_error_but_a_missing_camera_is(tmp_path: Path):
    path = tmp_path / "video0"
    path.touch()
    made = camera(Capture(), path)

    assert made.read() is None
    path.unlink()
    with pytest.raises(DeviceError, match="video0 is gone"):
        made.read()
    assert made.corrupt == 0


def test_an_error_of_opencv_is_one_of_the_camera():
    capture = Capture()
    capture.images.append(cv2.error("no memory"))

    with pytest.raises(DeviceError, match=r"camera / cannot be read: .*no memory"):
        camera(capture).read()


def test_opencv_itself_gives_undecoded_images_in_the_shape_that_is_expected(tmp_path: Path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), MJPG, 30.0, (WIDTH, HEIGHT))
    for brightness in (50, 150):
        writer.write(np.full((HEIGHT, WIDTH, 3), brightness, dtype=np.uint8))
    writer.release()

    undecoded = [cv2.CAP_PROP_FORMAT, -1]
    made = UsbCamera(
        path, MODE, lambda path: cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, undecoded)
    )

    frames = [made.read() for _ in range(2)]
    means = [pixels(frame.jpeg).mean() for frame in frames if frame]
    assert made.compresses
    np.testing.assert_allclose(means, [50.0, 150.0], atol=3.0)
    assert made.read() is None
    made.close()


SCRIPT = """
import sys
from pathlib import Path
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.usb_camera import CameraMode, UsbCamera

path, height, width = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
try:
    camera = UsbCamera(path, CameraMode(height, width, 30.0))
    while True:
        frame = camera.read()
        print(frame and (frame.jpeg.tobytes().hex(), camera.compresses), flush=True)
except DeviceError as error:
    print(error, flush=True)
"""


@pytest.fixture
def devices(tmp_path: Path) -> VideoDevices:
    return VideoDevices(tmp_path)


def reading(devices: VideoDevices, *size: int) -> Any:
    """A process that reads the camera with OpenCV's own V4L2 code."""
    words = ["-c", SCRIPT, str(devices.path), *map(str, size or (HEIGHT, WIDTH))]
    return program(words, **devices.environment)


def test_a_v4l2_camera_is_read_undecoded_until_it_is_pulled_out(devices: VideoDevices):
    with reading(devices) as process:
        process.wait_for(rf"\('{jpeg().hex()}', True\)")
        devices.show(jpeg(200)[:-1])
        process.wait_for("None")
        devices.show(jpeg(200) + bytes(9))
        process.wait_for(rf"\('{jpeg(200).hex()}', True\)")

        devices.pull()
        process.wait_for("camera .*/video0 is gone")


def test_a_v4l2_camera_that_stalls_blocks_a_read_for_a_second_only(devices: VideoDevices):
    with reading(devices) as process:
        process.wait_for(jpeg().hex())
        devices.begin("stalled")
        begun_s = time.monotonic()
        process.wait_for("None")
        assert 0.9 < time.monotonic() - begun_s < 3.0


def test_a_v4l2_camera_that_does_not_compress_is_read_too(devices: VideoDevices):
    devices.begin("uncompressed")
    devices.show(bytes([160, 128] * (HEIGHT * WIDTH)))

    with reading(devices) as process:
        data = bytes.fromhex(process.wait_for(r"\('(\w+)', False\)")[1])

    image = pixels(np.frombuffer(data, dtype=np.uint8))
    assert image.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(image, (160 - 16) * 255 / 219, atol=2.0)


def test_a_v4l2_camera_that_somebody_else_has_or_is_too_small_is_refused(devices: VideoDevices):
    with reading(devices, 1080, 1920) as process:
        process.wait_for("gives 720x1280 px where 1080x1920")
    devices.begin("busy")
    with reading(devices) as process:
        process.wait_for("cannot be opened: somebody else has it")
