# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from test.support.g1_policy import g1_backend, g1_facts
from test.support.simulated_g1 import g1
from vla_ros.backends._pick_and_place_motion import Arm, HandPose, Waypoint
from vla_ros.backends._pick_and_place_plan import Body
from vla_ros.backends._pick_and_place_side import SidePlanner
from vla_ros.backends._pick_and_place_sight import Sight
from vla_ros.backends._pick_and_place_skill import TABLE
from vla_ros.backends._pick_and_place_vision import Found
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.transforms import pose_from

FACTS = g1_facts()
SIDE = FACTS.side
assert SIDE is not None
assert g1().urdf is not None
KINEMATICS = Kinematics.from_file(g1().urdf).standing_on(TABLE, pose_from(np.eye(3), FACTS.base_m))
ARM = Arm(g1(), FACTS, KINEMATICS)
PLANNER = SidePlanner(ARM, FACTS, SIDE)
STILL = {name.rpartition("/")[0]: value for name, value in FACTS.still.items()}
REST = {**STILL, **{name.rpartition("/")[0]: value for name, value in FACTS.rest.items()}}
OPEN, CLOSED, GRIPPING = FACTS.hand.open, FACTS.hand.closed, 1.0
GRASP_Z, TRAVEL_Z = SIDE.height_m, FACTS.motion.travel_height_m
RELEASE_Z = GRASP_Z + FACTS.plate.height_m + FACTS.motion.release_gap_m
LENGTH_M = math.hypot(*SIDE.approach_m)

THING = Found(0.36, -0.22, 0.0, 1.0)
PLATE = Found(0.36, -0.02, 0.0, 1.0)
ON_TABLE = Sight(THING, PLATE, held=False, placed=False)
HELD = Sight(THING, PLATE, held=True, placed=False)
PLACED = Sight(THING, PLATE, held=False, placed=True)


def body(x: float, y: float, z: float, *, opening: float) -> Body:
    """The arm with its hand somewhere, as it would grasp."""
    positions = ARM.reach(HandPose(x, y, z, SIDE.yaw), REST)
    return Body({**REST, **dict(zip(ARM.joints, positions.tolist(), strict=True))}, opening)


def plan_of(body: Body, sight: Sight) -> list[Waypoint]:
    return list(PLANNER.plan(body, sight))


def at_rest(*, opening: float = OPEN) -> Body:
    return Body(REST, opening)


def on_way(place: Found, share: float) -> tuple[float, float]:
    """Where the hand is on the way to a thing: 0 is its beginning, 1 its end."""
    left = 1.0 - share
    return place.x - left * SIDE.approach_m[0], place.y - left * SIDE.approach_m[1]


def places(plan: list[Waypoint]) -> list[HandPose]:
    return [
        ARM.hand_pose({**REST, **dict(zip(ARM.joints, point.arm.tolist(), strict=True))})
        for point in plan
    ]


def goes_through(plan: list[Waypoint], x: float, y: float, z: float) -> int | None:
    """Where in a plan the hand is at a place; None if it never is."""
    for index, hand in enumerate(places(plan)):
        if math.dist((hand.x, hand.y, hand.z), (x, y, z)) < 0.002:
            return index
    return None


def test_the_hand_rests_out_of_the_way_and_upright():
    hand = ARM.hand_pose(REST)

    assert math.hypot(hand.x - THING.x, hand.y - THING.y) > 0.2
    assert PLANNER.withdraw(at_rest()) == []


def test_the_whole_task_from_rest():
    plan = plan_of(at_rest(), ON_TABLE)

    before = goes_through(plan, *on_way(THING, 0.0), GRASP_Z)
    around = goes_through(plan, THING.x, THING.y, GRASP_Z)
    lifted = goes_through(plan, THING.x, THING.y, TRAVEL_Z)
    over = goes_through(plan, PLATE.x, PLATE.y, TRAVEL_Z)
    release = goes_through(plan, PLATE.x, PLATE.y, RELEASE_Z)
    away = goes_through(plan, *on_way(PLATE, 0.0), RELEASE_Z)
    assert None not in (before, around, lifted, over, release, away)
    assert before < around < lifted < over < release < away < len(plan) - 1  # type: ignore[operator]
    openings = [point.opening for point in plan]
    grips = openings.index(CLOSED)
    opens = grips + openings[grips:].index(OPEN)
    assert around < grips < lifted  # type: ignore[operator]
    assert release < opens < away  # type: ignore[operator]
    np.testing.assert_allclose(plan[-1].arm, [REST[name] for name in ARM.joints])


def test_the_hand_stays_upright_and_near_straight_lines():
    plan = plan_of(at_rest(), ON_TABLE)
    hands = places(plan)[1:-1]

    assert all(abs(hand.yaw - SIDE.yaw) < 0.01 for hand in hands)
    for one, other in itertools.pairwise(hands):
        assert math.dist((one.x, one.y, one.z), (other.x, other.y, other.z)) < 0.051


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_on_the_way_it_goes_on(share: float):
    plan = plan_of(body(*on_way(THING, share), GRASP_Z, opening=OPEN), ON_TABLE)

    assert goes_through(plan, *on_way(THING, 0.0), GRASP_Z) is None
    assert goes_through(plan, THING.x, THING.y, GRASP_Z) is not None


@pytest.mark.parametrize(("beside_m", "goes_on"), [(0.008, True), (0.03, False)])
def test_beside_the_way_it_begins_anew(beside_m: float, goes_on: bool):
    x, y = on_way(THING, 0.9)
    ahead, left = SIDE.approach_m[0] / LENGTH_M, SIDE.approach_m[1] / LENGTH_M
    here = body(x - beside_m * left, y + beside_m * ahead, GRASP_Z, opening=OPEN)

    plan = plan_of(here, ON_TABLE)

    assert (goes_through(plan, *on_way(THING, 0.0), GRASP_Z) is None) is goes_on


