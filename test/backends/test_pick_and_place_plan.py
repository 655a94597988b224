# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from test.support.simulated import kinematics, so101
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_motion import Arm, HandPose, Waypoint
from vla_ros.backends._pick_and_place_plan import Body, Planner
from vla_ros.backends._pick_and_place_sight import Sight
from vla_ros.backends._pick_and_place_vision import Found
from vla_ros.core.config_files import config_file

FACTS = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())
ARM = Arm(so101(), FACTS, kinematics())
PLANNER = Planner(ARM, FACTS)
REST = {name.rpartition("/")[0]: value for name, value in FACTS.rest.items()}
OPEN, CLOSED = FACTS.hand.open, FACTS.hand.closed
GRIPPING = 0.0
TRAVEL_Z, GRASP_Z = FACTS.motion.travel_height_m, 0.5 * FACTS.thing.height_m
CLEARANCE_M = FACTS.hand.clearance_m
RELEASE_Z = FACTS.plate.height_m + GRASP_Z + FACTS.motion.release_gap_m

CUBE = Found(0.2, -0.1, 0.2, 1.0)
PLATE = Found(0.2, 0.12, 0.0, 1.0)
ON_TABLE = Sight(CUBE, PLATE, held=False, placed=False)
HELD = Sight(CUBE, PLATE, held=True, placed=False)
PLACED = Sight(CUBE, PLATE, held=False, placed=True)


def pose_of(waypoint: Waypoint) -> HandPose:
    return ARM.hand_pose(dict(zip(ARM.joints, waypoint.arm.tolist(), strict=True)))


def body(x: float, y: float, z: float, *, opening: float, yaw: float | None = None) -> Body:
    """The arm with its hand somewhere, turned to the cube's sides unless told otherwise."""
    turned = CUBE.yaw + 0.5 * math.pi if yaw is None else yaw
    positions = ARM.reach(HandPose(x, y, z, turned), REST)
    return Body(dict(zip(ARM.joints, positions.tolist(), strict=True)), opening)


def steps(plan: list[Waypoint]) -> list[tuple[str, str, bool]]:
    """Each waypoint as what it is over, how high, and whether the hand is open."""
    told = []
    for waypoint in plan:
        hand = pose_of(waypoint)
        over = min(
            ("cube", "plate", "else"),
            key=lambda place: {
                "cube": math.dist((hand.x, hand.y), (CUBE.x, CUBE.y)),
                "plate": math.dist((hand.x, hand.y), (PLATE.x, PLATE.y)),
                "else": 0.02,
            }[place],
        )
        height = "low" if hand.z < 0.5 * TRAVEL_Z else "high"
        told.append((over, height, waypoint.opening == OPEN))
    return told


DROP = [
    ("plate", "high", False),
    ("plate", "low", False),
    ("plate", "low", True),
    ("plate", "low", True),
    ("plate", "high", True),
    ("else", "high", True),
]
DOWN = [("cube", "high", True), ("cube", "low", True)]
LIFT = [("cube", "low", False), ("cube", "high", False), *DROP]


def test_from_rest_the_whole_task_is_planned():
    plan = PLANNER.plan(Body(REST, OPEN), ON_TABLE)

    assert steps(plan) == [("cube", "high", True), *DOWN, *LIFT]


def test_waypoints_are_where_things_are():
    plan = PLANNER.plan(Body(REST, OPEN), ON_TABLE)

    tips, grasp, release = (pose_of(plan[index]) for index in (1, 2, 6))
    assert math.dist((tips.x, tips.y), (CUBE.x, CUBE.y)) < 0.002
    assert GRASP_Z < tips.z < TRAVEL_Z
    assert math.dist((grasp.x, grasp.y, grasp.z), (CUBE.x, CUBE.y, GRASP_Z)) < 0.002
    # The held cube leans on the fixed jaw, and it is the cube that shall be in the middle.
    x, y = (
        release.x - CLEARANCE_M * math.cos(release.yaw),
        release.y - CLEARANCE_M * math.sin(release.yaw),
    )
    assert math.dist((x, y, release.z), (PLATE.x, PLATE.y, RELEASE_Z)) < 0.002
    turned = (grasp.yaw - CUBE.yaw) / (0.5 * math.pi)
    assert turned == pytest.approx(round(turned), abs=0.02)


