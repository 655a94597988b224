# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from benchmarks.flow_policy.demonstrations import Demonstrator, Detours
from test.support.simulated import observe, policy, so101, world
from vla_ros.backends._pick_and_place_motion import Waypoint
from vla_ros.backends._pick_and_place_skill import make_skill

SKILL = make_skill("so101_pick_and_place", so101(), policy())
REST = np.array([SKILL.facts.rest[name] for name in SKILL.facts.hand.arm])
FAR = REST + np.array([0.9, 0.5, 0.3, 0.0, 0.0])


def hand(arm: np.ndarray) -> np.ndarray:
    pose = SKILL.arm.hand_pose(dict(zip(SKILL.arm.joints, arm.tolist(), strict=True)))
    return np.array([pose.x, pose.y, pose.z])


def test_a_long_stretch_bows_out_to_one_of_three_sides():
    detours = Detours(SKILL, np.random.default_rng(0))
    goal = Waypoint(FAR, 0.3, wait_s=0.1)
    middles = set()
    for _ in range(30):
        *bow, end = detours.take(REST, [goal], 1.0)
        assert end is goal
        assert [point.opening for point in bow] == [0.3] * 3
        middles.add(tuple(np.round(hand(bow[1].arm) - hand(0.5 * (REST + FAR)), 3)))

    assert len(middles) == 3
    assert all(0.015 < np.linalg.norm(middle) < 0.08 for middle in middles)
    assert sum(middle[2] > 0.01 for middle in middles) == 1


def test_a_short_stretch_and_a_late_one_are_gone_straight():
    detours = Detours(SKILL, np.random.default_rng(0))
    near, far = Waypoint(REST + 0.02, 0.3, wait_s=1.0), Waypoint(FAR, 0.3)

    assert detours.take(REST, [near], 1.0) == [near]
    assert detours.take(REST, [near, far], 0.5) == [near, far]
    assert len(detours.take(REST, [near, far], 5.0)) == 5


def test_a_demonstrator_answers_in_more_than_one_way():
    world().reset(6)
    demonstrator = Demonstrator(SKILL, np.random.default_rng(0))
    observation = observe(world())
    body = SKILL.feel(observation)

    answers = demonstrator.demonstrate(body, SKILL.look(observation, body), 12)

    assert len({answer.tobytes() for answer in answers}) == 3
    assert demonstrator.infer(observation).actions.shape == (32, 6)
