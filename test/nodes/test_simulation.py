# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory
from vla_ros_msgs.msg import TaskState
from vla_ros_msgs.srv import ResetWorld

from test.ros.harness import Domain
from vla_ros.core.config_files import config_file
from vla_ros.core.joint_map import same
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.simulation import Simulation
from vla_ros.ros.commands import joint_trajectory
from vla_ros.ros.images import rgb_from_message
from vla_ros.ros.joint_states import JointStateReader
from vla_ros.ros.qos import COMMAND, LATCHED, SENSOR, STATE
from vla_ros.ros.stamps import ns_from_time

ROBOT = load_robot_spec(config_file("robots", "so101_sim"))
[(STREAM_NAME, STREAM)] = ROBOT.state_streams.items()
[GROUP] = ROBOT.command_groups.values()
TRAJECTORIES = "trajectory_controller/joint_trajectory"


class Scene:
    """The simulation, seen from outside."""

    def __init__(self, domain: Domain, **parameters) -> None:
        self.domain = domain
        self.node = domain.add(
            Simulation,
            robot="so101_sim",
            seed=3,
            renderer="raycast",
            trajectory_topics=[TRAJECTORIES],
            **parameters,
        )
        assert self.node.start()
        self._reader = JointStateReader(STREAM_NAME, STREAM)
        self.states = domain.collect(JointState, STREAM.topic, STATE)
        self.tasks = domain.collect(TaskState, "simulation/task_state", LATCHED)
        self.commands = domain.publisher(Float64MultiArray, GROUP.topic, COMMAND)
        self.trajectories = domain.publisher(JointTrajectory, TRAJECTORIES, COMMAND)

    def pose(self) -> np.ndarray:
        """Where the joints are, as said from now on."""
        count = len(self.states)
        self.domain.spin_until(lambda: len(self.states) > count, "a joint state")
        return self._reader.values(self.states[-1])

    def reached(self, goal: np.ndarray) -> None:
        self.domain.spin_until(lambda: np.abs(self.pose() - goal).max() < 0.03, f"{goal}")

    def reset(self, seed: int, instruction: str = "") -> ResetWorld.Response:
        request = ResetWorld.Request(seed=seed, instruction=instruction)
        return self.domain.call(ResetWorld, "/simulation/reset", request)


@pytest.fixture
def scene(domain: Domain) -> Scene:
    return Scene(domain)


def test_joint_states_come_at_their_rate_and_in_order(scene: Scene):
    scene.pose()
    begin = len(scene.states)
    scene.domain.spin_for(1.0)

    stamps_s = np.array([ns_from_time(s.header.stamp) for s in scene.states[begin:]]) * 1e-9
    # A busy machine sends fewer, but never faster than it should.
    assert len(stamps_s) > 20
    assert (np.diff(stamps_s) > 0.0).all()
    assert np.median(np.diff(stamps_s)) >= 0.008
    now_s = scene.domain.peer.get_clock().now().nanoseconds * 1e-9
    assert abs(now_s - stamps_s[-1]) < 2.0


def test_cameras_show_the_scene_at_their_rate_each_in_its_size(scene: Scene):
    cameras = {
        name: scene.domain.collect(Image, camera.topic, SENSOR)
        for name, camera in ROBOT.cameras.items()
    }
    scene.domain.spin_until(lambda: all(cameras.values()), "images")
    counts = {name: len(images) for name, images in cameras.items()}
    scene.domain.spin_for(1.0)

    for name, images in cameras.items():
        assert 3 <= len(images) - counts[name] <= 45
        pixels = rgb_from_message(images[-1], name, ROBOT.cameras[name])
        assert pixels.std() > 10.0
        stamps_ns = [ns_from_time(image.header.stamp) for image in images]
        assert stamps_ns == sorted(set(stamps_ns))
    state_stamps_ns = {ns_from_time(state.header.stamp) for state in scene.states}
    some = [ns_from_time(image.header.stamp) for image in next(iter(cameras.values()))[1:-1]]
    assert set(some) <= state_stamps_ns