def test_lowering_is_slower():
    paces = [waypoint.pace for waypoint in PLANNER.plan(Body(REST, OPEN), ON_TABLE)]

    assert paces[2] == paces[6] == FACTS.motion.slow_speed / FACTS.motion.speed
    assert paces[0] == paces[4] == paces[-1] == 1.0


def test_above_the_cube_the_hand_goes_down():
    above = body(CUBE.x, CUBE.y, TRAVEL_Z, opening=OPEN)

    assert steps(PLANNER.plan(above, ON_TABLE)) == [*DOWN, *LIFT]


def test_around_the_cube_the_hand_goes_straight_to_the_grasp():
    around = body(CUBE.x, CUBE.y, GRASP_Z + 0.02, opening=OPEN)

    assert steps(PLANNER.plan(around, ON_TABLE)) == [*DOWN[1:], *LIFT]


@pytest.mark.parametrize(("off_m", "rises"), [(0.003, False), (0.009, True)])
def test_low_over_the_cube_the_hand_must_not_be_off(off_m: float, rises: bool):
    """There a jaw would land on the cube, and stay there."""
    low = body(CUBE.x - off_m, CUBE.y, GRASP_Z + 0.02, opening=OPEN)

    plan = PLANNER.plan(low, ON_TABLE)

    assert (steps(plan)[0] == ("cube", "high", True)) is rises


@pytest.mark.parametrize("opening", [GRIPPING, -0.1])
def test_above_the_cube_a_closed_hand_opens_first(opening: float):
    plan = PLANNER.plan(body(CUBE.x, CUBE.y, TRAVEL_Z, opening=opening), ON_TABLE)

    assert steps(plan)[:3] == [("cube", "high", True), *DOWN]
    assert plan[0].wait_s * FACTS.hand.speed > 0.5 * (OPEN - opening)


def test_low_beside_the_cube_the_hand_rises_first():
    beside = body(CUBE.x - 0.05, CUBE.y, GRASP_Z, opening=OPEN)

    plan = PLANNER.plan(beside, ON_TABLE)

    assert steps(plan)[:2] == [("else", "high", True), ("cube", "high", True)]
    first = pose_of(plan[0])
    assert math.dist((first.x, first.y), (CUBE.x - 0.05, CUBE.y)) < 0.003


def test_a_hand_that_is_turned_wrong_does_not_go_down():
    turned = body(CUBE.x, CUBE.y, TRAVEL_Z, opening=OPEN, yaw=CUBE.yaw + 0.5 * math.pi + 0.5)

    assert steps(PLANNER.plan(turned, ON_TABLE))[0] == ("cube", "high", True)


@pytest.mark.parametrize("opening", [0.15, 0.05])
def test_around_the_cube_a_closing_hand_goes_on_closing(opening: float):
    around = body(CUBE.x, CUBE.y, GRASP_Z, opening=opening)

    plan = PLANNER.plan(around, ON_TABLE)

    assert steps(plan) == LIFT
    assert plan[0].wait_s < PLANNER.plan(Body(REST, OPEN), ON_TABLE)[3].wait_s


def test_a_hand_that_closed_on_nothing_goes_up_closed_and_tries_again():
    missed = body(CUBE.x, CUBE.y, GRASP_Z, opening=-0.168)

    assert steps(PLANNER.plan(missed, ON_TABLE))[:4] == [
        ("cube", "high", False),
        ("cube", "high", True),
        *DOWN,
    ]


def test_the_side_that_was_turned_to_is_turned_to_again():
    """Half way between two sides of a cube, a little turning decides it for good."""
    azimuth = ARM.azimuth(CUBE.x, CUBE.y)
    between = Sight(
        Found(CUBE.x, CUBE.y, azimuth + 0.25 * math.pi, 1.0), PLATE, held=False, placed=False
    )
    for lean in (-0.15, 0.15):
        yaw = azimuth + 0.5 * math.pi + lean
        here = body(CUBE.x, CUBE.y, TRAVEL_Z, opening=OPEN, yaw=yaw)

        grasp = pose_of(PLANNER.plan(here, between)[1])

        assert math.copysign(1.0, math.remainder(grasp.yaw - yaw, math.pi)) == math.copysign(
            1.0, lean
        )


