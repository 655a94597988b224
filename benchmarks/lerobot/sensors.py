# SPDX-License-Identifier: Apache-2.0
"""The fake arm on ROS topics; its joints swing. Argument: its description."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

import rclpy

from benchmarks import fake_arm
from benchmarks.lerobot.facts import swing_deg
from vla_ros.core.robot_spec import load_robot_spec


def main(robot_file: str) -> None:
    rclpy.init()
    fake_arm.play(load_robot_spec(Path(robot_file)), lambda: math.radians(swing_deg(time.time())))


if __name__ == "__main__":
    main(*sys.argv[1:])
