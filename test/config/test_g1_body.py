# SPDX-License-Identifier: Apache-2.0
"""The G1's URDF against the tables of Unitree's, typed here by hand."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from vla_ros.core.config_files import config_file
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.robot_spec import load_robot_spec

ROBOT = load_robot_spec(config_file("robots", "g1_inspire"))
assert ROBOT.urdf is not None
BODY = Kinematics.from_file(ROBOT.urdf)
ZERO = dict.fromkeys(BODY.joints, 0.0)

LIMITS = {
    "waist_yaw_joint": (-2.618, 2.618),
    "waist_pitch_joint": (-0.52, 0.52),
    "left_shoulder_pitch_joint": (-3.0892, 2.6704),
    "left_shoulder_roll_joint": (-1.5882, 2.2515),
    "right_shoulder_roll_joint": (-2.2515, 1.5882),
    "right_shoulder_yaw_joint": (-2.618, 2.618),
    "right_elbow_joint": (-1.0472, 2.0944),
    "right_wrist_roll_joint": (-1.9722, 1.9722),
    "right_wrist_yaw_joint": (-1.6144, 1.6144),
    "R_thumb_proximal_yaw_joint": (-0.1, 1.3),
    "R_thumb_proximal_pitch_joint": (-0.1, 0.6),
    "L_pinky_proximal_joint": (0.0, 1.7),
}
FOLLOWERS = {
    "thumb_intermediate_joint": ("thumb_proximal_pitch_joint", 1.6),
    "thumb_distal_joint": ("thumb_proximal_pitch_joint", 2.4),
    "index_intermediate_joint": ("index_proximal_joint", 1.0),
    "middle_intermediate_joint": ("middle_proximal_joint", 1.0),
    "ring_intermediate_joint": ("ring_proximal_joint", 1.0),
    "pinky_intermediate_joint": ("pinky_proximal_joint", 1.0),
}


def at(link: str, **moved: float) -> np.ndarray:
    """(4, 4) Pose of a link, all joints but the named ones at zero."""
    return BODY.pose(link, {**ZERO, **moved})


def test_it_begins_at_the_pelvis():
    assert BODY.root == "pelvis"


@pytest.mark.parametrize(("joint", "limits"), LIMITS.items())
def test_limits(joint: str, limits: tuple[float, float]):
    assert (BODY.joints[joint].lower, BODY.joints[joint].upper) == pytest.approx(limits, abs=1e-4)


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize(("follower", "leads"), FOLLOWERS.items())
def test_fingers_follow(side: str, follower: str, leads: tuple[str, float]):
    mimic = BODY.joints[f"{side}_{follower}"].mimic

    assert mimic is not None
    assert (mimic.joint, mimic.multiplier, mimic.offset) == (f"{side}_{leads[0]}", leads[1], 0.0)


def test_what_is_commanded_is_there_and_within_its_limits():
    for interface, limits in ROBOT.limits.items():
        joint = BODY.joints[interface.rpartition("/")[0]]
        assert joint.lower - 1e-4 <= limits.lower < limits.upper <= joint.upper + 1e-4
        assert joint.mimic is None


@pytest.mark.parametrize(("hand", "side"), [("L_hand_base_link", 1.0), ("R_hand_base_link", -1.0)])
def test_at_zero_fingers_point_forward_and_palms_face_each_other(hand: str, side: float):
    pose = at(hand)
    fingers, palm = -pose[:3, 1], -pose[:3, 0]

    np.testing.assert_allclose(fingers, [1.0, 0.0, 0.0], atol=2e-3)
    np.testing.assert_allclose(palm, [0.0, -side, 0.0], atol=2e-3)
    assert 0.1 < side * pose[1, 3] < 0.2


@pytest.mark.parametrize(("letter", "side"), [("L", 1.0), ("R", -1.0)])
def test_fingers_close_towards_the_palm_and_the_thumb_against_them(letter: str, side: float):
    wrist = np.linalg.inv(at(f"{letter}_hand_base_link"))

    def tip(link: str, **moved: float) -> np.ndarray:
        return (wrist @ at(f"{letter}_{link}", **moved))[:3, 3]

    for finger in ("index", "middle", "ring", "pinky"):
        straight = tip(f"{finger}_intermediate")
        bent = tip(f"{finger}_intermediate", **{f"{letter}_{finger}_proximal_joint": 1.0})
        assert bent[0] < straight[0] - 0.02
    aside = tip("thumb_distal")
    opposed = tip("thumb_distal", **{f"{letter}_thumb_proximal_yaw_joint": 1.3})
    assert opposed[0] < aside[0] - 0.04
    index = tip("index_proximal")
    assert np.sign(index[2]) == side, "the index finger is on the thumb's side"


def test_arms_mirror_each_other():
    for link in ("shoulder_pitch_link", "elbow_link", "wrist_yaw_link"):
        left, right = at(f"left_{link}")[:3, 3], at(f"right_{link}")[:3, 3]
        np.testing.assert_allclose(left, right * [1.0, -1.0, 1.0], atol=1e-4)


def test_every_link_with_a_mass_has_a_shape_and_a_sound_inertia():
    root = ET.parse(ROBOT.urdf).getroot()
    masses = 0.0
    for link in root.findall("link"):
        inertial = link.find("inertial")
        if inertial is None:
            continue
        masses += float(inertial.find("mass").get("value"))
        inertia = inertial.find("inertia")
        moments = sorted(float(inertia.get(key)) for key in ("ixx", "iyy", "izz"))
        assert 0.0 < moments[0] <= moments[2] < moments[0] + moments[1] + 1e-9
        shapes = [shape.tag for shape in link.findall("./visual/geometry/*")]
        assert shapes
        assert set(shapes) <= {"box", "cylinder"}
        assert [shape.tag for shape in link.findall("./collision/geometry/*")] == shapes
    assert 18.0 < masses < 22.0


def test_the_head_camera_is_where_unitrees_is():
    geometry = ROBOT.cameras["head"].geometry
    assert geometry is not None
    camera = BODY.joints["d435_joint"]

    assert geometry.parent_link == camera.parent
    np.testing.assert_allclose(geometry.position_m, camera.origin[:3, 3], atol=1e-3)
    assert geometry.rpy_rad[0] == pytest.approx(-0.5 * math.pi - 0.83078, abs=1e-3)
