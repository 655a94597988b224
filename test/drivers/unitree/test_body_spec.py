# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import yaml

from vla_ros.core.config_files import config_file
from vla_ros.core.driver_joints import driver_bounds
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.core.section import Section
from vla_ros.drivers.unitree.body_spec import load_unitree_spec, unitree_spec_from

FILE = config_file("unitree", "g1_inspire")

# Place, joint, least and greatest angle [rad]: g1_29dof_rev_1_0.urdf of unitree_ros, and the order
# of unitree_sim_isaaclab.
BODY = """
0 left_hip_pitch_joint -2.5307 2.8798
1 left_hip_roll_joint -0.5236 2.9671
2 left_hip_yaw_joint -2.7576 2.7576
3 left_knee_joint -0.087267 2.8798
4 left_ankle_pitch_joint -0.87267 0.5236
5 left_ankle_roll_joint -0.2618 0.2618
6 right_hip_pitch_joint -2.5307 2.8798
7 right_hip_roll_joint -2.9671 0.5236
8 right_hip_yaw_joint -2.7576 2.7576
9 right_knee_joint -0.087267 2.8798
10 right_ankle_pitch_joint -0.87267 0.5236
11 right_ankle_roll_joint -0.2618 0.2618
12 waist_yaw_joint -2.618 2.618
13 waist_roll_joint -0.52 0.52
14 waist_pitch_joint -0.52 0.52
15 left_shoulder_pitch_joint -3.0892 2.6704
16 left_shoulder_roll_joint -1.5882 2.2515
17 left_shoulder_yaw_joint -2.618 2.618
18 left_elbow_joint -1.0472 2.0944
19 left_wrist_roll_joint -1.972222054 1.972222054
20 left_wrist_pitch_joint -1.614429558 1.614429558
21 left_wrist_yaw_joint -1.614429558 1.614429558
22 right_shoulder_pitch_joint -3.0892 2.6704
23 right_shoulder_roll_joint -2.2515 1.5882
24 right_shoulder_yaw_joint -2.618 2.618
25 right_elbow_joint -1.0472 2.0944
26 right_wrist_roll_joint -1.972222054 1.972222054
27 right_wrist_pitch_joint -1.614429558 1.614429558
28 right_wrist_yaw_joint -1.614429558 1.614429558
"""
# Of each hand, right first: the finger's joint, and the angles that are 1 and 0 on the wire.
HAND = [
    ("pinky_proximal", 0.0, 1.7),
    ("ring_proximal", 0.0, 1.7),
    ("middle_proximal", 0.0, 1.7),
    ("index_proximal", 0.0, 1.7),
    ("thumb_proximal_pitch", 0.0, 0.5),
    ("thumb_proximal_yaw", -0.1, 1.3),
]
# xr_teleoperate's stiffness and damping.
ARM, WRIST, LEG, ANKLE_PITCH = (80.0, 3.0), (40.0, 1.5), (300.0, 3.0), (80.0, 3.0)


def rows() -> list[tuple[int, str, float, float]]:
    found = []
    for line in BODY.split("\n")[1:-1]:
        place, joint, lower, upper = line.split()
        found.append((int(place), joint, float(lower), float(upper)))
    return found


def data() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def refused(changed: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as refusal:
        unitree_spec_from(Section(changed, source="body.yaml", path=""))
    return str(refusal.value)


def test_every_joint_stands_where_unitree_has_it():
    spec = load_unitree_spec(FILE)

    assert [(motor.place, joint) for joint, motor in spec.motors.items()] == [
        row[:2] for row in rows()
    ]
    assert spec.weight_place == 29
    assert spec.body_interfaces[15] == "left_shoulder_pitch_joint/position"


def test_the_hands_are_those_of_unitree_right_first_and_one_is_open():
    spec = load_unitree_spec(FILE)

    found = [(name, it.place, it.open_rad, it.closed_rad) for name, it in spec.hands.items()]
    assert found == [
        (f"{side}_{finger}_joint", 6 * number + place, opened, closed)
        for number, side in enumerate("RL")
        for place, (finger, opened, closed) in enumerate(HAND)
    ]
    opened = spec.inspire_hands().radians([1.0] * 12)
    assert opened == pytest.approx([angle for _ in "RL" for _, angle, _ in HAND])


def test_the_gains_are_those_of_unitrees_teleoperation():
    gains = {
        name: (it.gains.kp, it.gains.kd) for name, it in load_unitree_spec(FILE).motors.items()
    }

    for joint, found in gains.items():
        if "ankle_pitch" in joint:
            assert found == ANKLE_PITCH
        elif "shoulder" in joint or "elbow" in joint:
            assert found == ARM
        elif "wrist" in joint:
            assert found == WRIST
        elif "ankle" not in joint:
            assert found == LEG, joint


@pytest.mark.parametrize("robot", ["g1_inspire", "g1_inspire_real"])
def test_no_joint_is_commanded_beyond_what_it_can(robot: str):
    described = load_robot_spec(config_file("robots", robot))
    able = {f"{joint}/position": (lower, upper) for _, joint, lower, upper in rows()}
    for side in "RL":
        for finger, opened, closed in HAND:
            able[f"{side}_{finger}_joint/position"] = opened, closed

    lower, upper = driver_bounds(described, described.command_names)

    for name, low, high in zip(described.command_names, lower, upper, strict=True):
        assert able[name][0] <= low < high <= able[name][1], name


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"motors": {}}, "motors: must hold at least one entry, found none"),
        ({"arm_sdk_weight_place": 15}, "arm_sdk_weight_place: place 15 stands for more than one"),
        ({"arm_sdk_weight_place": 35}, "arm_sdk_weight_place: must be in [0, 34], found 35"),
        ({"hands": {}}, "hands: must hold 12 entries, found 0"),
        ({"more": 1}, "more: unknown key"),
        ({"gains": {"leg": {"kp": -1.0, "kd": 0.0}}}, "gains.leg.kp: must be >= 0"),
    ],
)
def test_what_contradicts_itself_is_refused(change: dict[str, Any], text: str):
    assert text in refused({**data(), **change})


@pytest.mark.parametrize(
    ("joint", "change", "text"),
    [
        ("left_knee_joint", {"place": 9}, "motors: place 9 stands for more than one"),
        ("left_knee_joint", {"place": 35}, "motors.left_knee_joint.place: must be in [0, 34]"),
        ("left_knee_joint", {"gains": "arms"}, "must be one of leg, ankle, waist, arm, wrist"),
        ("L_ring_proximal_joint", {"place": 0}, "hands: place 0 stands for more than one"),
        ("L_ring_proximal_joint", {"closed_rad": 0.0}, "joint 7 of the hands must be closed above"),
    ],
)
def test_a_wrong_joint_is_refused(joint: str, change: dict[str, Any], text: str):
    changed = data()
    changed["hands" if joint in changed["hands"] else "motors"][joint].update(change)

    assert text in refused(changed)


def test_a_joint_of_the_hands_is_no_motor_as_well():
    changed = data()
    changed["hands"]["left_knee_joint"] = changed["hands"].pop("L_ring_proximal_joint")

    assert "left_knee_joint is a motor as well" in refused(changed)
