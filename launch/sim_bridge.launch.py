# SPDX-License-Identifier: Apache-2.0
"""A Unitree G1 with Inspire hands, simulated or real, follows a spoken task."""

from __future__ import annotations

from launch import LaunchDescription

from vla_ros.bringup.launch_description import known, launch_description
from vla_ros.bringup.sim_bridge import SimBridge, sim_bridge


def generate_launch_description() -> LaunchDescription:
    return launch_description(
        SimBridge,
        sim_bridge,
        {
            "sim": "What plays the robot: stand_in is started here, isaaclab runs already, none is"
            " the robot itself; empty: stand_in for robot g1_inspire, else none.",
            "host": "Where the camera images come from.",
            "image_port": "The port there that tells about the others.",
            "robot": f"The robot: {known('robots')}.",
            "policy": f"The policy: {known('policies')}; empty: g1_scripted, with the stand-in.",
            "gr00t_host": "Host of a policy server, or HOST:PORT of several, separated by"
            " commas; empty: a scripted one is started here.",
            "gr00t_port": "The port, where there is one host.",
            "gr00t_protocol": "zmq or http.",
            "gr00t_api_token": "What it wants to hear; empty: nothing.",
            "control_freq": "Commands per second [Hz].",
            "task": "Name of unitree_sim_isaaclab's task; another one is reported.",
            "instruction": "What to do, until the topic 'instruction' says otherwise.",
            "dds_domain": "Unitree's DDS domain; -1: 1 for a simulator, 0 for the robot.",
            "network_interface": "The one that Unitree's DDS uses, such as eth0; empty: any.",
            "motion_mode": "Whether a real robot's arms are commanded through rt/arm_sdk while its"
            " own controller keeps it on its feet; false: rt/lowcmd.",
            "dry_run": "Whether a real robot is left alone: commands go to dry_run/...",
            "num_robots": "How many stand-ins and rings; more than one live in robot_0 and on.",
            "seed": "Seed of the first stand-in's first world; each further one adds 1000.",
            "latency_ms": "How long the server that is started here delays its answers [ms].",
            "latency_jitter_ms": "By how much at most that delay varies [ms].",
            "params_file": "ROS parameters of the nodes, a .yaml file; empty: the package's own.",
            "namespace": "Where all names live.",
        },
    )
