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
            "sim": "Whether the robot is simulated; false: its drivers must be running.",
            "robot": f"The robot: {known('robots')}.",
            "policy": f"The policy: {known('policies')}.",
            "server_address": "HOST:PORT of a GR00T policy server; empty: start a scripted one.",
            "server_port": "Port of the server that is started here.",
            "latency_ms": "How long that server delays its answers [ms].",
            "latency_jitter_ms": "By how much at most that delay varies [ms].",
            "instruction": "What to do, until the topic 'instruction' says otherwise.",
            "seed": "Seed of the simulated world.",
            "params_file": "ROS parameters of the nodes, a .yaml file; empty: the package's own.",
            "namespace": "Where all names live.",
        },
    )
