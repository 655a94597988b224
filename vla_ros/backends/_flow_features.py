# SPDX-License-Identifier: Apache-2.0
"""What the flow policy is told of an observation: a few numbers, made of what is seen and felt.

Places are told in the arm's own terms, as positions of its joints. Pure; any thread may call.
Radians, metres.
"""

from __future__ import annotations

import math

import numpy as np

from vla_ros.backends._pick_and_place_motion import Arm, Doubles
from vla_ros.backends._pick_and_place_plan import Body, Planner
from vla_ros.backends._pick_and_place_sight import Sight


def features(arm: Arm, planner: Planner, body: Body, sight: Sight) -> Doubles:
    """(F,) Where the arm is, how far its goals are, what is held and what is done.

    Args:
        arm: Of n joints.
        planner: Knows where to grasp and to let go.
        body: The arm and hand as they were measured.
        sight: What is seen.
    """
    here = np.array([body.joints[name] for name in arm.joints])
    goals = planner.goals(body, sight)
    fetching = not (sight.held or sight.placed)
    goal = goals[1 if fetching else 3]
    hand = arm.hand_pose(body.joints)
    there = arm.hand_pose(dict(zip(arm.joints, goal.tolist(), strict=True)))
    dx, dy = there.x - hand.x, there.y - hand.y
    cosine, sine = math.cos(hand.yaw), math.sin(hand.yaw)
    offset = [
        cosine * dx + sine * dy,
        cosine * dy - sine * dx,
        there.z - hand.z,
        math.remainder(there.yaw - hand.yaw, 2.0 * math.pi),
    ]
    return np.concatenate(
        [here, [body.opening], (goals - here).ravel(), offset, [sight.held, sight.placed]]
    )


def feature_count(arm: Arm) -> int:
    """F, for an arm."""
    return 5 * len(arm.joints) + 7
