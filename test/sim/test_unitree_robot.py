# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from test.core.refusals import refused
from test.support.simulated_g1 import g1, g1_table, g1_world
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.crc import is_intact, sealed
from vla_ros.drivers.unitree.idl_go import MotorCmd, MotorCmds
from vla_ros.drivers.unitree.idl_hg import LowCmd
from vla_ros.sim.unitree_robot import UnitreeRobot

UNITREE = load_unitree_spec(config_file("unitree", "g1_inspire"))
# Of Unitree's motor order: the arms' first and last place, and the right shoulder's pitch.
ARMS, RIGHT_SHOULDER_PITCH, WAIST_YAW, LEFT_KNEE = range(15, 29), 22, 12, 3


@pytest.fixture
def robot() -> UnitreeRobot:
    g1_world().reset(0)
    return UnitreeRobot(g1_world(), g1(), UNITREE)


def command(robot: UnitreeRobot, **moved: float) -> LowCmd:
    """Stay as measured, except at places such as ``at_22``."""
    made = LowCmd()
    for place, motor in enumerate(robot.body_state().motor_state):
        made.motor_cmd[place].q = moved.get(f"at_{place}", motor.q)
    return sealed(made)


def after(robot: UnitreeRobot, time_s: float) -> list[float]:
    """The body's positions by place."""
    g1_world().advance(g1_world().time_s + time_s)
    robot.look()
    return [motor.q for motor in robot.body_state().motor_state]


def test_the_arms_follow_a_command(robot: UnitreeRobot):
    start = after(robot, 0.0)
    goals = {f"at_{place}": start[place] - 0.1 for place in ARMS}

    assert robot.follow_body(command(robot, **goals))
    reached = after(robot, 2.0)

    for place in ARMS:
        assert reached[place] == pytest.approx(start[place] - 0.1, abs=0.02), place


def test_legs_and_waist_follow_nobody(robot: UnitreeRobot):
    assert robot.follow_body(command(robot, at_12=1.0, at_3=1.0))

    reached = after(robot, 1.0)

    assert reached[WAIST_YAW] == reached[LEFT_KNEE] == 0.0


def test_a_command_with_a_wrong_checksum_is_dropped(robot: UnitreeRobot):
    start = after(robot, 0.0)
    bad = command(robot, at_22=start[RIGHT_SHOULDER_PITCH] - 0.3)
    bad.motor_cmd[0].kp = 1.0

    assert not robot.follow_body(bad)
    assert after(robot, 1.0)[RIGHT_SHOULDER_PITCH] == pytest.approx(
        start[RIGHT_SHOULDER_PITCH], abs=0.01
    )


def test_what_is_no_number_moves_nothing(robot: UnitreeRobot):
    start = after(robot, 0.0)

    assert robot.follow_body(command(robot, at_22=math.nan, at_23=0.0))
    assert robot.follow_hands(MotorCmds([MotorCmd(q=math.nan)] + [MotorCmd(q=0.5)] * 11))

    assert after(robot, 1.0)[23] == pytest.approx(start[23], abs=0.01)


def test_the_hands_close_at_zero_and_open_at_one(robot: UnitreeRobot):
    assert robot.follow_hands(MotorCmds([MotorCmd(q=0.0)] * 6 + [MotorCmd(q=1.5)] * 6))

    after(robot, 2.0)

    right, left = (
        [hand.q for hand in robot.hands_state().states[:6]],
        robot.hands_state().states[6:],
    )
    assert right == pytest.approx([0.0] * 6, abs=0.02)
    assert [hand.q for hand in left] == pytest.approx([1.0] * 6, abs=0.02)
    positions = g1_world().state(
        ("R_pinky_proximal_joint/position", "R_thumb_proximal_yaw_joint/position")
    )
    assert positions == pytest.approx([1.7, 1.3], abs=0.02)
    assert g1_world().state(("L_thumb_proximal_yaw_joint/position",)) == pytest.approx(
        -0.1, abs=0.02
    )


def test_too_few_values_of_the_hands_are_ignored(robot: UnitreeRobot):
    assert not robot.follow_hands(MotorCmds([MotorCmd(q=0.0)] * 11))
    assert robot.follow_hands(MotorCmds([MotorCmd(q=1.0)] * 13))


def test_each_message_is_numbered_and_sealed_and_says_what_was_looked_at(robot: UnitreeRobot):
    first = robot.body_state()
    robot.follow_body(command(robot, at_22=-1.0))
    g1_world().advance(0.5)

    second = robot.body_state()
    robot.look()
    third = robot.body_state()

    assert is_intact(first)
    assert is_intact(third)
    assert second.tick == third.tick - 1
    assert third.tick > first.tick
    assert third.motor_state[RIGHT_SHOULDER_PITCH].q < 0.3
    assert third.motor_state[RIGHT_SHOULDER_PITCH].dq != 0.0
    assert third.mode_machine == 0
    assert third.imu_state.quaternion == [0.0, 0.0, 0.0, 1.0]


def test_after_a_reset_old_commands_are_forgotten(robot: UnitreeRobot):
    robot.follow_body(command(robot, at_22=-1.0))
    after(robot, 1.0)
    g1_world().reset(1)
    robot.begin()
    start = after(robot, 0.0)

    robot.follow_hands(MotorCmds([MotorCmd(q=1.0)] * 12))

    assert after(robot, 1.0)[RIGHT_SHOULDER_PITCH] == pytest.approx(
        start[RIGHT_SHOULDER_PITCH], abs=0.01
    )


def test_the_reward_is_the_judges_word(robot: UnitreeRobot):
    assert json.loads(robot.rewards(12.5)) == {"rewards": [0.0], "timestamp": 12.5}
    x, y = g1_world().plate_xy_m()
    (name,) = g1_table().objects
    height_m = g1_table().plate.height_m + 0.5 * g1_table().objects[name].height_m
    g1_world().place_object(name, (x, y, height_m + 0.001))
    for _ in range(8):
        after(robot, 0.2)

    assert json.loads(robot.rewards(13.0))["rewards"] == [1.0]


def test_the_scene_is_told_in_isaac_labs_form(robot: UnitreeRobot):
    told = json.loads(robot.sim_state("Isaac-Task"))
    scene = json.loads(told["init_state"])

    assert told["task_name"] == "Isaac-Task"
    assert scene.keys() == {"articulation", "deformable_object", "rigid_object"}
    body = scene["articulation"]["robot"]
    assert len(body["joint_position"][0]) == len(body["joint_velocity"][0]) == 29 + 12
    assert body["root_pose"] == [[*g1_table().base_m, 1.0, 0.0, 0.0, 0.0]]
    (name,) = g1_table().objects
    assert scene["rigid_object"][name]["root_pose"][0][:3] == pytest.approx(
        g1_world().object_pose(name)[0].tolist()
    )
    assert len(scene["rigid_object"][name]["root_velocity"][0]) == 6


def test_a_hand_that_the_robot_does_not_command_is_refused():
    g1_world().reset(0)
    joint, hand = next(iter(UNITREE.hands.items()))
    others = {name: other for name, other in UNITREE.hands.items() if name != joint}
    wrong = replace(UNITREE, hands={"sixth_finger_joint": hand, **others})

    with refused(ConfigError, "g1_inspire.yaml", "sixth_finger_joint", "command"):
        UnitreeRobot(g1_world(), g1(), wrong)
