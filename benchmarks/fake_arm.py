# SPDX-License-Identifier: Apache-2.0
"""An SO101 that is not there: cameras of 640x480 full of noise, and joints. Needs rclpy.init."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import rclpy
import yaml
from sensor_msgs.msg import Image, JointState

from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.ros.qos import SENSOR, STATE

HEIGHT, WIDTH, CAMERA_HZ, STATE_HZ = 480, 640, 30.0, 100.0


def describe(cameras: Iterable[str]) -> dict[str, Any]:
    """The simulated SO101's description with such cameras."""
    path = config_file("robots", "so101_sim")
    robot: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    robot["urdf"] = str(path.parent / robot["urdf"])
    robot["cameras"] = {
        name: {
            "topic": f"{name}/image_raw",
            "transport": "raw",
            "height": HEIGHT,
            "width": WIDTH,
            "max_age_s": 0.5,
        }
        for name in cameras
    }
    return robot


def play(robot: RobotSpec, position_rad: Callable[[], float]) -> None:
    """Publish images and joint states until the process is ended.

    Args:
        robot: As ``describe`` has it.
        position_rad: Where all joints are now.
    """
    node = rclpy.create_node("fake_arm")
    image = Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding="rgb8")
    image.data = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3, np.uint8).tobytes()
    cameras = [
        node.create_publisher(Image, camera.topic, SENSOR) for camera in robot.cameras.values()
    ]
    [stream] = robot.state_streams.values()
    joints = JointState(name=list(stream.map.joints))
    states = node.create_publisher(JointState, stream.topic, STATE)

    def show() -> None:
        image.header.stamp = node.get_clock().now().to_msg()
        for publisher in cameras:
            publisher.publish(image)

    def measure() -> None:
        joints.header.stamp = node.get_clock().now().to_msg()
        joints.position = [position_rad()] * len(joints.name)
        states.publish(joints)

    node.create_timer(1.0 / CAMERA_HZ, show)
    node.create_timer(1.0 / STATE_HZ, measure)
    rclpy.spin(node)
