# SPDX-License-Identifier: Apache-2.0
"""The policy and arrays behind the golden messages of openpi's wire. The robot is GR00T's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from test.support.gr00t_samples import INSTRUCTION, JOINTS, NAMES, observation, robot
from vla_ros.core.policy_io import PolicyInput
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.yaml_file import parse

__all__ = ["observation", "robot"]

GOLDEN = Path(__file__).parents[1] / "wire/openpi/golden"
HORIZON = 5
OUTSIDE, WRIST = "observation/exterior_image_1_left", "observation/wrist_image_left"
ARM, CLAW, PROMPT = "observation/joint_position", "observation/gripper_position", "prompt"

_ARM = f"{{interfaces: [{', '.join(JOINTS)}], unit: rad}}"
_CLAW = f"{{interfaces: [{NAMES[-1]}], unit: rad}}"
POLICY = f"""
name: six_joints_openpi
backend: openpi_websocket
rate_hz: 15
horizon: {HORIZON}
instruction_key: {PROMPT}
video: {{{OUTSIDE}: {{camera: head}}, {WRIST}: {{camera: hand}}}}
state: {{{ARM}: {_ARM}, {CLAW}: {_CLAW}}}
action: {{arm: {_ARM}, claw: {_CLAW}}}
"""

# What the golden messages hold.
PIXELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
STATE = np.array([0.0, 0.125, 0.25, 0.375, 0.5, 0.75], np.float32)
ACTIONS = np.arange(HORIZON * 6, dtype=np.float32).reshape(HORIZON, 6) / np.float32(8)
TIMING_MS = {"infer_ms": 12.5, "prev_total_ms": 20.25}


def golden(name: str) -> bytes:
    """A golden message."""
    return (GOLDEN / f"{name}.msgpack").read_bytes()


def policy(text: str = POLICY) -> PolicySpec:
    """A policy with keys as of openpi's DROID example."""
    return policy_spec_from(parse(text, source="six_joints_openpi.yaml"))


def given() -> PolicyInput:
    """The observation of the golden request, in the policy's keys."""
    return PolicyInput(
        video={OUTSIDE: PIXELS[0], WRIST: PIXELS[1]},
        state={ARM: STATE[:5].astype(np.float64), CLAW: STATE[5:].astype(np.float64)},
        language={PROMPT: INSTRUCTION},
    )