def test_an_array_moves_the_arm(scene: Scene):
    goal = scene.pose() + 0.2

    scene.commands.publish(Float64MultiArray(data=goal.tolist()))

    scene.reached(goal)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([0.0] * 5, "ignored: the command has 5 values, expected 6"),
        ([0.0] * 5 + [math.nan], "ignored: the command holds a value that is not finite"),
    ],
)
def test_a_bad_array_is_ignored_with_a_word(scene: Scene, capfd, data, text):
    before = scene.pose()

    scene.commands.publish(Float64MultiArray(data=data))
    scene.domain.spin_for(0.3)

    assert text in capfd.readouterr().err
    np.testing.assert_allclose(scene.pose(), before, atol=0.01)


def test_a_trajectory_moves_the_arm_in_its_time(scene: Scene):
    begin = scene.pose()
    goal = begin - 0.3
    order = GROUP.interfaces[::-1]

    scene.trajectories.publish(joint_trajectory(same(order).joints, goal[::-1], 1_000_000_000))
    scene.domain.spin_for(0.5)
    halfway = scene.pose()
    scene.reached(goal)

    assert 0.2 < np.mean((halfway - begin) / (goal - begin)) < 0.8


def test_a_reset_makes_the_world_of_its_seed_and_forgets_commands(scene: Scene):
    scene.reset(11)
    start = scene.pose()
    goal = start + np.array([0.4, 0.0, 0.0, 0.0, 0.0, 0.2])
    scene.commands.publish(Float64MultiArray(data=goal.tolist()))
    scene.reached(goal)

    answer = scene.reset(11)

    assert answer.success
    np.testing.assert_allclose(scene.pose(), start, atol=0.02)
    scene.domain.spin_for(0.2)
    np.testing.assert_allclose(scene.pose(), start, atol=0.02)
    scene.domain.spin_until(lambda: scene.tasks[-1].seed == 11, "the task")
    assert scene.tasks[-1].instruction == answer.instruction
    assert not scene.tasks[-1].success


def test_a_reset_with_an_instruction(scene: Scene):
    answer = scene.reset(5, "put the green cube on the plate")
    assert (answer.success, answer.instruction) == (True, "put the green cube on the plate")

    refused = scene.reset(5, "sing a song")
    assert not refused.success
    assert "sing a song" in refused.message
    assert not scene.reset(-1).success


def test_the_new_world_is_seen_when_the_reset_has_answered(scene: Scene):
    camera = ROBOT.cameras["front"]
    images = scene.domain.collect(Image, camera.topic, SENSOR)
    scene.domain.spin_until(lambda: images, "an image")
    before_ns = scene.domain.peer.get_clock().now().nanoseconds

    scene.reset(8)
    scene.domain.spin_for(0.02)

    assert ns_from_time(images[-1].header.stamp) > before_ns


def test_inactive_the_world_stands_still_and_goes_on_later(scene: Scene):
    scene.pose()
    scene.node.trigger_deactivate()
    scene.domain.spin_for(0.1)
    count = len(scene.states)
    scene.domain.spin_for(0.1)
    assert len(scene.states) == count

    scene.node.trigger_activate()
    scene.pose()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"robot": "nobody"}, "robots: 'nobody' is not known"),
        ({"scene": "nowhere"}, "sim: 'nowhere' is not known"),
        ({"instruction": "sing"}, "instruction 'sing' must name exactly one"),
        ({"trajectory_topics": ["x", "y"]}, "'trajectory_topics' has 2 entries, expected none or"),
        ({"renderer": "crayon"}, "'renderer' must be one of"),
    ],
)
def test_a_bad_start_says_why(domain: Domain, capfd: pytest.CaptureFixture, parameters, text):
    node = domain.add(Simulation, **{"robot": "so101_sim", "renderer": "raycast", **parameters})

    assert not node.start()
    assert text in capfd.readouterr().err
