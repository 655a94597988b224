# SPDX-License-Identifier: Apache-2.0
"""The robot that the nodes are tested on: its description files and its sensors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image, JointState

from test.core.helpers import POLICY, ROBOT
from test.ros.harness import Domain
from vla_ros.ros.qos import SENSOR, STATE
from vla_ros.ros.stamps import time_from_ns

LEFT = np.full((4, 6, 3), (200, 100, 0), dtype=np.uint8)
RIGHT = np.full((4, 6, 3), (0, 0, 250), dtype=np.uint8)
# In the order of the robot's commands: a, w, g.
POSE = np.array([0.1, 0.2, 0.0])


def describe(folder: Path, *, robot: str = ROBOT, policy: str = POLICY) -> dict[str, str]:
    """Write description files, and name them as parameters do."""
    (folder / "robot.yaml").write_text(robot)
    (folder / "policy.yaml").write_text(policy)
    return {"robot": str(folder / "robot.yaml"), "policy": str(folder / "policy.yaml")}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The parameters that name the descriptions of robot and policy."""
    return describe(tmp_path)


class Sensors:
    """Publishes what the robot sees and measures, at 100 Hz while the domain is spun.

    Attributes:
        silent: Topics that publish nothing for now.
        pose: (3,) Positions of a, w and g.
    """

    def __init__(self, domain: Domain) -> None:
        self.silent: set[str] = set()
        self.pose = POSE.copy()
        self._clock = domain.peer.get_clock()
        make = domain.peer.create_publisher
        self._joints = make(JointState, "joint_states", STATE)
        self._hand = make(JointState, "hand_states", STATE)
        self._left = make(Image, "left/image_raw", SENSOR)
        self._right = make(CompressedImage, "right/image_raw", SENSOR)
        domain.peer.create_timer(0.01, self.publish)

    def publish(self) -> None:
        """Everything, stamped now."""
        stamp = time_from_ns(self._clock.now().nanoseconds)
        if "joints" not in self.silent:
            self.say_joints(["a", "w"], self.pose[:2], stamp)
        if "hand" not in self.silent:
            self.say_joints(["g"], self.pose[2:], stamp)
        if "left" not in self.silent:
            self.show_left(LEFT, stamp)
        if "right" not in self.silent:
            image = CompressedImage(data=cv2.imencode(".jpg", RIGHT[:, :, ::-1])[1].tobytes())
            image.header.stamp = stamp
            self._right.publish(image)

    def say_joints(self, names: list[str], positions: Iterable[float], stamp: Time) -> None:
        """One message of the arm's stream, or of the hand's."""
        message = JointState(name=names, position=[float(value) for value in positions])
        message.header.stamp = stamp
        (self._hand if names == ["g"] else self._joints).publish(message)

    def show_left(self, pixels: np.ndarray, stamp: Time) -> None:
        """One image of the left camera."""
        height, width, _ = pixels.shape
        image = Image(height=height, width=width, step=3 * width, encoding="rgb8")
        image.data = pixels.tobytes()
        image.header.stamp = stamp
        self._left.publish(image)
