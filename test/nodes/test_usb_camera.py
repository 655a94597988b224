# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo, CompressedImage

from test.ros.harness import Domain
from test.ros.test_camera_info import CALIBRATION
from test.support.programs import Program, program
from test.support.video_devices import HEIGHT, WIDTH, VideoDevices, jpeg
from vla_ros.core.camera_spec import CameraSpec
from vla_ros.drivers.usb_camera import CameraMode, Frame
from vla_ros.nodes import usb_camera
from vla_ros.nodes.usb_camera import UsbCameraNode
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.images import camera_image, rgb_from_camera_image
from vla_ros.ros.qos import EVENT, SENSOR
from vla_ros.ros.stamps import ns_from_time

IMAGES = "image_raw/compressed"


@pytest.fixture
def devices(tmp_path: Path) -> VideoDevices:
    return VideoDevices(tmp_path)


def node_process(devices: VideoDevices, domain: Domain, **parameters: Any) -> Any:
    """The node in a process of its own, reading the camera with OpenCV's own V4L2 code."""
    told = {"device": devices.path, "width": WIDTH, "height": HEIGHT, **parameters}
    words = [word for name, value in told.items() for word in ("-p", f"{name}:={value}")]
    command = ["-m", "vla_ros.nodes.usb_camera", "--ros-args", *words]
    command += ["-r", f"{IMAGES}:=front/{IMAGES}", "-r", "__node:=front_camera"]
    return program(command, ROS_DOMAIN_ID=str(domain.id), **devices.environment)


def until(domain: Domain, process: Program, condition: Callable[[], Any]) -> None:
    def met() -> Any:
        assert process.process.poll() is None, process.written
        return condition()

    domain.spin_until(met, timeout_s=20.0)


def newest(reports: list[DiagnosticArray], node: str) -> DiagnosticStatus:
    found = [
        status
        for report in reports
        for status in report.status
        if status.name == f"/{node}: camera"
    ]
    return found[-1] if found else DiagnosticStatus(message="nothing was reported yet")


def test_a_camera_is_published_as_it_is_through_everything_that_happens_to_it(
    devices: VideoDevices, domain: Domain
):
    images: list[CompressedImage] = []
    reports: list[DiagnosticArray] = []
    topic = f"front/{IMAGES}"
    domain.peer.create_subscription(CompressedImage, topic, images.append, SENSOR)
    domain.peer.create_subscription(DiagnosticArray, TOPIC, reports.append, EVENT)

    with node_process(devices, domain, frame_id="front_optical", silence_s=1.5) as process:
        until(domain, process, lambda: len(images) >= 30)
        assert {image.data.tobytes() for image in images} == {jpeg()}
        first = images[0]
        assert (first.format, first.header.frame_id) == ("jpeg", "front_optical")
        # Taken 5 ms before it could be read, 30 times a second.
        age_ns = domain.peer.get_clock().now().nanoseconds - ns_from_time(images[-1].header.stamp)
        assert 4e6 < age_ns < 500e6
        stamps_ns = np.array([ns_from_time(image.header.stamp) for image in images[10:]])
        assert np.median(np.diff(stamps_ns)) == pytest.approx(33.3e6, abs=4e6)
        until(domain, process, lambda: newest(reports, "front_camera").message == "gives images")

        devices.pull()
        pulled_s = time.monotonic()
        until(domain, process, lambda: newest(reports, "front_camera").level == b"\x02")
        assert time.monotonic() - pulled_s < 1.5
        # It may be open for a moment longer, so the first word is that it is gone.
        until(domain, process, lambda: "no camera" in newest(reports, "front_camera").message)
        images.clear()
        devices.show(jpeg(200))
        devices.plug()
        until(domain, process, lambda: len(images) >= 5)
        assert images[-1].data.tobytes() == jpeg(200)

        devices.show(jpeg(200)[:-40])
        wanted = "sent nothing whole for 1.5 s"
        until(domain, process, lambda: wanted in newest(reports, "front_camera").message)
        devices.show(jpeg(50))
        until(domain, process, lambda: images[-1].data.tobytes() == jpeg(50))

        devices.begin("stalled")
        domain.spin_for(0.1)
        process.process.send_signal(signal.SIGINT)
        # 0: not cut off, although a read blocks.
        assert process.process.wait(5.0) == 0, process.written


def test_a_camera_that_is_not_there_is_refused_with_those_that_are(
    domain: Domain, capfd: pytest.CaptureFixture
):
    assert not domain.add(UsbCameraNode, device="/dev/video_of_nobody").start()
    assert "camera '/dev/video_of_nobody' does not exist; there " in capfd.readouterr().err


