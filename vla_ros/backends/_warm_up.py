# SPDX-License-Identifier: Apache-2.0
"""Observations that a model is tried with before a robot needs it. Pure; any thread may call."""

from __future__ import annotations

import numpy as np

from vla_ros.core.observation import Observation
from vla_ros.core.past_frames import frame_names
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec

_WHITE = 255


def grey_observation(
    robot: RobotSpec, policy: PolicySpec, *, stamp_ns: int, shade: float = 0.5
) -> Observation:
    """Grey images of the cameras' sizes, every joint in the middle of its range, no instruction.

    Args:
        robot: The body.
        policy: Which of its cameras and interfaces are looked at.
        stamp_ns: The moment that the observation is said to be of.
        shade: From black, and joints at their lower bounds (0), to white, and the upper ones (1).
    """
    joints = {
        name: span.lower + shade * (span.upper - span.lower) for name, span in robot.limits.items()
    }
    images = {}
    for camera in policy.video.values():
        size = robot.cameras[camera]
        for name in frame_names(camera, policy.video_deltas):
            images[name] = np.full((size.height, size.width, 3), round(shade * _WHITE), np.uint8)
    return Observation(
        stamp_ns=stamp_ns,
        instruction="",
        images=images,
        state_names=policy.state_names,
        state=np.array([joints.get(name, 0.0) for name in policy.state_names]),
    )


def unlike_observations(
    robot: RobotSpec, policy: PolicySpec, *, stamp_ns: int
) -> tuple[Observation, Observation]:
    """A dark and a light one, whose joints are far apart; see ``grey_observation``."""
    return (
        grey_observation(robot, policy, stamp_ns=stamp_ns, shade=0.1),
        grey_observation(robot, policy, stamp_ns=stamp_ns, shade=0.9),
    )
