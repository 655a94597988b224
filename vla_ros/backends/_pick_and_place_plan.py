# SPDX-License-Identifier: Apache-2.0
"""What to do next, decided from what is seen and where the hand is, not from what was done before.

The phases are regions of space: above the cube and aligned with it, the hand goes down; low and
around it, it closes; gripping, it carries. Every plan runs to the end of the task, so that a chunk
crosses from phase to phase, and a later plan continues an earlier one. Pure; any thread may call.
Metres, radians, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from vla_ros.backends._pick_and_place_facts import TaskFacts
from vla_ros.backends._pick_and_place_motion import Arm, Doubles, HandPose, Waypoint
from vla_ros.backends._pick_and_place_sight import Sight

# So high over the grasp, the tips of the jaws are just above the cube. Down to there the hand goes
# within a funnel; further down a jaw would land on the cube if it were this far off.
_TIPS_ABOVE_M = 0.028
_FUNNEL_M, _FUNNEL_SLOPE = 0.006, 0.2
_FUNNEL_YAW = 0.25
_DROP_FUNNEL_M = 0.015
# Up to so high over the grasp, the jaws are around the cube.
_AROUND_M = 0.012
# Up to so high over the place of release, the hand opens.
_RELEASING_M = 0.005
# So much below its travel height, the hand still has to rise before it goes sideways.
_BELOW_TRAVEL_M = 0.018
# The jaws are open when no further than this from it.
_NEARLY_OPEN = 0.08
# The arm is at rest, and hides nothing, when no joint is further than this from it.
_AT_REST_RAD = 0.1
# Before the jaws move, and after: until the arm, the grip and the cube have settled. An executor
# joins a chunk somewhere in its first half second, so what must not be skipped takes that long.
_ARRIVE_S, _GRIP_S, _RELEASE_S = 0.1, 0.35, 0.2
# Speed in passing a waypoint, and in the first stretch upwards.
_PASSING = 0.5


@dataclass(frozen=True, slots=True)
class Body:
    """The arm and hand as they were measured.

    Attributes:
        joints: Joint name to position.
        opening: Of the hand.
    """

    joints: Mapping[str, float]
    opening: float


class Planner:
    """Plans the rest of the task."""

    def __init__(self, arm: Arm, facts: TaskFacts) -> None:
        """Keep the facts."""
        self._arm = arm
        self._facts = facts
        self._hand = facts.hand
        self._grasp_z = 0.5 * facts.thing.height_m
        self._release_z = facts.plate.height_m + self._grasp_z + facts.motion.release_gap_m
        self._travel_z = facts.motion.travel_height_m
        self._slow = facts.motion.slow_speed / facts.motion.speed
        self._rest = np.array([facts.rest[name] for name in facts.hand.arm])
        resting = arm.hand_pose(dict(zip(arm.joints, self._rest.tolist(), strict=True)))
        self._rest_turn = resting.yaw - arm.azimuth(resting.x, resting.y)

    def plan(self, body: Body, sight: Sight) -> list[Waypoint]:
        """The way to the end of the task from here."""
        hand = self._arm.hand_pose(body.joints)
        if sight.held:
            return self._carry(body, hand, sight)
        if sight.placed:
            return self._leave(body, hand, sight)
        return self._fetch(body, hand, sight)

    def goals(self, body: Body, sight: Sight) -> Doubles:
        """(4, n) Arm positions over the cube and around it, over the place of release and at it.

        For a cube that need not be fetched, the first two are where the arm is.
        """
        here = np.array([body.joints[name] for name in self._arm.joints])
        hand = self._arm.hand_pose(body.joints)
        fetched = [here, here]
        if not (sight.held or sight.placed):
            yaw = self._grasp_yaw(hand, sight)
            hand = HandPose(sight.thing.x, sight.thing.y, self._grasp_z, yaw)
            fetched = self._over_and_at(hand, body)
        return np.array([*fetched, *self._over_and_at(self._release(hand, sight), body)])

    def _over_and_at(self, place: HandPose, body: Body) -> list[Doubles]:
        over = replace(place, z=self._travel_z)
        return [self._arm.reach(over, body.joints), self._arm.reach(place, body.joints)]

    def withdraw(self, body: Body) -> list[Waypoint]:
        """Out of the cameras' way, keeping what may be in the hand; empty once it is there."""
        here = np.array([body.joints[name] for name in self._arm.joints])
        if np.abs(here - self._rest).max() < _AT_REST_RAD:
            return []
        hand = self._arm.hand_pose(body.joints)
        opening = self._hand.open if self._is_open(body) else self._hand.closed
        return [*self._rise(body, hand), Waypoint(self._rest, opening)]

    def _fetch(self, body: Body, hand: HandPose, sight: Sight) -> list[Waypoint]:
        """Get the cube, then carry it."""
        grasp = HandPose(sight.thing.x, sight.thing.y, self._grasp_z, self._grasp_yaw(hand, sight))
        above = replace(grasp, z=self._travel_z)
        at_grasp = self._arm.reach(grasp, body.joints)
        at_above = self._arm.reach(above, body.joints)
        height_m = hand.z - self._grasp_z
        tips_up_m = max(height_m - _TIPS_ABOVE_M, 0.0)
        aligned = (
            off(hand, grasp) < _FUNNEL_M + _FUNNEL_SLOPE * tips_up_m
            and abs(turn_of(grasp.yaw - hand.yaw)) < _FUNNEL_YAW
        )
        # A straight line of the joints is a bow of the hand, so that the way down needs a middle.
        at_tips = self._arm.reach(replace(grasp, z=self._grasp_z + _TIPS_ABOVE_M), body.joints)
        down = [
            Waypoint(at_tips, self._hand.open, passing=_PASSING * self._slow),
            Waypoint(at_grasp, self._hand.open, _ARRIVE_S, pace=self._slow),
        ]
        closing_s = self._hand.open / self._hand.speed + _GRIP_S
        if aligned and self._is_open(body):
            approach = down if tips_up_m > 0.0 else down[1:]
        elif aligned and height_m < _AROUND_M and body.opening > self._hand.gripping[0]:
            approach = []
            closing_s = max(body.opening, 0.0) / self._hand.speed + _GRIP_S
        else:
            opened = Waypoint(at_above, self._hand.open, self._opening_s(body), passing=_PASSING)
            approach = [*self._rise(body, hand), opened, *down]
        return [
            *approach,
            Waypoint(at_grasp, self._hand.closed, closing_s),
            Waypoint(at_above, self._hand.closed, passing=_PASSING),
            *self._drop(body, above, sight),
        ]

    def _carry(self, body: Body, hand: HandPose, sight: Sight) -> list[Waypoint]:
        """Bring the held cube to the plate, from wherever it is."""
        over = off(hand, self._release(hand, sight)) < _DROP_FUNNEL_M
        drop = self._drop(body, hand, sight)
        if over and hand.z < self._release_z + _RELEASING_M:
            return drop[2:]
        if over and hand.z < self._travel_z + _AROUND_M:
            return drop[1:]
        return [*self._rise(body, hand), *drop]

    def _release(self, hand: HandPose, sight: Sight) -> HandPose:
        """Where the hand lets go, so that the cube is in the plate's middle.

        The wrist turns no more than it must.
        """
        turn = hand.yaw - self._arm.azimuth(hand.x, hand.y)
        x, y = sight.plate.x, sight.plate.y
        middle = HandPose(x, y, self._release_z, self._arm.azimuth(x, y) + turn)
        return _sideways(middle, self._hand.clearance_m)

    def _drop(self, body: Body, hand: HandPose, sight: Sight) -> list[Waypoint]:
        """Over the plate, down, let go, up and to rest."""
        release = self._release(hand, sight)
        at_above = self._arm.reach(replace(release, z=self._travel_z), body.joints)
        at_release = self._arm.reach(release, body.joints)
        opening_s = self._hand.open / self._hand.speed + _RELEASE_S
        return [
            Waypoint(at_above, self._hand.closed, passing=_PASSING * self._slow),
            Waypoint(at_release, self._hand.closed, _ARRIVE_S, pace=self._slow),
            Waypoint(at_release, self._hand.open, opening_s),
            *self._part(body, release),
            self._to_rest(),
        ]

    def _leave(self, body: Body, hand: HandPose, sight: Sight) -> list[Waypoint]:
        """The cube is on the plate: let go if need be, up, and to rest."""
        release = self._release(hand, sight)
        if (
            off(hand, release) > self._facts.plate.radius_m
            or hand.z > self._travel_z - _BELOW_TRAVEL_M
        ):
            return [self._to_rest()]
        here = np.array([body.joints[name] for name in self._arm.joints])
        opened = Waypoint(here, self._hand.open, self._opening_s(body))
        beside = hand.z < self._release_z + _RELEASING_M and off(hand, release) < _DROP_FUNNEL_M
        away = self._part(body, release) if beside else self._up(body, hand, self._hand.open)
        return [opened, *away, self._to_rest()]

    def _part(self, body: Body, release: HandPose) -> list[Waypoint]:
        """Away from the cube, which leans on the fixed jaw, and straight up."""
        aside = _sideways(release, -self._hand.clearance_m)
        at_aside = self._arm.reach(aside, body.joints)
        return [
            Waypoint(at_aside, self._hand.open, pace=self._slow),
            *self._up(body, aside, self._hand.open),
        ]

    def _rise(self, body: Body, hand: HandPose) -> list[Waypoint]:
        """Straight up, if the hand is low; it keeps what it holds."""
        if hand.z > self._travel_z - _BELOW_TRAVEL_M:
            return []
        opening = self._hand.open if self._is_open(body) else self._hand.closed
        return self._up(body, hand, opening)

    def _up(self, body: Body, hand: HandPose, opening: float) -> list[Waypoint]:
        at_top = self._arm.reach(replace(hand, z=self._travel_z), body.joints)
        return [Waypoint(at_top, opening, passing=_PASSING)]

    def _is_open(self, body: Body) -> bool:
        return body.opening > self._hand.open - _NEARLY_OPEN

    def _opening_s(self, body: Body) -> float:
        """How long the hand takes until it is open."""
        return max(self._hand.open - _NEARLY_OPEN - body.opening, 0.0) / self._hand.speed

    def _to_rest(self) -> Waypoint:
        return Waypoint(self._rest, self._hand.open)

    def _grasp_yaw(self, hand: HandPose, sight: Sight) -> float:
        """The cube's side that needs the least turning, with a leaning towards the rest pose.

        Since the hand turns towards the side that it chose, it will choose it again.
        """
        turn = turn_of(hand.yaw - self._arm.azimuth(hand.x, hand.y) - self._rest_turn)
        wanted = self._arm.azimuth(sight.thing.x, sight.thing.y) + self._rest_turn + 0.5 * turn
        quarter = 0.5 * math.pi
        return sight.thing.yaw + quarter * round((wanted - sight.thing.yaw) / quarter)


def _sideways(hand: HandPose, distance_m: float) -> HandPose:
    """Moved towards the moving jaw's side."""
    dx, dy = distance_m * math.cos(hand.yaw), distance_m * math.sin(hand.yaw)
    return replace(hand, x=hand.x + dx, y=hand.y + dy)


def off(hand: HandPose, place: HandPose) -> float:
    """Horizontal distance."""
    return math.hypot(hand.x - place.x, hand.y - place.y)


def turn_of(angle: float) -> float:
    """An angle within half a turn of zero."""
    return math.remainder(angle, 2.0 * math.pi)
