# SPDX-License-Identifier: Apache-2.0
"""The fake arm on ROS topics: three cameras and joints that swing. Ends with its process."""

from __future__ import annotations

import sys
import time

import numpy as np
import rclpy
from sensor_msgs.msg import Image, JointState

from benchmarks.lerobot.facts import CAMERAS, HEIGHT, JOINTS, RATE_HZ, WIDTH, swing_deg
from vla_ros.ros.qos import SENSOR, STATE

STATE_HZ = 100.0


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("fake_arm")
    image = Image(height=HEIGHT, width=WIDTH, step=3 * WIDTH, encoding="rgb8")
    image.data = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3, np.uint8).tobytes()
    cameras = [node.create_publisher(Image, f"{name}/image_raw", SENSOR) for name in CAMERAS]
    joints = JointState(name=list(JOINTS))
    states = node.create_publisher(JointState, "joint_states", STATE)

    def show() -> None:
        image.header.stamp = node.get_clock().now().to_msg()
        for publisher in cameras:
            publisher.publish(image)

    def measure() -> None:
        joints.header.stamp = node.get_clock().now().to_msg()
        joints.position = [float(np.deg2rad(swing_deg(time.time())))] * len(JOINTS)
        states.publish(joints)

    node.create_timer(1.0 / RATE_HZ, show)
    node.create_timer(1.0 / STATE_HZ, measure)
    rclpy.spin(node)


if __name__ == "__main__":
    sys.exit(main())