def test_a_held_cube_is_lifted_and_carried():
    grasped = body(CUBE.x, CUBE.y, GRASP_Z, opening=GRIPPING)

    assert steps(PLANNER.plan(grasped, HELD)) == [("cube", "high", False), *DROP]


def test_a_cube_that_is_on_its_way_is_carried_on():
    lifted = body(0.22, 0.0, TRAVEL_Z, opening=GRIPPING)

    assert steps(PLANNER.plan(lifted, HELD)) == DROP


def test_over_the_plate_it_is_lowered():
    over = body(PLATE.x, PLATE.y, 0.5 * (TRAVEL_Z + RELEASE_Z), opening=GRIPPING)

    assert steps(PLANNER.plan(over, HELD)) == DROP[1:]


def test_just_over_the_plate_it_is_let_go():
    low = body(PLATE.x, PLATE.y, RELEASE_Z, opening=GRIPPING)

    assert steps(PLANNER.plan(low, HELD)) == DROP[2:]


def test_a_hand_that_opens_on_the_plate_opens_on():
    opening = body(PLATE.x, PLATE.y, RELEASE_Z, opening=0.18)

    plan = PLANNER.plan(opening, PLACED)

    assert steps(plan) == DROP[2:]
    assert plan[0].wait_s > 0.0


def test_a_hand_that_has_let_go_leaves_at_once():
    opened = body(PLATE.x, PLATE.y, RELEASE_Z, opening=OPEN)

    plan = PLANNER.plan(opened, PLACED)

    assert steps(plan) == DROP[2:]
    assert plan[0].wait_s == 0.0


def test_the_hand_moves_away_from_the_cube_before_it_rises():
    opened = body(PLATE.x, PLATE.y, RELEASE_Z, opening=OPEN, yaw=1.2)

    aside, up = (pose_of(waypoint) for waypoint in PLANNER.plan(opened, PLACED)[1:3])

    assert math.dist((aside.x, aside.y, aside.z), (PLATE.x, PLATE.y, RELEASE_Z)) < 0.002
    assert math.dist((up.x, up.y), (aside.x, aside.y)) < 0.004


def test_a_hand_higher_over_the_plate_just_rises():
    higher = body(PLATE.x, PLATE.y, RELEASE_Z + 0.01, opening=OPEN)

    assert steps(PLANNER.plan(higher, PLACED)) == [
        ("plate", "low", True),
        ("plate", "high", True),
        ("else", "high", True),
    ]


@pytest.mark.parametrize(("x", "y", "z"), [(0.2, 0.12, 0.08), (0.2, -0.1, 0.02)])
def test_away_from_the_plate_a_done_task_leads_to_rest(x: float, y: float, z: float):
    (only,) = PLANNER.plan(body(x, y, z, opening=OPEN), PLACED)

    assert only.arm.tolist() == list(FACTS.rest.values())
    assert only.opening == OPEN


@pytest.mark.parametrize("sight", [ON_TABLE, HELD, PLACED])
def test_the_goals_are_where_the_plan_leads(sight: Sight):
    start = body(0.2, 0.0, TRAVEL_Z, opening=OPEN)
    here = [start.joints[name] for name in ARM.joints]

    over, around, above, release = PLANNER.goals(start, sight)

    if sight is ON_TABLE:
        plan = PLANNER.plan(start, sight)
        for goal in (over, around):
            assert any(np.allclose(goal, waypoint.arm, atol=1e-3) for waypoint in plan)
    else:
        assert over.tolist() == around.tolist() == here
    for goal, height in ((above, TRAVEL_Z), (release, RELEASE_Z)):
        hand = ARM.hand_pose(dict(zip(ARM.joints, goal.tolist(), strict=True)))
        assert math.dist((hand.x, hand.y), (PLATE.x, PLATE.y)) < CLEARANCE_M + 0.003
        assert hand.z == pytest.approx(height, abs=0.004)
