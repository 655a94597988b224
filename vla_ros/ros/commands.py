# SPDX-License-Identifier: Apache-2.0
"""Commands as ros2_control's controllers take them. Any one thread may publish."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.core.robot_spec import CommandGroup, RobotSpec
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import COMMAND
from vla_ros.ros.ring_messages import doubles
from vla_ros.ros.stamps import duration_from_ns


def position_array(values: NDArray[np.float64]) -> Float64MultiArray:
    """What ForwardCommandController takes.

    Args:
        values: (D,) In the controller's order.
    """
    return Float64MultiArray(data=doubles(values))


def joint_trajectory(
    joints: tuple[str, ...], values: NDArray[np.float64], duration_ns: int
) -> JointTrajectory:
    """One point that JointTrajectoryController shall reach.

    Args:
        joints: (D,) Names.
        values: (D,) In the same order.
        duration_ns: How long it shall take. The stamp is zero, which says: from now on.
    """
    point = JointTrajectoryPoint(
        positions=doubles(values), time_from_start=duration_from_ns(duration_ns)
    )
    return JointTrajectory(joint_names=list(joints), points=[point])


class CommandPublishers:
    """Publishes a robot's command to all of its controllers."""

    def __init__(
        self,
        node: LifecycleBase,
        undo: contextlib.ExitStack,
        robot: RobotSpec,
        *,
        below: str = "",
    ) -> None:
        """Make the publishers.

        Args:
            node: Publishes.
            undo: Takes how the publishers are undone.
            robot: Whose controllers there are.
            below: What stands before the controllers' topics.
        """
        self._groups: list[tuple[Publisher, CommandGroup, slice]] = []
        begin = 0
        for group in robot.command_groups.values():
            message, end = command_type(group), begin + len(group.interfaces)
            publisher = node.publisher(undo, message, below + group.topic, COMMAND)
            self._groups.append((publisher, group, slice(begin, end)))
            begin = end

    def publish(self, positions: NDArray[np.float64], tick_ns: int) -> None:
        """Send a command.

        Args:
            positions: (D,) In the robot's ``command_names`` order.
            tick_ns: Time until the next one.
        """
        for publisher, group, places in self._groups:
            values = group.map.to_robot(positions[places])
            if group.type == "position_array":
                publisher.publish(position_array(values))
            else:
                publisher.publish(joint_trajectory(group.map.joints, values, tick_ns))


def command_type(group: CommandGroup) -> type:
    """The message that a controller's topic carries."""
    return Float64MultiArray if group.type == "position_array" else JointTrajectory
