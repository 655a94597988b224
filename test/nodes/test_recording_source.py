# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from test.nodes.test_recording import ARRAYS, HEIGHT, ROWS, WIDTH, colour, write_recording
from test.ros.harness import Domain
from vla_ros.core.config_files import config_file
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.recording_source import RecordingSource
from vla_ros.ros.images import rgb_from_message
from vla_ros.ros.qos import SENSOR, STATE
from vla_ros.ros.stamps import ns_from_time

DATA = Path(__file__).parents[3] / "shared/data/gr1_pick_and_place/episode_00.npz"
needs_data = pytest.mark.skipif(not DATA.is_file(), reason=f"needs the recordings of {DATA.parent}")
ROBOT = f"""
name: recorded
on_starvation: hold
max_camera_skew_s: 0.02
interfaces:
  a/position:
    {{lower: -9.0, upper: 99.0, max_velocity: 9.0, max_acceleration: 9.0, joining: continuous}}
cameras:
  eye:
    topic: eye/image_raw
    transport: TRANSPORT
    height: {HEIGHT}
    width: {WIDTH}
    max_age_s: 0.3
state_streams:
  left: {{topic: left_states, type: joint_state, max_age_s: 0.3, interfaces: [a/position]}}
  right: {{topic: right_states, type: joint_state, max_age_s: 0.3, interfaces: [w/position]}}
command_groups:
  all: {{topic: commands, type: position_array, interfaces: [a/position]}}
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The node's parameters, for an episode of six frames."""
    robot = tmp_path / "recorded.yaml"
    robot.write_text(ROBOT.replace("TRANSPORT", "raw"))
    return {"robot": str(robot), "recording": str(write_recording(tmp_path))}


class Viewer:
    """Collects what is played."""

    def __init__(self, domain: Domain, image: type = Image) -> None:
        self._domain = domain
        self.images = domain.collect(image, "eye/image_raw", SENSOR)
        self.left = domain.collect(JointState, "left_states", STATE)
        self.right = domain.collect(JointState, "right_states", STATE)

    def until(self, count: int) -> None:
        self._domain.spin_until(
            lambda: min(len(self.images), len(self.left), len(self.right)) >= count,
            f"{count} rows",
        )

    def start(self) -> Trigger.Response:
        return self._domain.call(Trigger, "/recording_source/start", Trigger.Request())


def test_rows_and_frames_are_played_with_one_stamp_at_the_recorded_rate(domain: Domain, files):
    node = domain.add(RecordingSource, **files, play_on_activate=False)
    assert node.start()
    viewer = Viewer(domain)
    before = domain.peer.get_clock().now().nanoseconds

    assert viewer.start().success
    viewer.until(ROWS)
    domain.spin_for(0.1)

    assert len(viewer.images) == len(viewer.left) == len(viewer.right) == ROWS
    stamps = [ns_from_time(image.header.stamp) for image in viewer.images]
    assert stamps == [ns_from_time(state.header.stamp) for state in viewer.left]
    assert stamps == [ns_from_time(state.header.stamp) for state in viewer.right]
    assert np.diff(stamps).tolist() == [50_000_000] * (ROWS - 1)
    assert 0 < stamps[0] - 50_000_000 - before < 2_000_000_000
    for row, (image, left, right) in enumerate(
        zip(viewer.images, viewer.left, viewer.right, strict=True)
    ):
        assert [*left.name, *right.name] == ["a", "w"]
        assert [*left.position, *right.position] == ARRAYS["state"][row].tolist()
        pixels = rgb_from_message(image, "eye", node._spec)
        np.testing.assert_allclose(pixels.mean(axis=(0, 1)), colour(row), atol=6)


def test_it_plays_when_activated_and_again_when_started(domain: Domain, files):
    assert domain.add(RecordingSource, **files).start()
    viewer = Viewer(domain)
    domain.spin_for(0.5)
    viewer.left.clear()

    assert viewer.start().success
    domain.spin_until(lambda: len(viewer.left) == ROWS, "the second time")
    assert viewer.left[0].position.tolist() == [0.0]


def test_a_start_in_the_middle_begins_from_the_beginning(domain: Domain, files):
    assert domain.add(RecordingSource, **files, play_on_activate=False).start()
    viewer = Viewer(domain)
    viewer.start()
    viewer.until(3)
    played = len(viewer.left)

    viewer.start()
    domain.spin_until(lambda: len(viewer.left) >= played + ROWS, "the whole of it")
    domain.spin_for(0.1)

    positions = [state.position[0] for state in viewer.left]
    assert positions[-ROWS:] == ARRAYS["state"][:, 0].tolist()
    assert positions.count(0.0) == 2


