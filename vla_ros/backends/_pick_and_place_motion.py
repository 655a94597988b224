# SPDX-License-Identifier: Apache-2.0
"""Hand poses to joint positions, and waypoints to actions.

Motion is a function of where the arm is and where it shall go, and of nothing else: a chunk that is
computed from a later state on the way continues the chunk before it. Pure; any thread may call.
Radians, metres, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._pick_and_place_facts import TaskFacts
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.transforms import pose_from, rotation_from_rpy

Doubles = NDArray[np.float64]

# A radian of tilt counts as much as this many metres: where the wrist cannot be upright, the hand
# leans rather than misses.
_TILT_WEIGHT_M = 0.02


@dataclass(frozen=True, slots=True)
class HandPose:
    """Where the hand is, upright as it grasps.

    Attributes:
        x: Of the grip point.
        y: Of the grip point.
        z: Of the grip point.
        yaw: Of the x axis of the hand's link.
    """

    x: float
    y: float
    z: float
    yaw: float


@dataclass(frozen=True, slots=True)
class Waypoint:
    """Where to go.

    Attributes:
        arm: (n,) Positions of the arm's joints.
        opening: What the hand is told on the way and while waiting.
        wait_s: How long to wait there.
        pace: Speed on the way, as a share of full speed.
        passing: Speed that is kept on arrival, as a share of full speed; 0 stops there.
    """

    arm: Doubles
    opening: float
    wait_s: float = 0.0
    pace: float = 1.0
    passing: float = 0.0


class Arm:
    """The arm's kinematics, in terms of the hand."""

    def __init__(self, robot: RobotSpec, facts: TaskFacts, kinematics: Kinematics) -> None:
        """Keep what is needed of the facts."""
        self._kinematics = kinematics
        self._link = facts.hand.link
        self._grip = pose_from(np.eye(3), facts.hand.grip_point_m)
        self.joints = tuple(name.rpartition("/")[0] for name in facts.hand.arm)
        limits = [robot.limits[name] for name in facts.hand.arm]
        self.full_speed = facts.motion.speed * np.array([limit.max_velocity for limit in limits])
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        first = kinematics.joints[self.joints[0]]
        self._axis_xy = kinematics.pose(first.child, dict.fromkeys(kinematics.joints, 0.0))[:2, 3]

    def azimuth(self, x: float, y: float) -> float:
        """The direction of a place, seen from the arm's first axis."""
        return math.atan2(y - self._axis_xy[1], x - self._axis_xy[0])

    def hand_pose(self, positions: Mapping[str, float]) -> HandPose:
        """Where the hand is; joint name to position."""
        pose = self._kinematics.pose(self._link, positions) @ self._grip
        x, y, z = pose[:3, 3].tolist()
        return HandPose(x, y, z, math.atan2(pose[1, 0], pose[0, 0]))

    def reach(self, hand: HandPose, start: Mapping[str, float]) -> Doubles:
        """(n,) Arm positions for a hand pose, as near to it as the arm can get."""
        upright = pose_from(rotation_from_rpy((0.0, 0.0, hand.yaw)), (hand.x, hand.y, hand.z))
        target = upright @ np.linalg.inv(self._grip)
        solution = self._kinematics.solve(
            self._link, target, start, self.joints, rotation_weight_m=_TILT_WEIGHT_M
        )
        return np.clip(solution.positions, self._lower, self._upper)


def follow(
    start: Doubles,
    waypoints: Iterable[Waypoint],
    *,
    full_speed: Doubles,
    ramp_s: float,
    lead_s: float,
    step_s: float,
    horizon: int,
) -> Doubles:
    """(H, n + 1) Actions along straight lines between waypoints: the arm's joints, then the hand.

    All joints of a line arrive together. Speed falls towards a stop and is not ramped up: the start
    may be anywhere on the way, and whoever executes the chunk joins it to the motion before it.

    Args:
        start: (n,) Where the arm is.
        waypoints: Where to go, at least one; those beyond the horizon are not asked for.
        full_speed: (n,) Speeds of the joints at pace 1.
        ramp_s: From full speed to rest.
        lead_s: How far the first action is ahead of the start.
        step_s: Time between actions.
        horizon: H, how many actions.
    """
    walker = _Walker(start, waypoints, full_speed, ramp_s)
    actions = np.empty((horizon, len(start) + 1))
    for index in range(horizon):
        walker.advance(lead_s if index == 0 else step_s)
        actions[index, :-1] = walker.position
        actions[index, -1] = walker.opening
    return actions


class _Walker:
    """Goes from waypoint to waypoint."""

    def __init__(
        self, start: Doubles, waypoints: Iterable[Waypoint], full_speed: Doubles, ramp_s: float
    ) -> None:
        self.position = start.copy()
        self._left = iter(waypoints)
        self._goal = next(self._left)
        self._waited_s = 0.0
        self._full_speed = full_speed
        self._ramp_s = ramp_s

    @property
    def opening(self) -> float:
        return self._goal.opening

    def advance(self, time_s: float) -> None:
        """Go on for some time; stay at the last waypoint."""
        while time_s > 1e-9:
            goal = self._goal
            away = goal.arm - self.position
            # The time that the line takes at full speed measures its length.
            length = float(np.max(np.abs(away) / self._full_speed))
            if length > 1e-9:
                pace = min(goal.pace, math.sqrt(goal.passing**2 + 2.0 * length / self._ramp_s))
                used_s = min(time_s, length / pace)
                self.position = self.position + min(1.0, used_s * pace / length) * away
                time_s -= used_s
            elif self._waited_s < goal.wait_s:
                used_s = min(time_s, goal.wait_s - self._waited_s)
                self._waited_s += used_s
                time_s -= used_s
            else:
                following = next(self._left, None)
                if following is None:
                    return
                self._goal, self._waited_s = following, 0.0
