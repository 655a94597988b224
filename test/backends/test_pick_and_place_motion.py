# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.simulated import kinematics, so101
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_motion import Arm, HandPose, Waypoint, follow
from vla_ros.core.config_files import config_file

FACTS = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())
ARM = Arm(so101(), FACTS, kinematics())
REST = {name.rpartition("/")[0]: value for name, value in FACTS.rest.items()}
FULL = np.array([1.0, 2.0])
STEP_S = 0.1


def walk(waypoints: list[Waypoint], start: tuple[float, float] = (0.0, 0.0), **changes: float):
    timing = {"ramp_s": 0.2, "lead_s": 0.0, "horizon": 30, **changes}
    return follow(np.array(start), waypoints, full_speed=FULL, step_s=STEP_S, **timing)


def at(a: float, b: float, opening: float = 0.0, **changes: float) -> Waypoint:
    return Waypoint(np.array([a, b]), opening, **changes)


@given(st.floats(0.15, 0.26), st.floats(-1.0, 1.0), st.floats(0.01, 0.06), st.floats(-0.7, 0.7))
def test_a_hand_pose_over_the_table_is_reached(
    radius: float, azimuth: float, z: float, turn: float
):
    x, y = 0.0388 + radius * math.cos(azimuth) * 0.9, radius * math.sin(azimuth) * 0.9
    goal = HandPose(x, y, z, ARM.azimuth(x, y) + 0.5 * math.pi + turn)

    reached = ARM.hand_pose(dict(zip(ARM.joints, ARM.reach(goal, REST).tolist(), strict=True)))

    assert math.dist((reached.x, reached.y, reached.z), (x, y, z)) < 0.004
    assert abs(math.remainder(reached.yaw - goal.yaw, 2.0 * math.pi)) < 0.05


def test_what_is_out_of_reach_stays_within_the_limits():
    positions = ARM.reach(HandPose(0.9, 0.0, 0.0, 0.0), REST)

    for name, position in zip(FACTS.hand.arm, positions, strict=True):
        assert so101().limits[name].lower <= position <= so101().limits[name].upper


def test_azimuth_is_measured_at_the_first_axis():
    assert ARM.azimuth(0.038835, 0.1) == pytest.approx(0.5 * math.pi)


def test_all_joints_of_a_line_arrive_together():
    actions = walk([at(1.0, 1.0)], ramp_s=1e-6)

    # The slower joint needs a second; the first action is due now.
    np.testing.assert_allclose(actions[:11, 0], np.arange(11) * 0.1, atol=1e-6)
    np.testing.assert_allclose(actions[:, 0], actions[:, 1])
    np.testing.assert_allclose(actions[10:, :2], 1.0)


def test_the_first_action_is_ahead_of_the_start():
    assert walk([at(1.0, 0.0)], lead_s=0.05)[0, 0] == pytest.approx(0.05)


def test_speed_falls_towards_a_stop():
    steps = np.diff(walk([at(1.0, 0.0)], ramp_s=0.4)[:, 0])

    assert steps[0] == pytest.approx(0.1)
    moving = steps[steps > 1e-9]
    assert (np.diff(moving) <= 1e-9).all()
    assert moving[-1] < 0.04


def test_speed_is_kept_where_a_waypoint_is_passed():
    stopping = walk([at(0.5, 0.0), at(1.0, 0.0)], ramp_s=0.8)
    passing = walk([at(0.5, 0.0, passing=0.8), at(1.0, 0.0)], ramp_s=0.8)

    arrived = [np.argmax(actions[:, 0] > 0.999) for actions in (stopping, passing)]
    assert arrived[1] < arrived[0]


def test_pace_slows_a_line_down():
    steps = np.diff(walk([at(1.0, 0.0, pace=0.25)])[:, 0])

    assert steps[0] == pytest.approx(0.025)


def test_the_hand_is_told_on_the_way_and_while_waiting():
    actions = walk([at(0.3, 0.0, 0.1), at(0.3, 0.0, 0.9, wait_s=0.5), at(0.6, 0.0, 0.5)])

    openings = actions[:, 2]
    assert openings[0] == 0.1
    closed = np.nonzero(openings == 0.9)[0]
    assert 4 <= len(closed) <= 6
    np.testing.assert_allclose(actions[closed[:-1], 0], 0.3)
    assert openings[-1] == 0.5
    assert actions[-1, 0] == pytest.approx(0.6)


def test_after_the_last_waypoint_it_stays():
    actions = walk([at(0.1, 0.2, 0.7)])

    np.testing.assert_allclose(actions[5:], np.tile([0.1, 0.2, 0.7], (25, 1)))


@given(st.integers(1, 12), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_a_plan_from_on_the_way_continues_the_plan(done: int, a: float, b: float):
    """Speed depends on the place alone, so a later start gives the rest of the same motion."""
    waypoints = [at(1.0, 1.0 + a, 0.3, passing=0.5), at(1.5 + b, 0.0, 0.3)]
    whole = walk(waypoints)
    first_leg = np.argmax(np.abs(whole[:, 0]) >= 1.0 - 1e-9) or len(whole)
    done = min(done, first_leg - 1)

    rest = walk(waypoints, start=(whole[done, 0], whole[done, 1]))

    np.testing.assert_allclose(rest[: 30 - done], whole[done:], atol=1e-6)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=4)
)
def test_full_speed_is_never_exceeded(places: list[tuple[float, float, float]]):
    waypoints = [at(a, b, passing=passing) for a, b, passing in places]

    speeds = np.abs(np.diff(walk(waypoints)[:, :2], axis=0)) / STEP_S

    assert (speeds <= FULL + 1e-6).all()