def test_a_closing_hand_around_the_thing_goes_on_closing():
    plan = plan_of(body(THING.x, THING.y, GRASP_Z, opening=0.6), ON_TABLE)

    assert plan[0].opening == CLOSED
    assert plan[0].wait_s * FACTS.hand.speed > CLOSED
    assert goes_through(plan, THING.x, THING.y, GRASP_Z) == 0


def test_a_hand_that_closed_on_nothing_opens_goes_back_and_tries_again():
    plan = plan_of(body(THING.x, THING.y, GRASP_Z, opening=1.45), ON_TABLE)

    assert plan[0].opening == OPEN
    assert plan[0].wait_s * FACTS.hand.speed > 1.4
    assert goes_through(plan, *on_way(THING, 0.0), GRASP_Z) is not None


def test_on_the_far_side_it_rises_over_the_thing():
    plan = plan_of(body(THING.x, THING.y + 0.1, GRASP_Z, opening=OPEN), ON_TABLE)

    assert max(hand.z for hand in places(plan)) > FACTS.thing.height_m + 0.05
    assert goes_through(plan, *on_way(THING, 0.0), GRASP_Z) is not None


def test_high_over_the_thing_it_goes_straight_to_the_beginning_of_the_way():
    plan = plan_of(body(THING.x, THING.y + 0.05, 0.25, opening=OPEN), ON_TABLE)

    before = goes_through(plan, *on_way(THING, 0.0), GRASP_Z)
    assert before is not None
    heights = [hand.z for hand in places(plan)[: before + 1]]
    assert heights == sorted(heights, reverse=True)
    assert plan[0].wait_s == 0.0


def test_a_held_thing_is_lifted_before_it_is_carried():
    plan = plan_of(body(THING.x, THING.y, GRASP_Z, opening=GRIPPING), HELD)

    lifted = goes_through(plan, THING.x, THING.y, TRAVEL_Z)
    over = goes_through(plan, PLATE.x, PLATE.y, TRAVEL_Z)
    assert lifted is not None
    assert over is not None
    assert lifted < over
    assert {point.opening for point in plan[:over]} == {CLOSED}


def test_over_the_plate_it_goes_down():
    plan = plan_of(body(PLATE.x, PLATE.y, TRAVEL_Z - 0.03, opening=GRIPPING), HELD)

    assert goes_through(plan, PLATE.x, PLATE.y, TRAVEL_Z) is None
    assert goes_through(plan, PLATE.x, PLATE.y, RELEASE_Z) is not None
    assert plan[0].opening == CLOSED


def test_at_the_place_of_release_it_opens_at_once():
    plan = plan_of(body(PLATE.x, PLATE.y, RELEASE_Z, opening=GRIPPING), HELD)

    assert {point.opening for point in plan} == {OPEN}
    assert plan[0].wait_s * FACTS.hand.speed > CLOSED


@pytest.mark.parametrize(("opening", "waits"), [(0.4, True), (OPEN, False)])
def test_a_placed_thing_is_left_by_the_way_with_an_open_hand(opening: float, waits: bool):
    plan = plan_of(body(PLATE.x, PLATE.y, RELEASE_Z, opening=opening), PLACED)

    assert {point.opening for point in plan} == {OPEN}
    assert (plan[0].wait_s > 0.3) is waits
    assert goes_through(plan, *on_way(PLATE, 0.0), RELEASE_Z) is not None
    np.testing.assert_allclose(plan[-1].arm, [REST[name] for name in ARM.joints])


@pytest.mark.parametrize("place", [on_way(PLATE, -0.2), (0.3, -0.35)])
def test_away_from_a_placed_thing_it_goes_to_rest(place: tuple[float, float]):
    plan = plan_of(body(*place, RELEASE_Z, opening=OPEN), PLACED)

    assert goes_through(plan, *on_way(PLATE, 0.0), RELEASE_Z) is None
    np.testing.assert_allclose(plan[-1].arm, [REST[name] for name in ARM.joints])


@pytest.mark.parametrize(("opening", "kept"), [(GRIPPING, CLOSED), (OPEN, OPEN)])
def test_it_withdraws_upwards_and_keeps_what_it_holds(opening: float, kept: float):
    plan = PLANNER.withdraw(body(0.4, -0.1, GRASP_Z, opening=opening))

    assert goes_through(plan, 0.4, -0.1, TRAVEL_Z) is not None
    assert {point.opening for point in plan} == {kept}
    np.testing.assert_allclose(plan[-1].arm, [REST[name] for name in ARM.joints])


def test_from_above_it_withdraws_straight_to_rest():
    hands = places(PLANNER.withdraw(body(0.4, -0.1, TRAVEL_Z, opening=OPEN)))

    assert max(hand.z for hand in hands) < TRAVEL_Z


def test_another_yaw_turns_the_way():
    turned = SidePlanner(ARM, FACTS, replace(SIDE, yaw=-0.3))
    plan = list(turned.plan(at_rest(), ON_TABLE))
    cosine, sine = math.cos(-0.3), math.sin(-0.3)
    ahead, left = SIDE.approach_m
    dx, dy = cosine * ahead - sine * left, sine * ahead + cosine * left

    assert goes_through(plan, THING.x - dx, THING.y - dy, GRASP_Z) is not None
    assert goes_through(plan, THING.x, THING.y, GRASP_Z) is not None


def test_the_policy_plans_so():
    skill = g1_backend()._skill
    assert skill is not None
    assert isinstance(skill.planner, SidePlanner)
