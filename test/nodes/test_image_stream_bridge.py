# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CompressedImage

from test.core.helpers import ROBOT
from test.nodes.stage import describe
from test.ros.harness import Domain
from test.support.image_feeder import Feeder, source, unused_port
from test.support.pictures import picture, value_of
from test.support.programs import program
from vla_ros.drivers.image_server import ImageServer, LegacyImageServer
from vla_ros.drivers.jpeg import join_jpegs
from vla_ros.nodes.image_stream_bridge import ImageStreamBridge
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import EVENT, SENSOR
from vla_ros.ros.stamps import ns_from_time

CAMERAS = ("head", "left", "right")
START, REST = ROBOT.split("cameras:\n")
THREE_EYED = "".join(
    [
        START,
        "cameras:\n",
        *(
            f"  {name}: {{topic: {name}/image, transport: compressed, height: 48, width: 64,"
            " max_age_s: 0.3}\n"
            for name in CAMERAS
        ),
        REST[REST.index("state_streams") :],
    ]
)
IMAGES = {"head_camera": picture(10), "left_camera": picture(20), "right_camera": picture(30)}


class Viewer:
    """Sees what the bridge publishes."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.images: dict[str, list[CompressedImage]] = {name: [] for name in CAMERAS}
        self.reports: dict[str, DiagnosticStatus] = {}
        for name, images in self.images.items():
            domain.peer.create_subscription(CompressedImage, f"{name}/image", images.append, SENSOR)
        domain.peer.create_subscription(DiagnosticArray, TOPIC, self._report, EVENT)

    def _report(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.reports[status.name.rpartition(": ")[2]] = status

    def until(self, **newest: bytes | int) -> None:
        """Wait until cameras show a JPEG file, or a shade."""

        def shows(camera: str, wanted: bytes | int) -> bool:
            if not self.images[camera]:
                return False
            jpeg = self.images[camera][-1].data.tobytes()
            return jpeg == wanted if isinstance(wanted, bytes) else abs(value_of(jpeg) - wanted) < 4

        self.domain.spin_until(
            lambda: all(shows(camera, wanted) for camera, wanted in newest.items()),
            f"{list(newest)}",
            20.0,
        )

    def until_said(self, part: str, words: str) -> DiagnosticStatus:
        self.domain.spin_until(
            lambda: part in self.reports and words in self.reports[part].message, words, 20.0
        )
        return self.reports[part]

    def forget(self) -> None:
        for images in self.images.values():
            images.clear()


@pytest.fixture
def viewer(domain: Domain) -> Viewer:
    return Viewer(domain)


@pytest.fixture
def undo() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture
def robot(tmp_path: Path) -> str:
    return describe(tmp_path, robot=THREE_EYED)["robot"]


def feeding(undo: contextlib.ExitStack, config_port: int = 0, **images: bytes) -> Feeder:
    server = ImageServer([source(name) for name in images], config_port=config_port)
    feeder = Feeder(server, **images)
    undo.callback(feeder.end)
    return feeder


def bridge(domain: Domain, robot: str, feeder: Feeder, **parameters: Any) -> ImageStreamBridge:
    server = feeder.server
    if isinstance(server, ImageServer):
        parameters.setdefault("config_port", server.config_port)
    else:
        parameters.setdefault("legacy_port", server.port)
        parameters.setdefault("config_port", unused_port())
    parameters.setdefault("silence_s", 0.5)
    node: ImageStreamBridge = domain.add(ImageStreamBridge, robot=robot, **parameters)
    assert node.start()
    return node


def test_images_are_passed_through_through_everything_that_happens_to_the_server(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack
):
    feeder = feeding(undo, **IMAGES)
    assert isinstance(feeder.server, ImageServer)
    bridge(domain, robot, feeder, latency_s=0.5)
    viewer.until(head=picture(10), left=picture(20), right=picture(30))
    image = viewer.images["left"][-1]
    assert (image.format, image.header.frame_id) == ("jpeg", "left_optical_frame")
    age_ns = domain.peer.get_clock().now().nanoseconds - ns_from_time(image.header.stamp)
    assert 0.5e9 < age_ns < 1.0e9
    assert viewer.until_said("server", "protocol teleimager").level == DiagnosticStatus.OK

    # The scene stands still, which the simulator shows by the same images.
    viewer.forget()
    assert viewer.until_said("head_camera", "always the same").level == DiagnosticStatus.WARN
    viewer.until(head=picture(10))

    # Garbage, another size and silence are told, and disturb no other camera.
    feeder.images |= {"head_camera": b"nonsense", "left_camera": picture(20, height=24)}
    said = viewer.until_said("head_camera", "no JPEG file")
    assert said.level == DiagnosticStatus.ERROR
    viewer.until_said("left_camera", "left_camera is 24x64 px, while the robot's description makes")
    viewer.forget()
    viewer.until(right=picture(30))
    assert not viewer.images["head"]
    assert not viewer.images["left"]
    del feeder.images["head_camera"]
    viewer.until_said("head_camera", "no image has come for 0.5 s")
    feeder.images |= {"head_camera": picture(11), "left_camera": picture(21)}
    viewer.until(head=picture(11), left=picture(21))

    # It goes, and comes back with two of three cameras, at other ports.
    feeder.end()
    viewer.until_said("right_camera", "no image has come")
    feeding(undo, feeder.server.config_port, head_camera=picture(12), right_camera=picture(32))
    viewer.until(head=picture(12), right=picture(32))
    said = viewer.until_said("left_camera", "no such source; it has head_camera, right_camera")
    assert {entry.key: entry.value for entry in said.values}["refused"] != "0"
    said = viewer.until_said("right_camera", "images")
    assert {entry.key: entry.value for entry in said.values}["interruptions"] == "1"


def test_a_real_cameras_image_that_came_again_is_an_old_one(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack
):
    feeder = feeding(undo, **IMAGES)
    bridge(domain, robot, feeder, still_after_s=0.0)
    viewer.until(head=picture(10))
    viewer.until_said("head_camera", "always the same")

    assert len(viewer.images["head"]) == 1
    feeder.images["head_camera"] = picture(11)
    viewer.until(head=picture(11))


def test_cameras_take_eyes_of_sources_with_other_names(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack
):
    feeder = feeding(undo, front=join_jpegs([picture(50), picture(150)], quality=95))
    bridge(
        domain,
        robot,
        feeder,
        sources=["head=front", "left=front"],
        halves=["head=right", "left=left"],
    )

    viewer.until(head=150, left=50)


def test_a_binocular_source_that_nobody_cuts_is_refused_with_what_to_do(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack
):
    feeder = feeding(undo, head_camera=join_jpegs([picture(50), picture(150)], quality=95))
    bridge(domain, robot, feeder)

    viewer.until_said("head_camera", "It is binocular: choose an eye by 'halves'")
    assert not viewer.images["head"]


@pytest.mark.parametrize("header", [False, True])
def test_the_legacy_protocol_is_found_out_and_its_image_taken_apart(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack, header: bool
):
    server = LegacyImageServer(list(IMAGES), port=0, header=header)
    feeder = Feeder(server, **IMAGES)
    undo.callback(feeder.end)
    bridge(domain, robot, feeder)

    viewer.until(head=10, left=20, right=30)
    assert len({str(viewer.images[name][0].header.stamp) for name in CAMERAS}) == 1
    viewer.until_said("server", "GR00T's policy server takes port 5555 by default")

    viewer.forget()
    feeder.images["head_camera"] = picture(99)
    viewer.until(head=99, left=20, right=30)


def test_what_is_not_active_receives_nothing(
    domain: Domain, viewer: Viewer, robot: str, undo: contextlib.ExitStack
):
    node = bridge(domain, robot, feeding(undo, **IMAGES))
    viewer.until(head=picture(10))

    node.trigger_deactivate()
    viewer.until_said("images", "the node is not active")
    viewer.forget()
    domain.spin_for(0.3)
    assert not viewer.images["head"]

    node.trigger_activate()
    viewer.until(head=picture(10))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"sources": ["hed=front"]}, "sources: must be 'camera=...' with a camera of head, left"),
        ({"halves": ["head"]}, "halves: must be 'camera=...'"),
        ({"halves": ["head=upper"]}, "halves: head=upper: must be one of whole, left, right"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused(
    domain: Domain, robot: str, parameters: dict[str, Any], words: str, capfd: Any
):
    node = domain.add(ImageStreamBridge, robot=robot, **parameters)

    assert not node.start()
    assert words in capfd.readouterr().err


def test_a_camera_with_raw_images_is_refused(domain: Domain, files: dict[str, str], capfd: Any):
    node = domain.add(ImageStreamBridge, robot=files["robot"])

    assert not node.start()
    assert "cameras.left.transport must be compressed" in capfd.readouterr().err


def test_the_process_waits_for_a_server_and_ends_soon(domain: Domain, robot: str):
    command = ["-m", "vla_ros.nodes.image_stream_bridge", "--ros-args"]
    command += ["-p", f"robot:={robot}", "-p", f"config_port:={unused_port()}"]
    viewer = Viewer(domain)
    with program(command, ROS_DOMAIN_ID=str(domain.id)) as process:
        viewer.until_said("server", "trying the legacy protocol at port 5555")

        process.process.send_signal(signal.SIGTERM)

        assert process.process.wait(5.0) == 0, process.written
