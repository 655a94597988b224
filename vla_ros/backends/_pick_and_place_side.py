# SPDX-License-Identifier: Apache-2.0
"""What to do next with something tall that is grasped from its side.

As in ``_pick_and_place_plan``, the phases are regions of space. The hand comes along a short
straight way that ends with the thing between thumb and fingers, and leaves by the same way. Every
plan runs to the end of the task, and is worked out only as far as somebody follows it. Pure; any
thread may call. Metres, radians, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vla_ros.backends._pick_and_place_facts import SideFacts, TaskFacts
from vla_ros.backends._pick_and_place_motion import Arm, Doubles, HandPose, Waypoint
from vla_ros.backends._pick_and_place_plan import Body, off, turn_of
from vla_ros.backends._pick_and_place_sight import Sight

# A straight line of the joints is a bow of the hand: a straight way has points so far apart.
_STRIDE_M = 0.05
# The hand is on the way to the thing: so far beside it at its end, and per metre before it; so much
# higher or lower; turned by so much; from so far before its beginning.
_BESIDE_M, _BESIDE_SLOPE = 0.012, 0.35
_LEVEL_M, _TURNED_RAD, _BEFORE_M = 0.02, 0.2, 0.03
# The thing is between thumb and fingers.
_AROUND_M = 0.015
# Further away than this, the hand cannot touch the thing on its way to where it comes from.
_FAR_M = 0.24
# Over the place of release: so far beside it the hand goes down; so near to it, it opens.
_OVER_M, _RELEASING_M = 0.02, 0.008
# So much below its travel height, the hand still has to rise before it goes sideways.
_BELOW_TRAVEL_M = 0.02
# The hand is open when it is no further than this share of its range from it.
_NEARLY_OPEN = 0.08
_AT_REST_RAD = 0.1
# Before the hand closes or opens, and after: until the arm, the grip and the thing have settled.
_ARRIVE_S, _GRIP_S, _RELEASE_S = 0.15, 0.4, 0.3
# Speed in passing a waypoint.
_PASSING = 0.6


class SidePlanner:
    """Plans the rest of the task."""

    def __init__(self, arm: Arm, facts: TaskFacts, side: SideFacts) -> None:
        """Keep the facts."""
        self._arm = arm
        self._hand = facts.hand
        self._yaw = side.yaw
        self._grasp_z = side.height_m
        self._release_z = facts.plate.height_m + side.height_m + facts.motion.release_gap_m
        self._travel_z = facts.motion.travel_height_m
        # So high the hand passes over the thing.
        self._clear_z = facts.thing.height_m + side.height_m
        self._slow = facts.motion.slow_speed / facts.motion.speed
        self._rest = np.array([facts.rest[name] for name in facts.hand.arm])
        fixed = {name.rpartition("/")[0]: position for name, position in facts.still.items()}
        resting = dict(zip(arm.joints, self._rest.tolist(), strict=True))
        # Searches begin here: an arm with a joint to spare then takes one posture for a place.
        self._start = {**fixed, **resting}
        self._rest_hand = arm.hand_pose(self._start)
        cosine, sine = math.cos(side.yaw), math.sin(side.yaw)
        ahead, left = side.approach_m
        self._way = np.array([cosine * ahead - sine * left, sine * ahead + cosine * left])
        self._length = float(np.linalg.norm(self._way))

    def plan(self, body: Body, sight: Sight) -> Iterator[Waypoint]:
        """The way to the end of the task from here."""
        hand = self._arm.hand_pose(body.joints)
        if sight.held:
            return self._carry(hand, sight)
        if sight.placed:
            return self._leave(body, hand, sight)
        return self._fetch(body, hand, sight)

    def withdraw(self, body: Body) -> list[Waypoint]:
        """Out of the cameras' way, keeping what may be in the hand; empty once it is there."""
        if np.abs(self._here(body) - self._rest).max() < _AT_REST_RAD:
            return []
        hand = self._arm.hand_pose(body.joints)
        opening = self._hand.open if self._is_open(body) else self._hand.closed
        return [*self._rise(hand, opening), *self._to_rest(hand, opening)]

    def _fetch(self, body: Body, hand: HandPose, sight: Sight) -> Iterator[Waypoint]:
        """Get the thing, then carry it."""
        grasp = HandPose(sight.thing.x, sight.thing.y, self._grasp_z, self._yaw)
        before = self._away(grasp)
        along_m, beside_m = self._on_way(hand, grasp)
        on_way = (
            -self._length - _BEFORE_M < along_m < _AROUND_M
            and beside_m < _BESIDE_M + _BESIDE_SLOPE * abs(along_m)
            and abs(hand.z - grasp.z) < _LEVEL_M
            and abs(turn_of(hand.yaw - grasp.yaw)) < _TURNED_RAD
        )
        closing = on_way and abs(along_m) < _AROUND_M and self._is_closing(body)
        ready = on_way and self._is_open(body)
        if not (closing or ready):
            clear, hand = self._clear(body, hand, grasp)
            yield from clear
            yield from self._line(hand, before, self._hand.open)
            yield Waypoint(self._reach(before), self._hand.open, self._opening_s(body))
            hand = before
        if not closing:
            yield from self._line(hand, grasp, self._hand.open, slow=True)
            yield Waypoint(self._reach(grasp), self._hand.open, _ARRIVE_S)
        yield Waypoint(self._reach(grasp), self._hand.closed, self._moving_s() + _GRIP_S)
        lifted = replace(grasp, z=self._travel_z)
        yield from self._line(grasp, lifted, self._hand.closed)
        yield from self._drop(lifted, sight)

    def _clear(
        self, body: Body, hand: HandPose, grasp: HandPose
    ) -> tuple[list[Waypoint], HandPose]:
        """To where the hand can go sideways without touching the thing, and that place."""
        along_m, beside_m = self._on_way(hand, grasp)
        if (
            along_m < _AROUND_M - self._length
            or off(hand, grasp) > _FAR_M
            or hand.z > self._clear_z - _BELOW_TRAVEL_M
        ):
            return [], hand
        opened = Waypoint(self._here(body), self._hand.open, self._opening_s(body))
        if along_m < _AROUND_M and beside_m < 2.0 * _AROUND_M:
            back = self._away(hand)
            return [opened, *self._line(hand, back, self._hand.open)], back
        above = replace(hand, z=self._clear_z)
        up = self._line(hand, above, self._hand.open)
        return [opened, *up, *self._to_rest(above, self._hand.open)], self._rest_hand

    def _carry(self, hand: HandPose, sight: Sight) -> Iterator[Waypoint]:
        """Bring the held thing to the plate, from wherever it is."""
        release = self._release(sight)
        beside_m = off(hand, release)
        if math.hypot(beside_m, hand.z - release.z) < _RELEASING_M:
            yield from self._let_go(release)
        elif beside_m < _OVER_M:
            yield from self._lower(hand, release)
        else:
            yield from self._rise(hand, self._hand.closed)
            yield from self._drop(replace(hand, z=self._travel_z), sight)

    def _release(self, sight: Sight) -> HandPose:
        """Where the hand lets go."""
        return HandPose(sight.plate.x, sight.plate.y, self._release_z, self._yaw)

    def _drop(self, hand: HandPose, sight: Sight) -> Iterator[Waypoint]:
        """Over the plate, down, let go, away and to rest."""
        release = self._release(sight)
        above = replace(release, z=self._travel_z)
        yield from self._line(hand, above, self._hand.closed)
        yield from self._lower(above, release)

    def _lower(self, hand: HandPose, release: HandPose) -> Iterator[Waypoint]:
        yield from self._line(hand, release, self._hand.closed, slow=True)
        yield Waypoint(self._reach(release), self._hand.closed, _ARRIVE_S)
        yield from self._let_go(release)

    def _let_go(self, release: HandPose) -> Iterator[Waypoint]:
        opened_s = self._moving_s() + _RELEASE_S
        yield Waypoint(self._reach(release), self._hand.open, opened_s)
        yield from self._depart(release, release)

    def _leave(self, body: Body, hand: HandPose, sight: Sight) -> Iterator[Waypoint]:
        """The thing is on the plate: let go if need be, away, and to rest."""
        release = self._release(sight)
        along_m, _ = self._on_way(hand, release)
        if along_m < -self._length or off(hand, release) > _FAR_M or hand.z > self._clear_z:
            yield from self._to_rest(hand, self._hand.open)
        else:
            yield Waypoint(self._here(body), self._hand.open, self._opening_s(body))
            yield from self._depart(hand, release)

    def _depart(self, hand: HandPose, release: HandPose) -> Iterator[Waypoint]:
        """Away from a thing that stands, and to rest."""
        back = self._away(replace(release, z=hand.z))
        yield from self._line(hand, back, self._hand.open, slow=True)
        yield from self._to_rest(back, self._hand.open)

    def _to_rest(self, hand: HandPose, opening: float) -> Iterator[Waypoint]:
        yield from self._line(hand, self._rest_hand, opening)
        yield Waypoint(self._rest, opening)

    def _rise(self, hand: HandPose, opening: float) -> Iterator[Waypoint]:
        """Straight up, if the hand is low."""
        if hand.z < self._travel_z - _BELOW_TRAVEL_M:
            yield from self._line(hand, replace(hand, z=self._travel_z), opening)

    def _line(
        self, start: HandPose, goal: HandPose, opening: float, *, slow: bool = False
    ) -> Iterator[Waypoint]:
        """A straight way of the hand, which may come first to the middle of a plan."""
        length_m = math.dist((start.x, start.y, start.z), (goal.x, goal.y, goal.z))
        count = max(math.ceil(length_m / _STRIDE_M), 1)
        pace = self._slow if slow else 1.0
        for index in range(1, count + 1):
            arm = self._reach(_between(start, goal, index / count))
            yield Waypoint(arm, opening, pace=pace, passing=_PASSING * pace)

    def _away(self, hand: HandPose) -> HandPose:
        """Back by the way to the thing."""
        return replace(hand, x=hand.x - self._way[0], y=hand.y - self._way[1])

    def _on_way(self, hand: HandPose, grasp: HandPose) -> tuple[float, float]:
        """How far along the way the hand is, negative before its end, and how far beside it."""
        dx, dy = hand.x - grasp.x, hand.y - grasp.y
        ahead, left = self._way / self._length
        return dx * ahead + dy * left, abs(dy * ahead - dx * left)

    def _reach(self, place: HandPose) -> Doubles:
        return self._arm.reach(place, self._start)

    def _here(self, body: Body) -> Doubles:
        return np.array([body.joints[name] for name in self._arm.joints])

    def _share(self, opening: float) -> float:
        """How open the hand is: 1 is open, 0 is closed."""
        return (opening - self._hand.closed) / (self._hand.open - self._hand.closed)

    def _is_open(self, body: Body) -> bool:
        return self._share(body.opening) > 1.0 - _NEARLY_OPEN

    def _is_closing(self, body: Body) -> bool:
        """Whether it is not open, and has not closed on nothing."""
        missed = self._share(body.opening) < self._share(self._hand.gripping[0])
        return not (missed or self._is_open(body))

    def _moving_s(self) -> float:
        """How long the hand takes to open or close."""
        return abs(self._hand.open - self._hand.closed) / self._hand.speed

    def _opening_s(self, body: Body) -> float:
        """How long the hand takes until it is open, and what it held stands by itself."""
        if self._is_open(body):
            return 0.0
        # An earlier chunk may go on closing it while this one is under way.
        return self._moving_s() + _RELEASE_S


def _between(start: HandPose, goal: HandPose, share: float) -> HandPose:
    """A share of the way from one pose to another."""
    return HandPose(
        start.x + share * (goal.x - start.x),
        start.y + share * (goal.y - start.y),
        start.z + share * (goal.z - start.z),
        start.yaw + share * turn_of(goal.yaw - start.yaw),
    )
