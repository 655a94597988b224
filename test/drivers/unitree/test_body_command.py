# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.unitree_facts import HG, crc_of, idl_type
from vla_ros.core.config_files import config_file
from vla_ros.drivers.unitree.body_command import (
    BodyCommander,
    BodyGoal,
    JointFollower,
    Phase,
    hand_cmds,
    low_cmd,
)
from vla_ros.drivers.unitree.body_spec import load_unitree_spec

SPEC = load_unitree_spec(config_file("unitree", "g1_inspire"))
TICK_S = 0.01
NOTHING = np.full(2, np.nan)
HERE = np.array([0.5, -0.25])


def follower(velocity_rad_s: float = 1.0) -> JointFollower:
    made = JointFollower(np.array([-1.0, -np.inf]), np.array([1.0, np.inf]))
    made.max_velocity_rad_s = velocity_rad_s
    return made


class Body:
    """A commander in simulated time; the body stays where it was measured, unless told."""

    def __init__(self, *, ramp_s: float = 0.0, release_after_s: float = 1.0) -> None:
        self.joints = follower()
        self.commander = BodyCommander(self.joints)
        self.commander.ramp_s, self.commander.release_after_s = ramp_s, release_after_s
        self.now_s = 100.0
        self.measured: np.ndarray | None = HERE

    def tick(self, target: np.ndarray = NOTHING) -> BodyGoal | None:
        self.now_s += TICK_S
        if self.measured is not None:
            self.joints.measure(self.measured, self.now_s)
        return self.commander.tick(target, self.now_s)

    def run(self, duration_s: float, target: np.ndarray = NOTHING) -> list[BodyGoal | None]:
        return [self.tick(target) for _ in range(round(duration_s / TICK_S))]

    @property
    def phase(self) -> Phase:
        return self.commander.phase


def weights(goals: list[BodyGoal | None]) -> list[float]:
    return [goal.weight for goal in goals if goal is not None]


def told(goal: BodyGoal | None) -> list[float]:
    assert goal is not None
    return [float(value) for value in goal.position]


def test_nothing_is_told_before_somebody_commands():
    body = Body()

    assert body.run(1.0) == [None] * 100
    assert body.phase is Phase.SILENT
    assert body.joints.place is HERE


def test_nothing_is_told_before_something_is_measured():
    body = Body()
    body.measured = None

    assert body.joints.place is None
    assert body.tick(np.zeros(2)) is None


def test_goals_begin_where_the_body_is_and_never_go_fast():
    body = Body()

    goals = [told(goal) for goal in body.run(1.0, np.array([0.0, np.nan]))]

    assert goals[0] == HERE.tolist()
    steps = np.diff([goal[0] for goal in goals])
    assert steps.min() == pytest.approx(-1.0 * TICK_S)
    # What nobody commands stays where it was measured.
    assert goals[-1] == [0.0, -0.25]
    assert body.phase is Phase.FOLLOWING


def test_a_joint_stays_where_it_was_measured_at_first_though_it_is_moved():
    body = Body()
    body.tick(np.array([0.5, np.nan]))
    body.measured = HERE + 0.3

    assert told(body.run(0.5, np.array([0.5, np.nan]))[-1]) == HERE.tolist()


def test_goals_end_at_the_limits():
    body = Body()

    assert told(body.run(3.0, np.array([9.0, np.nan]))[-1]) == [1.0, -0.25]


def test_a_body_that_nobody_commands_keeps_its_place():
    body = Body()
    moving = told(body.run(0.1, np.zeros(2))[-1])

    kept = body.run(0.5)

    assert [told(goal) for goal in kept] == [moving] * 50
    assert body.phase is Phase.HOLDING


def test_without_a_weight_a_body_is_held_for_good():
    body = Body(release_after_s=0.1)
    body.tick(np.zeros(2))

    held = body.run(5.0)
    body.commander.release()

    assert None not in held
    assert body.tick(np.zeros(2)) is not None
    assert body.commander.released
    assert body.phase is Phase.HOLDING


def test_a_stale_state_keeps_goals_where_they_are():
    body = Body(release_after_s=99.0)
    moving = told(body.run(0.1, np.zeros(2))[-1])
    body.measured = None
    body.run(0.2, np.zeros(2))
    stuck = told(body.tick(np.zeros(2)))

    assert told(body.run(1.0, np.zeros(2))[-1]) == stuck
    assert abs(stuck[0] - moving[0]) < 0.25
    assert body.phase is Phase.UNMEASURED


def test_after_a_pause_goals_go_on_slowly():
    joints = follower()
    joints.measure(HERE, 0.0)
    joints.follow(np.zeros(2), 0.0)
    joints.measure(HERE, 10.0)

    goal = joints.follow(np.zeros(2), 10.0)

    assert goal is not None
    assert np.abs(goal - HERE).max() <= 0.05 + 1e-9


def test_the_weight_rises_and_stays():
    body = Body(ramp_s=2.0)

    rising = weights(body.run(2.5, HERE))

    assert rising[0] == 0.0
    assert max(np.diff(rising)) == pytest.approx(TICK_S / 2.0)
    assert rising[100] == pytest.approx(0.5)
    assert rising[-40:] == [1.0] * 40


def test_the_weight_falls_when_the_body_is_released_whatever_is_commanded():
    body = Body(ramp_s=2.0)
    body.run(3.0, HERE)
    body.commander.release()

    falling = body.run(2.5, np.zeros(2))

    found = weights(falling)
    assert found[0] == pytest.approx(1.0 - TICK_S / 2.0)
    assert min(np.diff(found)) == pytest.approx(-TICK_S / 2.0)
    assert found[-1] == 0.0
    # Zero is said more than once, and then nothing.
    assert 8 <= found.count(0.0) <= 12
    assert falling[-1] is None
    assert body.commander.released
    assert all(told(goal) == HERE.tolist() for goal in falling if goal)