def test_a_loop_does_not_end(domain: Domain, files):
    node = domain.add(RecordingSource, **files, loop=True)
    assert node.start()
    viewer = Viewer(domain)

    viewer.until(2 * ROWS + 1)
    node.trigger_deactivate()
    domain.spin_for(0.1)
    count = len(viewer.left)
    domain.spin_for(0.2)
    assert len(viewer.left) == count
    assert not viewer.start().success


def test_images_may_be_compressed(domain: Domain, files):
    robot = Path(files["robot"])
    robot.write_text(ROBOT.replace("TRANSPORT", "compressed"))
    node = domain.add(RecordingSource, **files, play_on_activate=False)
    assert node.start()
    viewer = Viewer(domain, CompressedImage)

    viewer.start()
    viewer.until(ROWS)

    pixels = rgb_from_message(viewer.images[2], "eye", node._spec)
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), colour(2), atol=6)


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("[w/position]", "[w/position, v/position]", r"shape \(6, 2\), expected .N >= 1, 3."),
        ("[w/position]", "[w/velocity]", "a recording holds positions only"),
        ("height: 32", "height: 33", "is 32x48 px, while the camera is 33x48"),
        (
            "cameras:",
            "cameras:\n  other: {topic: o, transport: raw, height: 1, width: 1, max_age_s: 1.0}",
            "must be one of the cameras of robot recorded, which are other, eye",
        ),
    ],
)
def test_a_robot_that_does_not_fit_is_refused(domain: Domain, files, capfd, old, new, text):
    robot = Path(files["robot"])
    robot.write_text(ROBOT.replace("TRANSPORT", "raw").replace(old, new))

    assert not domain.add(RecordingSource, **files).start()
    assert re.search(text, capfd.readouterr().err)


def test_a_missing_video_is_refused(domain: Domain, files, capfd: pytest.CaptureFixture):
    Path(files["recording"]).with_suffix(".mp4").unlink()

    assert not domain.add(RecordingSource, **files).start()
    assert "episode.mp4: the recording's video does not exist" in capfd.readouterr().err


def test_a_video_that_is_damaged_in_the_middle_ends_the_process(
    domain: Domain, files, capfd: pytest.CaptureFixture
):
    node = domain.add(RecordingSource, **files, play_on_activate=False)
    assert node.start()
    Path(files["recording"]).with_suffix(".mp4").unlink()
    Viewer(domain).start()

    domain.spin_until(node.exit_code.done, "the end")
    assert node.exit_code.result() == 1
    assert "episode.mp4" in capfd.readouterr().err


def test_the_recorded_robot_and_its_policy_fit_each_other():
    robot = load_robot_spec(config_file("robots", "gr1_recording"))
    policy = load_policy_spec(config_file("policies", "gr1_replay"))

    policy.check_against(robot)

    assert len(robot.state_names) == 44
    assert robot.command_names == robot.state_names == policy.action_names == policy.state_names
    widths = [len(key.interfaces) for key in policy.action.values()]
    assert widths == [7, 6, 6, 3, 7, 6, 6, 3]
    assert robot.switched.sum() == 12


@needs_data
def test_no_recorded_action_meets_a_limit():
    robot = load_robot_spec(config_file("robots", "gr1_recording"))
    for path in sorted(DATA.parent.glob("*.npz")):
        with np.load(path) as arrays:
            action = arrays["action"].astype(np.float64)
        assert (action > robot.limit_array("lower")).all()
        assert (action < robot.limit_array("upper")).all()
        # Continuous joints move in a step of 50 ms; switched ones within a tick, of 10 ms here.
        tick_s = np.where(robot.switched, 0.01, 0.05)
        speed = np.abs(np.diff(action, axis=0)) / tick_s
        assert (speed < robot.limit_array("max_velocity")).all()
        assert (2.0 * speed / 0.01 < robot.limit_array("max_acceleration")).all()


@needs_data
def test_a_real_recording_is_played(domain: Domain):
    parameters = {"robot": "gr1_recording", "recording": str(DATA), "play_on_activate": False}
    node = domain.add(RecordingSource, **parameters)
    assert node.start()
    spec = node._spec
    images = domain.collect(Image, spec.topic, SENSOR)
    [stream] = node._robot.state_streams.values()
    states = domain.collect(JointState, stream.topic, STATE)

    domain.call(Trigger, "/recording_source/start", Trigger.Request())
    domain.spin_until(lambda: len(images) >= 10 and len(states) >= 10, "ten frames")

    with np.load(DATA) as arrays:
        recorded = arrays["state"]
        stamps_s = arrays["timestamp_s"]
    np.testing.assert_allclose([state.position for state in states[:10]], recorded[:10], atol=1e-6)
    played_s = np.diff([ns_from_time(state.header.stamp) * 1e-9 for state in states[:10]])
    np.testing.assert_allclose(played_s, np.diff(stamps_s[:10]), atol=1e-6)
    assert rgb_from_message(images[0], "", spec).std() > 10.0
