# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.urdf import Joint, Mimic, parse_joints, read_joints

URDF = """
<robot name="arm">
  <link name="base"/>
  <joint name="lift" type="prismatic">
    <parent link="base"/><child link="column"/>
    <origin xyz="0 0 0.1" rpy="0 0 1.5"/>
    <axis xyz="0 0 2"/>
    <limit lower="-0.2" upper="0.3" effort="1" velocity="1"/>
  </joint>
  <joint name="turn" type="continuous">
    <parent link="column"/><child link="arm"/>
  </joint>
  <joint name="thumb" type="revolute">
    <parent link="arm"/><child link="tip"/><axis xyz="0 1 0"/>
    <limit lower="0" upper="1"/>
    <mimic joint="turn" multiplier="-2" offset="0.5"/>
  </joint>
  <joint name="tool" type="fixed"><parent link="tip"/><child link="camera"/></joint>
</robot>
"""


def joints(text: str = URDF) -> dict[str, Joint]:
    return {joint.name: joint for joint in parse_joints(text, source="arm.urdf")}


def test_all_joints_are_read_in_order():
    assert tuple(joints()) == ("lift", "turn", "thumb", "tool")


def test_a_prismatic_joint():
    lift = joints()["lift"]

    assert (lift.kind, lift.parent, lift.child) == ("prismatic", "base", "column")
    assert (lift.lower, lift.upper, lift.mimic) == (-0.2, 0.3, None)
    np.testing.assert_allclose(lift.origin[:3, 3], [0.0, 0.0, 0.1])
    assert math.atan2(lift.origin[1, 0], lift.origin[0, 0]) == pytest.approx(1.5)
    np.testing.assert_allclose(lift.axis, [0.0, 0.0, 1.0])


def test_a_continuous_joint_has_no_limits_and_urdfs_own_defaults():
    turn = joints()["turn"]

    assert (turn.kind, turn.lower, turn.upper) == ("revolute", -math.inf, math.inf)
    np.testing.assert_allclose(turn.origin, np.eye(4))
    np.testing.assert_allclose(turn.axis, [1.0, 0.0, 0.0])


def test_a_joint_that_mimics():
    assert joints()["thumb"].mimic == Mimic("turn", -2.0, 0.5)


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "arm.urdf"
    path.write_text(URDF)

    assert [joint.name for joint in read_joints(path)] == list(joints())


def test_a_file_that_does_not_exist_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.urdf", "cannot be read"):
        read_joints(tmp_path / "none.urdf")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path):
    path = tmp_path / "arm.urdf"
    path.write_bytes(b"\xff\xfe\x00")

    with refused(ConfigError, "arm.urdf", "cannot be read"):
        read_joints(path)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("</robot>", "", ["not valid XML"]),
        ('<robot name="arm">', "<robot><robot>", ["not valid XML"]),
        ('type="prismatic"', 'type="planar"', ["lift", "'planar'", "prismatic"]),
        ('type="prismatic"', "", ["lift", "None"]),
        ('name="lift" ', "", ["without a name"]),
        ('<parent link="base"/>', "", ["lift", "<parent> is missing"]),
        ('<child link="column"/>', "<child/>", ["lift", "<child> has no link"]),
        ('xyz="0 0 0.1"', 'xyz="0 0"', ["lift", "xyz", "3", "'0 0'"]),
        ('xyz="0 0 0.1"', 'xyz="0 0 up"', ["lift", "xyz", "'0 0 up'"]),
        ('xyz="0 0 0.1"', 'xyz="0 0 inf"', ["lift", "xyz", "finite"]),
        ('<axis xyz="0 0 2"/>', '<axis xyz="0 0 0"/>', ["lift", "axis"]),
        ('lower="-0.2"', 'lower="0.4"', ["lift", "0.4", "0.3"]),
        ('<limit lower="0" upper="1"/>', "", ["thumb", "<limit> is missing"]),
        ('name="turn"', 'name="lift"', ["lift", "more than once"]),
        ('<mimic joint="turn"', '<mimic joint="hand"', ["thumb", "hand", "does not exist"]),
        ('<mimic joint="turn"', "<mimic", ["thumb", "<mimic> has no joint"]),
    ],
)
def test_a_malformed_file_is_refused(old: str, new: str, parts: list[str]):
    with refused(ConfigError, "arm.urdf", *parts):
        joints(changed(URDF, old, new))


@pytest.mark.parametrize(
    ("text", "part"), [("<sdf/>", "found <sdf>"), ("<robot/>", "has no <joint>")]
)
def test_what_is_not_a_robot_is_refused(text: str, part: str):
    with refused(ConfigError, "arm.urdf", part):
        joints(text)
