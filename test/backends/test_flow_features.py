# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from test.support.simulated import kinematics, so101
from vla_ros.backends._flow_features import feature_count, features
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_motion import Arm
from vla_ros.backends._pick_and_place_plan import Body, Planner
from vla_ros.backends._pick_and_place_sight import Sight
from vla_ros.backends._pick_and_place_vision import Found
from vla_ros.core.config_files import config_file

FACTS = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())
ARM = Arm(so101(), FACTS, kinematics())
PLANNER = Planner(ARM, FACTS)
REST = {name.rpartition("/")[0]: value for name, value in FACTS.rest.items()}
AT_REST = Body(REST, FACTS.hand.open)
ON_TABLE = Sight(Found(0.2, -0.1, 0.2, 1.0), Found(0.2, 0.12, 0.0, 1.0), held=False, placed=False)
HELD, PLACED = replace(ON_TABLE, held=True), replace(ON_TABLE, placed=True)
# Where things stand among the features, of an arm with five joints.
HERE, OPENING, GOALS, OFFSET, FLAGS = (
    slice(0, 5),
    5,
    slice(6, 26),
    slice(26, 30),
    slice(30, 32),
)


def seen(body: Body, sight: Sight) -> np.ndarray:
    told = features(ARM, PLANNER, body, sight)
    assert told.shape == (feature_count(ARM),) == (32,)
    return told


def at(goal: int, sight: Sight) -> Body:
    """The arm at one of its goals."""
    positions = PLANNER.goals(AT_REST, sight)[goal].tolist()
    return Body(dict(zip(ARM.joints, positions, strict=True)), FACTS.hand.open)


def test_the_arm_and_the_hand_are_told():
    told = seen(AT_REST, ON_TABLE)

    assert told[HERE].tolist() == list(REST.values())
    assert told[OPENING] == FACTS.hand.open


@pytest.mark.parametrize(("sight", "flags"), [(ON_TABLE, [0, 0]), (HELD, [1, 0]), (PLACED, [0, 1])])
def test_what_is_held_and_done_is_told(sight: Sight, flags: list[int]):
    assert seen(AT_REST, sight)[FLAGS].tolist() == flags


def test_the_goals_are_told_as_seen_from_the_arm():
    goals = PLANNER.goals(AT_REST, ON_TABLE)

    told = seen(AT_REST, ON_TABLE)[GOALS].reshape(4, 5)

    np.testing.assert_allclose(told + list(REST.values()), goals)


def test_a_held_cube_need_not_be_fetched():
    goals = seen(AT_REST, HELD)[GOALS].reshape(4, 5)

    assert not goals[:2].any()
    assert np.abs(goals[2:]).max() > 0.5


def test_where_the_cube_was_matters_no_more_once_it_is_held():
    elsewhere = replace(HELD, thing=Found(0.15, 0.05, 0.9, 1.0))

    np.testing.assert_array_equal(seen(AT_REST, HELD), seen(AT_REST, elsewhere))


@pytest.mark.parametrize(("goal", "sight"), [(1, ON_TABLE), (3, HELD), (3, PLACED)])
def test_the_hand_is_on_its_way_to_the_next_goal(goal: int, sight: Sight):
    far = np.abs(seen(AT_REST, sight)[OFFSET])
    near = np.abs(seen(at(goal, sight), sight)[OFFSET])

    assert near[:3].max() < 0.004
    assert far[:3].max() > 0.1
    assert near[3] < 0.05


def test_the_offset_is_told_in_the_hands_own_directions():
    """Where the hand is turned does not change how far it is to go."""
    hand = ARM.hand_pose(REST)
    offset = seen(AT_REST, ON_TABLE)[OFFSET]
    goal = ARM.hand_pose(at(1, ON_TABLE).joints)

    distance = np.hypot(goal.x - hand.x, goal.y - hand.y)
    assert np.hypot(offset[0], offset[1]) == pytest.approx(distance)
    assert offset[2] == pytest.approx(goal.z - hand.z)
