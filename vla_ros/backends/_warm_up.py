# SPDX-License-Identifier: Apache-2.0
"""An observation that a model is tried with before a robot needs it. Pure; any thread may call."""

from __future__ import annotations

import numpy as np

from vla_ros.core.observation import Observation
from vla_ros.core.past_frames import frame_names
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec

_GREY = 128


def grey_observation(robot: RobotSpec, policy: PolicySpec, *, stamp_ns: int) -> Observation:
    """Grey images of the cameras' sizes, every joint in the middle of its range, no instruction.

    Args:
        robot: The body.
        policy: Which of its cameras and interfaces are looked at.
        stamp_ns: The moment that the observation is said to be of.
    """
    middle = {name: (span.lower + span.upper) / 2 for name, span in robot.limits.items()}
    images = {}
    for camera in policy.video.values():
        size = robot.cameras[camera]
        for name in frame_names(camera, policy.video_deltas):
            images[name] = np.full((size.height, size.width, 3), _GREY, np.uint8)
    return Observation(
        stamp_ns=stamp_ns,
        instruction="",
        images=images,
        state_names=policy.state_names,
        state=np.array([middle.get(name, 0.0) for name in policy.state_names]),
    )