def test_a_body_is_not_released_before_the_ramp_is_over():
    body = Body(ramp_s=2.0)
    body.run(3.0, HERE)
    body.commander.release()
    body.run(1.0)

    assert body.phase is Phase.RELEASING
    assert not body.commander.released


def test_a_body_that_starves_is_given_back():
    body = Body(ramp_s=1.0, release_after_s=2.0)
    body.run(2.0, HERE)

    assert weights(body.run(1.9))[-1] == 1.0
    assert body.phase is Phase.HOLDING
    assert weights(body.run(1.3))[-1] == 0.0
    assert body.phase is Phase.SILENT


def test_a_body_whose_state_is_stale_for_long_is_given_back():
    body = Body(ramp_s=1.0, release_after_s=2.0)
    body.run(2.0, HERE)
    body.measured = None

    assert weights(body.run(3.5, HERE))[-1] == 0.0
    assert body.commander.released


def test_a_command_takes_a_body_over_again_from_where_it_is_then():
    body = Body(ramp_s=1.0, release_after_s=0.5)
    body.run(2.0, np.zeros(2))
    body.run(1.0)
    assert body.phase is Phase.RELEASING
    body.measured = np.array([0.2, 0.3])

    again = body.run(2.0, np.zeros(2))

    assert told(again[0]) == pytest.approx([0.2, 0.3])
    found = weights(again)
    assert 0.0 < found[0] < 1.0
    assert min(np.diff(found)) >= 0.0
    assert found[-1] == 1.0
    assert told(again[-1]) == [0.0, 0.0]


def test_a_body_can_be_begun_with_anew():
    body = Body(ramp_s=1.0)
    body.run(2.0, np.zeros(2))
    body.commander.release()
    body.commander.begin()
    body.measured = np.array([0.2, 0.3])

    assert body.tick() is None
    assert told(body.tick(np.zeros(2))) == [0.2, 0.3]
    assert body.phase is Phase.FOLLOWING


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(-5, 5)),  # what is commanded
            st.booleans(),  # whether the body is measured
            st.floats(0.001, 0.5),  # how long it takes until the next tick
        ),
        max_size=60,
    )
)
def test_goals_and_weights_never_jump(ticks: list[tuple[float | None, bool, float]]):
    body = Body(ramp_s=1.0, release_after_s=0.6)
    before: BodyGoal | None = None
    for target, measured, pause_s in ticks:
        body.now_s += pause_s
        if measured:
            body.joints.measure(HERE, body.now_s)
        wanted = NOTHING if target is None else np.full(2, target)
        goal = body.commander.tick(wanted, body.now_s)
        if goal is None:
            assert before is None or before.weight == 0.0
        else:
            weight = 0.0 if before is None else before.weight
            assert abs(goal.weight - weight) <= 0.05 + 1e-9
            start = HERE if before is None else before.position
            moved = np.abs(goal.position - start).max()
            assert moved <= 0.05 + 1e-9 or goal.position.tolist() == HERE.tolist()
            assert -1.0 <= goal.position[0] <= 1.0
        before = goal


def test_the_message_drives_the_motors_with_their_gains():
    position = np.linspace(-0.5, 0.5, 29)

    message = low_cmd(SPEC, BodyGoal(position, 0.75), 5, weighted=True)

    assert (message.mode_pr, message.mode_machine) == (0, 5)
    assert [motor.mode for motor in message.motor_cmd] == [1] * 29 + [0] * 6
    assert [motor.q for motor in message.motor_cmd] == [*position, 0.75, *[0.0] * 5]
    # A leg, an ankle, the waist, a shoulder, a wrist, and nothing.
    gains = [(message.motor_cmd[it].kp, message.motor_cmd[it].kd) for it in (3, 4, 12, 15, 28, 29)]
    assert gains == [(300, 3), (80, 3), (300, 3), (80, 3), (40, 1.5), (0, 0)]
    assert not any(motor.dq or motor.tau or motor.reserve for motor in message.motor_cmd)
    assert message.crc == crc_of(message, f"{HG}LowCmd_")


@given(st.integers(0, 8 * 1000 - 1))
def test_an_independent_reader_drops_a_command_with_a_flipped_bit(bit: int):
    goal = BodyGoal(np.linspace(-0.5, 0.5, 29), 0.75)
    written = bytearray(low_cmd(SPEC, goal, 5, weighted=True).serialize())
    theirs = idl_type(f"{HG}LowCmd_")
    received = theirs.deserialize(bytes(written))
    assert received.crc == crc_of(received, f"{HG}LowCmd_")

    written[4 + bit // 8] ^= 1 << bit % 8

    flipped = theirs.deserialize(bytes(written))
    # Bytes that only fill a gap carry nothing.
    assert flipped == received or flipped.crc != crc_of(flipped, f"{HG}LowCmd_")


def test_a_weight_is_said_for_arm_sdk_alone():
    message = low_cmd(SPEC, BodyGoal(np.zeros(29), 0.75), 0, weighted=False)

    assert message.motor_cmd[29].q == 0.0


def test_the_hands_are_told_in_the_wires_order():
    message = hand_cmds(np.linspace(0.0, 1.0, 12))

    assert [motor.q for motor in message.cmds] == np.linspace(0.0, 1.0, 12).tolist()