class Camera:
    """A camera in place of the driver's, with a rate and an image of its own."""

    compresses = True
    corrupt = 0
    fps = 30.0
    period_s = 0.01
    made: list[Camera]

    def __init__(self, path: Path, mode: CameraMode) -> None:
        self.path, self.mode, self.closed = path, mode, False
        self.made.append(self)

    def read(self) -> Frame | None:
        time.sleep(self.period_s)
        return Frame(np.frombuffer(jpeg(), dtype=np.uint8), time.monotonic_ns())

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[type[Camera], str]:
    """A camera's class, of which the node opens one, and its device."""
    monkeypatch.setattr(usb_camera, "UsbCamera", Camera)
    monkeypatch.setattr(Camera, "made", [], raising=False)
    path = tmp_path / "video0"
    path.touch()
    return Camera, str(path)


def test_the_mode_is_passed_on_and_a_policy_can_use_what_is_published(domain: Domain, camera):
    _, device = camera
    node = domain.add(
        UsbCameraNode, device=device, width=WIDTH, height=HEIGHT, fps=60, jpeg_quality=80
    )
    assert node.start()
    images = domain.collect(CompressedImage, IMAGES, SENSOR)
    domain.spin_until(lambda: images, "an image")

    [made] = Camera.made
    assert (made.path, made.mode) == (Path(device), CameraMode(HEIGHT, WIDTH, 60.0, 80))
    spec = CameraSpec(IMAGES, "compressed", HEIGHT, WIDTH, 0.2, None)
    part = camera_image(images[0], "front", spec)
    assert rgb_from_camera_image(part, spec).mean() == pytest.approx(100.0, abs=2.0)


def test_a_calibration_is_published_beside_each_image(domain: Domain, camera, tmp_path: Path):
    path = tmp_path / "front.yaml"
    path.write_text(CALIBRATION)
    node = domain.add(UsbCameraNode, device=camera[1], camera_info=str(path))
    assert node.start()
    infos = domain.collect(CameraInfo, "camera_info", SENSOR)
    images = domain.collect(CompressedImage, IMAGES, SENSOR)
    domain.spin_until(lambda: len(infos) > 5 and len(images) > 5, "calibrations and images")

    assert infos[0].k[0] == 600.5
    stamps = {ns_from_time(image.header.stamp) for image in images}
    assert len(stamps & {ns_from_time(info.header.stamp) for info in infos}) >= 4
    assert infos[0].header.frame_id == "camera_optical_frame"


def test_a_calibration_of_another_size_is_refused(
    domain: Domain, camera, tmp_path: Path, capfd: pytest.CaptureFixture
):
    path = tmp_path / "front.yaml"
    path.write_text(CALIBRATION)

    parameters = {"device": camera[1], "camera_info": str(path), "height": 720}
    assert not domain.add(UsbCameraNode, **parameters).start()
    assert "while the camera gives 720x640" in capfd.readouterr().err


def test_a_camera_is_let_go_of_when_deactivated_and_taken_again_when_activated(
    domain: Domain, camera
):
    node = domain.add(UsbCameraNode, device=camera[1])
    assert node.start()
    images = domain.collect(CompressedImage, IMAGES, SENSOR)
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)
    domain.spin_until(lambda: images, "an image")

    node.trigger_deactivate()
    domain.spin_for(0.1)
    images.clear()
    domain.spin_for(0.2)
    assert Camera.made[0].closed
    assert not images
    assert "not active" in newest(reports, "usb_camera").message

    node.trigger_activate()
    domain.spin_until(lambda: images, "an image")
    assert len(Camera.made) == 2


def test_a_camera_that_is_slower_than_asked_for_is_reported(
    domain: Domain, camera, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(usb_camera, "_SETTLED_S", 0.5)
    monkeypatch.setattr(Camera, "period_s", 0.1)
    node = domain.add(UsbCameraNode, device=camera[1])
    assert node.start()
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)

    domain.spin_until(lambda: "fewer" in newest(reports, "usb_camera").message, "a warning")
    status = newest(reports, "usb_camera")
    assert (status.level, status.message) == (b"\x01", "gives fewer images than 30 Hz")
    values = {pair.key: pair.value for pair in status.values}
    assert 0.0 < float(values["rate_hz"]) < 12.0
    assert float(values["age_s"]) < 0.2
    assert (values["opened"], values["corrupt"]) == ("1", "0")
    assert values["mode"] == "640x480 px at 30 Hz, compressed by the camera"


def test_a_read_that_never_comes_back_is_reported_and_does_not_hold_up_the_node(
    domain: Domain, camera, monkeypatch: pytest.MonkeyPatch
):
    node = domain.add(UsbCameraNode, device=camera[1], silence_s=0.2)
    assert node.start()
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)
    domain.spin_until(lambda: newest(reports, "usb_camera").message == "gives images", "images")

    monkeypatch.setattr(Camera, "period_s", 4.0)
    domain.spin_until(lambda: newest(reports, "usb_camera").level == b"\x02", "an error")
    assert "does not answer" in newest(reports, "usb_camera").message
    begun_s = time.monotonic()
    node.trigger_deactivate()
    assert time.monotonic() - begun_s < 1.5
