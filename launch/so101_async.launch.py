# SPDX-License-Identifier: Apache-2.0
"""An SO101 follows a spoken task, driven by action chunks from a policy server."""

from __future__ import annotations

from launch import LaunchDescription

from vla_ros.bringup.launch_description import known, launch_description
from vla_ros.bringup.so101_async import So101Async, so101_async


def generate_launch_description() -> LaunchDescription:
    return launch_description(
        So101Async,
        so101_async,
        {
            "sim": "Whether the robot is simulated.",
            "robot": f"The robot: {known('robots')}; empty: so101_sim, or so101.",
            "policy": f"The policy: {known('policies')}; empty: so101_scripted, in simulation.",
            "backend": "How the policy is reached; empty: what its file says.",
            "server_address": "HOST:PORT of a policy server, or several, separated by commas;"
            " empty: in simulation a scripted one is started here, else the policy runs in the"
            " process.",
            "server_port": "Port of the server that is started here.",
            "driver": "What moves a real arm: so101_driver is started here, ros2_control runs"
            " already.",
            "port": "The arm's serial port, for so101_driver.",
            "calibration": "LeRobot's calibration file of this arm, for so101_driver.",
            "cameras": "Cameras that are read here: NAME=DEVICE, separated by spaces.",
            "dry_run": "Whether a real arm is left alone: torque stays off, and commands go to"
            " dry_run/...",
            "latency_ms": "How long that server delays its answers [ms].",
            "latency_jitter_ms": "By how much at most that delay varies [ms].",
            "instruction": "What to do, until the topic 'instruction' says otherwise.",
            "seed": "Seed of the simulated world.",
            "params_file": "ROS parameters of the nodes, a .yaml file; empty: the package's own.",
            "namespace": "Where all names live.",
        },
    )
