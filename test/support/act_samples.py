# SPDX-License-Identifier: Apache-2.0
"""The robot, policy and arrays behind the golden pickles of the ACT wire.

The robot is the document's: a base with position and velocity, an arm of seven joints and a
gripper; the server answers with their positions and velocities.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.yaml_file import parse

GOLDEN = Path(__file__).parents[1] / "wire/act/golden"
STAMP_NS = 1_700_000_000_123_456_789
CAMERAS = ("rgb_main", "rgb_left", "rgb_under")
POSITIONS = tuple(f"base/{axis}/position" for axis in "xyz")
VELOCITIES = tuple(
    f"base/{kind}_{axis}/velocity" for kind in ("linear", "angular") for axis in "xyz"
)
JOINTS = tuple(f"left_joint_{index}/position" for index in range(1, 8))
CLAW = "left_claw/position"
STATE = (*POSITIONS, *VELOCITIES, *JOINTS, CLAW)
COMMANDS = (*JOINTS, CLAW)

# What the golden pickles hold.
QPOS = np.arange(17, dtype=np.float32) / np.float32(8) - np.float32(1)
IMAGES = {
    camera: (np.arange(18, dtype=np.uint8) + 20 * index).reshape(2, 3, 3)
    for index, camera in enumerate(CAMERAS)
}
ACTION = np.arange(16, dtype=np.float32) / np.float32(4) - np.float32(2)
ERROR = "KeyError: 'rgb_main'"

_LIMITS = "{lower: -9, upper: 9, max_velocity: 5, max_acceleration: 50, joining: continuous}"
_CAMERA = "{{topic: {0}/image, transport: raw, height: 2, width: 3, max_age_s: 0.2}}"
_ARM = f"{{interfaces: [{', '.join(JOINTS)}], unit: rad}}"
_GRIPPER = f"{{interfaces: [{CLAW}], unit: rad}}"

ROBOT = f"""
name: arm_on_a_base
on_starvation: hold
max_camera_skew_s: 0.02
interfaces: {{{", ".join(f"{name}: {_LIMITS}" for name in COMMANDS)}}}
cameras: {{{", ".join(f"{name}: {_CAMERA.format(name)}" for name in ("main", "left", "under"))}}}
state_streams:
  base: {{topic: base_states, type: joint_state, max_age_s: 0.1, interfaces: [{", ".join((*POSITIONS, *VELOCITIES))}]}}
  arm: {{topic: joint_states, type: joint_state, max_age_s: 0.1, interfaces: [{", ".join(COMMANDS)}]}}
command_groups:
  arm: {{topic: arm/commands, type: position_array, interfaces: [{", ".join(COMMANDS)}]}}
"""  # noqa: E501

POLICY = f"""
name: arm_on_a_base_act
backend: act_zmq
rate_hz: 20
horizon: 1
instruction_key: unused
video: {{rgb_main: {{camera: main}}, rgb_left: {{camera: left}}, rgb_under: {{camera: under}}}}
state:
  base_pos: {{interfaces: [{", ".join(POSITIONS)}], unit: affine, scale: [1, 1, 1], offset: [0, 0, 0]}}
  base_vel: {{interfaces: [{", ".join(VELOCITIES)}], unit: affine, scale: [1, 1, 1, 1, 1, 1], offset: [0, 0, 0, 0, 0, 0]}}
  joint_pos: {_ARM}
  gripper: {_GRIPPER}
action: {{joint_pos: {_ARM}, gripper: {_GRIPPER}}}
"""  # noqa: E501


def golden(name: str) -> bytes:
    """A golden pickle."""
    return (GOLDEN / f"{name}.pickle").read_bytes()


def robot() -> RobotSpec:
    """The document's robot, all 17 values of its state measured."""
    return robot_spec_from(parse(ROBOT, source="arm_on_a_base.yaml"), folder=Path())


def policy(text: str = POLICY) -> PolicySpec:
    """The document's policy; the velocities in its answer are not commanded."""
    return policy_spec_from(parse(text, source="arm_on_a_base_act.yaml"))


def observation(*, request: ObservationRequest | None = None, **changed: Any) -> Observation:
    """The observation behind the golden requests."""
    fields: dict[str, Any] = {
        "stamp_ns": STAMP_NS,
        "instruction": "",
        "images": dict(zip(("main", "left", "under"), IMAGES.values(), strict=True)),
        "state_names": STATE,
        "state": QPOS,
        "request": request,
    }
    return Observation(**{**fields, **changed})
