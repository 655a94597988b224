# SPDX-License-Identifier: Apache-2.0
"""Passes topics on under other names, so that a test can kill a source without its simulation.

Arguments: message type (Image or JointState), then pairs of topics ``from:to``.
"""

from __future__ import annotations

import contextlib
import sys

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs import msg as sensor_msgs


def main(kind: str, *pairs: str) -> None:
    rclpy.init()
    node = rclpy.create_node(f"relay_{kind.lower()}")
    message = getattr(sensor_msgs, kind)
    for pair in pairs:
        origin, target = pair.split(":")
        publisher = node.create_publisher(message, target, qos_profile_sensor_data)
        node.create_subscription(
            message, origin, publisher.publish, qos_profile_sensor_data, raw=True
        )
    # A signal is how it is told to end.
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


if __name__ == "__main__":
    main(*sys.argv[1:])
