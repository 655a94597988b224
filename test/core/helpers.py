# SPDX-License-Identifier: Apache-2.0
"""Small robots and policies for the core's tests."""

from __future__ import annotations

from pathlib import Path

from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.yaml_file import parse

MS = 1_000_000
SECOND = 1_000_000_000

# ruff: noqa: E501
ROBOT = """
name: two_joint
on_starvation: hold
max_camera_skew_s: 0.02
interfaces:
  a/position: {lower: -1.0, upper: 1.0, max_velocity: 2, max_acceleration: 20, joining: continuous}
  g/position: {lower: 0.0, upper: 1.0, max_velocity: 50, max_acceleration: 5000, joining: switched}
  w/position: {lower: -1.0, upper: 1.0, max_velocity: 2, max_acceleration: 20, joining: continuous}
cameras:
  left: {topic: left/image_raw, transport: raw, height: 4, width: 6, max_age_s: 0.2}
  right: {topic: right/image_raw, transport: compressed, height: 4, width: 6, max_age_s: 0.3}
state_streams:
  joints: {topic: joint_states, type: joint_state, max_age_s: 0.1, interfaces: [w/position, a/position]}
  hand: {topic: hand_states, type: joint_state, max_age_s: 0.2, interfaces: [g/position]}
command_groups:
  arm: {topic: arm/commands, type: position_array, interfaces: [a/position, w/position]}
  hand: {topic: hand/trajectory, type: joint_trajectory, interfaces: [g/position]}
"""

POLICY = """
name: two_joint_policy
backend: hold
rate_hz: 10
horizon: 10
instruction_key: task
video:
  front: {camera: left}
state:
  arm: {interfaces: [a/position], unit: rad}
  hand: {interfaces: [g/position], unit: rad}
action:
  arm: {interfaces: [a/position], unit: rad}
  hand: {interfaces: [g/position], unit: rad}
"""


def robot(text: str = ROBOT) -> RobotSpec:
    """A robot with two arm joints and a hand, in two command groups and two state streams."""
    return robot_spec_from(parse(text, source="robot.yaml"), folder=Path())


def cameraless_robot() -> RobotSpec:
    """The same robot without cameras."""
    start, rest = ROBOT.split("cameras:\n")
    return robot(f"{start}cameras: {{}}\n{rest[rest.index('state_streams') :]}")


def policy(text: str = POLICY) -> PolicySpec:
    """A policy of ten actions at 10 Hz that commands one arm joint and the hand."""
    return policy_spec_from(parse(text, source="policy.yaml"))
