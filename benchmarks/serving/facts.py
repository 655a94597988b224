# SPDX-License-Identifier: Apache-2.0
"""The policy that is served: six joints and two cameras in, a chunk of six joints out.

Every answer stays within ``TOLERANCE_RAD`` of the joints that were shown, so that a robot can tell
whether an answer is its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_ros.core.config_files import config_file
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

ROBOT = "so101_sim"
HORIZON = 16
TOLERANCE_RAD = 0.005
# The side of an image as the network takes it [px].
SIDE_PX = 64
_INTERFACES = ", ".join(
    f"{joint}/position"
    for joint in (
        "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"
    )
)  # fmt: skip
_IMAGE = f"layout: NCHW, dtype: float32, range: 0..1, size: [{SIDE_PX}, {SIDE_PX}]"
_POLICY = f"""
name: benchmark
backend: torch_module
rate_hz: 30
horizon: {HORIZON}
instruction_key: annotation.human.task_description
video: {{front: {{camera: front}}, wrist: {{camera: wrist}}}}
state: {{arm: {{interfaces: [{_INTERFACES}], unit: rad}}}}
action: {{arm: {{interfaces: [{_INTERFACES}], unit: rad}}}}
model:
  file: network.pt
  device: cpu
  inputs:
    front: {{video: front, {_IMAGE}}}
    wrist: {{video: wrist, {_IMAGE}}}
    state: {{state: [arm], layout: ND, dtype: float32}}
  output: {{name: actions}}
"""


def write_policy(folder: Path) -> Path:
    """The policy's description as a file."""
    path = folder / "policy.yaml"
    path.write_text(_POLICY)
    return path


def described(path: Path) -> tuple[RobotSpec, PolicySpec]:
    """The robot and the policy of a file."""
    return load_robot_spec(config_file("robots", ROBOT)), load_policy_spec(path)


def observations(policy: PolicySpec, count: int, size: tuple[int, int]) -> Sequence[Observation]:
    """What as many robots see, no two of them with the same joints.

    Args:
        policy: Who looks.
        count: How many robots.
        size: (H, W) of each image [px].
    """
    draw = np.random.default_rng(0)
    image = draw.integers(0, 256, (*size, 3), dtype=np.uint8)
    return [
        Observation(
            stamp_ns=1,
            instruction="put the cube",
            images=dict.fromkeys(policy.video.values(), image),
            state_names=policy.state_names,
            state=np.full(len(policy.state_names), first),
        )
        for first in np.linspace(0.0, 1.5, count)
    ]
