# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib

import numpy as np
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from test.core.helpers import ROBOT, robot
from test.ros.harness import Domain
from vla_ros.ros.commands import CommandPublishers, command_type, joint_trajectory, position_array
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT
from vla_ros.ros.stamps import ns_from_time


def test_a_position_array():
    message = position_array(np.array([1.0, 2.0, 3.0])[::2])

    assert list(message.data) == [1.0, 3.0]


def test_a_joint_trajectory_of_one_point():
    message = joint_trajectory(("a", "b"), np.array([1.0, 2.0]), 20_000_000)

    assert message.joint_names == ["a", "b"]
    assert ns_from_time(message.header.stamp) == 0
    assert len(message.points) == 1
    assert list(message.points[0].positions) == [1.0, 2.0]
    assert ns_from_time(message.points[0].time_from_start) == 20_000_000


def test_a_controller_may_name_and_count_in_its_own_way(domain: Domain):
    own = "type: joint_trajectory, joints: {g: jaw}, scale: [-2], offset: [1]"
    spec = robot(ROBOT.replace("type: joint_trajectory", own))
    node = domain.add(lambda **kwargs: LifecycleBase("commander", **kwargs))
    with contextlib.ExitStack() as undo:
        commands = CommandPublishers(node, undo, spec)
        hand = domain.collect(JointTrajectory, "hand/trajectory", EVENT)

        def commanded() -> bool:
            commands.publish(np.array([0.1, 0.2, 0.3]), 20_000_000)
            return bool(hand)

        domain.spin_until(commanded, "a command")

    assert (hand[0].joint_names, list(hand[0].points[0].positions)) == (["jaw"], [0.4])


def test_each_controller_gets_its_own_part(domain: Domain):
    groups = robot().command_groups
    assert [command_type(group) for group in groups.values()] == [
        Float64MultiArray, JointTrajectory,
    ]  # fmt: skip
    node = domain.add(lambda **kwargs: LifecycleBase("commander", **kwargs))
    with contextlib.ExitStack() as undo:
        commands = CommandPublishers(node, undo, robot())
        arm = domain.collect(Float64MultiArray, "arm/commands", EVENT)
        hand = domain.collect(JointTrajectory, "hand/trajectory", EVENT)

        def both() -> bool:
            commands.publish(np.array([0.1, 0.2, 0.3]), 20_000_000)
            return bool(arm and hand)

        domain.spin_until(both, "a command for each controller")

    assert list(arm[0].data) == [0.1, 0.2]
    assert (hand[0].joint_names, list(hand[0].points[0].positions)) == (["g"], [0.3])
    domain.spin_until(lambda: domain.peer.count_publishers("arm/commands") == 0, "the end of it")
