# SPDX-License-Identifier: Apache-2.0
"""An arm and policies as LeRobot has them: degrees, and a gripper from 0 to 100."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.core.observation import Observation
from vla_ros.core.policy_io import actions_from
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.yaml_file import parse

HORIZON = 16
RATE_HZ = 30
IMAGE = (48, 64)
CAMERAS = ("front", "wrist")
NAMES = (*(f"joint_{index}/position" for index in range(5)), "claw/position")
# LeRobot's names of the same.
VALUES = (*(f"joint_{index}.pos" for index in range(5)), "claw.pos")
# How many observations a policy is shown at once, where it is more than one.
LOOKS_BACK = {"diffusion": 2, "vqbet": 3}
INSTRUCTION = "put the cube"
STAMP_NS = 1_700_000_000_123_456_789

_OURS = dict(zip(CAMERAS, ("head", "hand"), strict=True))
_LIMITS = "{lower: -2, upper: 2, max_velocity: 5, max_acceleration: 50, joining: continuous}"
_STATE = f"type: joint_state, max_age_s: 0.1, interfaces: [{', '.join(NAMES)}]"
_ARM = f"{{interfaces: [{', '.join(NAMES[:5])}], unit: degree}}"
_CLAW = "{interfaces: [claw/position], unit: affine, scale: [50.0], offset: [10.0]}"


def robot(image: tuple[int, int] = IMAGE) -> RobotSpec:
    """Five joints and a claw, two cameras."""
    return robot_spec_from(parse(robot_text(image), source="lerobot_arm.yaml"), folder=Path())


def robot_text(image: tuple[int, int] = IMAGE) -> str:
    """The robot's file."""
    camera = f"transport: raw, height: {image[0]}, width: {image[1]}, max_age_s: 0.2"
    return f"""
name: lerobot_arm
on_starvation: hold
max_camera_skew_s: 0.02
interfaces: {{{", ".join(f"{name}: {_LIMITS}" for name in NAMES)}}}
cameras:
  head: {{topic: head/image, {camera}}}
  hand: {{topic: hand/image, {camera}}}
state_streams:
  joints: {{topic: joint_states, {_STATE}}}
command_groups:
  arm: {{topic: arm/commands, type: position_array, interfaces: [{", ".join(NAMES)}]}}
"""


def policy(kind: str = "act", checkpoint: str = "nobody/nothing", **changed: Any) -> PolicySpec:
    """A checkpoint's description; see ``policy_text``."""
    text = policy_text(kind, checkpoint, **changed)
    return policy_spec_from(parse(text, source="lerobot.yaml"))


def policy_text(
    kind: str,
    checkpoint: str,
    *,
    horizon: int = HORIZON,
    cameras: tuple[str, ...] = CAMERAS,
    backend: str = "lerobot_local",
) -> str:
    """The policy's file."""
    video = ", ".join(f"{camera}: {{camera: {_OURS[camera]}}}" for camera in cameras)
    return f"""
name: lerobot
backend: {backend}
rate_hz: {RATE_HZ}
horizon: {horizon}
instruction_key: task
video: {{{video}}}
state: {{arm: {_ARM}, claw: {_CLAW}}}
action: {{arm: {_ARM}, claw: {_CLAW}}}
lerobot:
  type: {kind}
  checkpoint: {checkpoint}
  device: cpu
  state: [{", ".join(VALUES)}]
  action: [{", ".join(VALUES)}]
"""


def observation(index: int = 0, **changed: Any) -> Observation:
    """One of a series of observations, a step apart."""
    draw = np.random.default_rng(index)
    fields: dict[str, Any] = {
        "stamp_ns": STAMP_NS + round(index * 1e9 / RATE_HZ),
        "instruction": INSTRUCTION,
        "images": {
            camera: draw.integers(0, 256, (*IMAGE, 3), dtype=np.uint8) for camera in _OURS.values()
        },
        "state_names": NAMES,
        "state": draw.uniform(-1.0, 1.0, len(NAMES)),
    }
    return Observation(**{**fields, **changed})


def state_of(seen: Observation) -> np.ndarray:
    """(6,) float32 The state in LeRobot's units."""
    degrees = np.rad2deg(seen.state[:5])
    return np.concatenate([degrees, seen.state[5:] * 50.0 + 10.0]).astype(np.float32)


def actions_of(values: np.ndarray) -> np.ndarray:
    """(..., 6) Actions in radians, from LeRobot's units."""
    values = values.astype(np.float64)
    return np.concatenate([np.deg2rad(values[..., :5]), (values[..., 5:] - 10.0) / 50.0], axis=-1)


def chunk_of(values: np.ndarray) -> np.ndarray:
    """(H, 6) The same bit for bit as a backend makes them, for as many as a chunk has."""
    return actions_from(policy(), {"arm": values[:HORIZON, :5], "claw": values[:HORIZON, 5:]})
