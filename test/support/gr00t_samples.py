# SPDX-License-Identifier: Apache-2.0
"""A robot, a policy and an observation as the golden GR00T messages have them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.yaml_file import parse

HORIZON = 16
STAMP_NS = 1_700_000_000_123_456_789
INSTRUCTION_KEY = "annotation.human.task_description"
INSTRUCTION = "Put the red cube on the plate."
JOINTS = tuple(f"joint_{index}/position" for index in range(5))
NAMES = (*JOINTS, "claw/position")

_LIMITS = "{lower: -9, upper: 9, max_velocity: 5, max_acceleration: 50, joining: continuous}"
_STATE = f"type: joint_state, max_age_s: 0.1, interfaces: [{', '.join(NAMES)}]"
_ARM = f"{{interfaces: [{', '.join(JOINTS)}], unit: rad}}"
_CLAW = "{interfaces: [claw/position], unit: rad}"

ROBOT = f"""
name: six_joints
on_starvation: hold
max_camera_skew_s: 0.02
interfaces: {{{", ".join(f"{name}: {_LIMITS}" for name in NAMES)}}}
cameras:
  head: {{topic: head/image, transport: raw, height: 3, width: 4, max_age_s: 0.2}}
  hand: {{topic: hand/image, transport: raw, height: 3, width: 4, max_age_s: 0.2}}
state_streams:
  joints: {{topic: joint_states, {_STATE}}}
command_groups:
  arm: {{topic: arm/commands, type: position_array, interfaces: [{", ".join(NAMES)}]}}
"""

POLICY = f"""
name: six_joints_policy
backend: hold
rate_hz: 30
horizon: {HORIZON}
instruction_key: {INSTRUCTION_KEY}
video: {{front: {{camera: head}}, wrist: {{camera: hand}}}}
state: {{single_arm: {_ARM}, gripper: {_CLAW}}}
action: {{single_arm: {_ARM}, gripper: {_CLAW}}}
"""

# The same, looking also at half a second ago.
DELTAS = (-15, 0)
PAST_POLICY = POLICY.replace("{camera: head}", f"{{camera: head, delta_indices: {[*DELTAS]}}}")
PAST_POLICY = PAST_POLICY.replace("{camera: hand}", f"{{camera: hand, delta_indices: {[*DELTAS]}}}")


def robot() -> RobotSpec:
    """Five joints and a claw, two cameras."""
    return robot_spec_from(parse(ROBOT, source="six_joints.yaml"), folder=Path())


def policy(text: str = POLICY) -> PolicySpec:
    """A policy with the keys of NVIDIA's SO100 example."""
    return policy_spec_from(parse(text, source="six_joints_policy.yaml"))


def observation(
    *, stamp_ns: int = STAMP_NS, request: ObservationRequest | None = None, **changed: Any
) -> Observation:
    """The observation behind the golden requests."""
    pixels = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    fields: dict[str, Any] = {
        "stamp_ns": stamp_ns,
        "instruction": INSTRUCTION,
        "images": {"head": pixels[0], "hand": pixels[1]},
        "state_names": NAMES,
        "state": np.array([0.0, 0.125, 0.25, 0.375, 0.5, 0.75]),
        "request": request,
    }
    return Observation(**{**fields, **changed})


def past_observation() -> Observation:
    """One for the policy that looks also at the past."""
    pixels = np.arange(4 * 3 * 4 * 3, dtype=np.uint8).reshape(4, 3, 4, 3)
    names = ("head@-15", "head", "hand@-15", "hand")
    return observation(images=dict(zip(names, pixels, strict=True)))


def moves() -> np.ndarray:
    """(H, 6) The actions behind the golden replies: a hundredth further at each step."""
    steps = np.arange(HORIZON, dtype=np.float32)[:, None] / np.float32(100)
    return np.float32([[0.0, 0.125, 0.25, 0.375, 0.5, 0.75]]) + steps
