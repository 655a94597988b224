# SPDX-License-Identifier: Apache-2.0
"""Publishes what a Unitree robot or its simulator says. One thread; radians."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from vla_ros_msgs.msg import TaskState

from vla_ros.core.driver_joints import driver_places
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.drivers.unitree.body_spec import UnitreeSpec
from vla_ros.drivers.unitree.body_state import BodyState, Inertial, JointValues
from vla_ros.drivers.unitree.rewards import Reward, read_task_name
from vla_ros.ros.joint_states import joint_state_message
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import LATCHED, STATE
from vla_ros.ros.stamps import time_from_ns
from vla_ros.ros.stream_rate import StreamRate

# REP 145: the first element of a covariance says that there is no such quantity.
_NOT_MEASURED = -1.0


@dataclass(frozen=True, slots=True)
class _Stream:
    """A state stream of the robot's: where it goes, and where its joints stand in their part."""

    publisher: Publisher
    interfaces: list[str]
    places: list[int]


class UnitreeStates:
    """The publishers.

    Attributes:
        body_rate: Of the body's states.
        hands_rate: Of the hands' states.
        task_name: The task that a simulator says it plays; empty before it speaks.
    """

    task_name = ""

    def __init__(
        self, node: LifecycleBase, undo: contextlib.ExitStack, robot: RobotSpec, spec: UnitreeSpec
    ) -> None:
        """Make them.

        Args:
            node: Whose they are.
            undo: Takes how they are undone.
            robot: Says which joints go where.
            spec: Says which there are.

        Raises:
            ConfigError: A stream has a joint that is not there, or joints of body and hands.
        """
        self.body_rate = StreamRate()
        self.hands_rate = StreamRate()
        self._clock = node.get_clock()
        self._imu_frame = spec.imu_frame
        self._body: list[_Stream] = []
        self._hands: list[_Stream] = []
        known = (*spec.body_interfaces, *spec.hand_interfaces)
        motors = len(spec.motors)
        for name, places in driver_places(robot, robot.state_streams, known, spec.source).items():
            within = [place - motors if place >= motors else place for place in places]
            if len({place >= motors for place in places}) > 1:
                raise ConfigError(
                    f"{robot.source}: state_streams.{name} must hold joints of the body alone or"
                    " of the hands alone, because they are measured apart"
                )
            publisher = node.publisher(undo, JointState, robot.state_streams[name].topic, STATE)
            stream = _Stream(publisher, [known[place] for place in places], within)
            (self._hands if places[0] >= motors else self._body).append(stream)
        self._imu = node.publisher(undo, Imu, "imu/data", STATE)
        self._task = node.publisher(undo, TaskState, "~/task_state", LATCHED)
        self._sim_state = node.publisher(undo, String, "~/sim_state", STATE)

    def publish_body(self, state: BodyState) -> None:
        """The body's joints, and its inertial unit."""
        stamp_ns = self._now_ns()
        self.body_rate.received(time.monotonic_ns())
        _publish(self._body, state.joints, stamp_ns)
        self._imu.publish(imu_message(state.inertial, self._imu_frame, stamp_ns))

    def publish_hands(self, joints: JointValues) -> None:
        """The hands' joints, (12,)."""
        self.hands_rate.received(time.monotonic_ns())
        _publish(self._hands, joints, self._now_ns())

    def publish_task(self, reward: Reward, elapsed_s: float) -> None:
        """How a simulator's task stands.

        Args:
            reward: What it pays.
            elapsed_s: Time since the world was reset.
        """
        message = TaskState(
            success=reward.success,
            failed=reward.failed,
            detail=f"reward {reward.value:g}",
            elapsed_s=elapsed_s,
        )
        message.header.stamp = time_from_ns(self._now_ns())
        self._task.publish(message)

    def publish_sim_state(self, text: str) -> None:
        """What a simulator says of its world, as it said it."""
        self.task_name = read_task_name(text)
        self._sim_state.publish(String(data=text))

    def _now_ns(self) -> int:
        return int(self._clock.now().nanoseconds)


def imu_message(inertial: Inertial, frame: str, stamp_ns: int) -> Imu:
    """What an inertial unit measures, as REP 145 has it: a covariance of zeros is unknown.

    Args:
        inertial: What it measures.
        frame: The link whose axes it has.
        stamp_ns: When, on the ROS clock.
    """
    message = Imu()
    if inertial.orientation is None:
        message.orientation_covariance[0] = _NOT_MEASURED
    else:
        _fill(message.orientation, "xyzw", inertial.orientation)
    _fill(message.angular_velocity, "xyz", inertial.angular_velocity)
    _fill(message.linear_acceleration, "xyz", inertial.acceleration)
    message.header.stamp = time_from_ns(stamp_ns)
    message.header.frame_id = frame
    return message


def _fill(message: Any, names: str, values: NDArray[np.float64]) -> None:
    for name, value in zip(names, values.tolist(), strict=True):
        setattr(message, name, value)


def _publish(streams: list[_Stream], joints: JointValues, stamp_ns: int) -> None:
    for stream in streams:
        message = joint_state_message(
            stream.interfaces,
            joints.position[stream.places],
            time_from_ns(stamp_ns),
            velocity=joints.velocity[stream.places],
            effort=joints.effort[stream.places],
        )
        stream.publisher.publish(message)
