# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.workspace import Workspace, WorkspaceSpec, read_workspace
from vla_ros.core.yaml_file import parse

TEXT = "link: tip\nlower_m: [0.2, -0.5, 0.0]\nupper_m: [1, 0.5, 1.0]\nmax_speed_m_s: 0.25\n"
NAMES = ("jaw/position", "lift/position", "turn/position")
# A slide along z, a turn about z, a tip half a metre ahead.
ARM = Kinematics.from_text(
    """
<robot name="arm">
  <joint name="lift" type="prismatic">
    <parent link="base"/><child link="column"/>
    <axis xyz="0 0 1"/><limit lower="0" upper="2"/>
  </joint>
  <joint name="turn" type="revolute">
    <parent link="column"/><child link="arm"/>
    <axis xyz="0 0 1"/><limit lower="-2" upper="2"/>
  </joint>
  <joint name="end" type="fixed">
    <parent link="arm"/><child link="tip"/><origin xyz="0.5 0 0"/>
  </joint>
  <joint name="jaw" type="revolute">
    <parent link="tip"/><child link="finger"/><axis xyz="0 0 1"/><limit lower="0" upper="1"/>
  </joint>
</robot>
""",
    source="arm.urdf",
)


def read(text: str) -> WorkspaceSpec:
    section = parse(text, source="robot.yaml")
    spec = read_workspace(section)
    section.finish()
    return spec


WORKSPACE = Workspace(read(TEXT), ARM, NAMES)
ANY_SPEED = Workspace(read(TEXT.replace("max_speed_m_s: 0.25\n", "")), ARM, NAMES)


def test_it_is_read():
    assert read(TEXT) == WorkspaceSpec("tip", (0.2, -0.5, 0.0), (1.0, 0.5, 1.0), 0.25)
    assert read(TEXT.replace("max_speed_m_s: 0.25\n", "")).max_speed_m_s is None


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("link: tip\n", "", "link: required string is missing"),
        ("[0.2, -0.5, 0.0]", "[0.2, -0.5]", "lower_m: must be a list of 3 numbers"),
        ("upper_m", "top_m", "upper_m: required list is missing"),
        ("[1, 0.5, 1.0]", "[1, -0.5, 1.0]", "y of lower_m, -0.5, must be less than of upper_m, -0"),
        ("0.25", "0", "max_speed_m_s: must be > 0, found 0.0"),
        (
            "max_speed_m_s",
            "max_speed",
            "max_speed: unknown key (known here: link, lower_m, max_spe",
        ),
    ],
)
def test_a_bad_one_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, "robot.yaml: ", problem):
        read(changed(TEXT, old, new))


@pytest.mark.parametrize(
    ("lift", "turn", "outside_m"),
    [
        (0.5, 0.0, 0.0),
        (1.0, 0.0, 0.0),
        (1.3, 0.0, 0.3),
        (-0.2, 0.0, 0.2),
        (0.5, math.pi / 2, 0.2),
        (1.3, math.pi / 2, math.hypot(0.3, 0.2)),
    ],
)
def test_it_tells_how_far_the_link_is_outside(lift: float, turn: float, outside_m: float):
    for jaw in (0.0, 1.0):
        positions = np.array([jaw, lift, turn])
        assert WORKSPACE.outside_m(positions) == pytest.approx(outside_m, abs=1e-12)


@given(st.floats(-2.0, 2.0), st.floats(-2.0, 2.0), st.floats(-2.0, 2.0))
def test_it_tells_how_fast_the_link_may_move(turn: float, slide_m_s: float, turn_rad_s: float):
    motion = np.array([0.0, 0.5, turn]), np.array([9.0, slide_m_s, turn_rad_s])
    speed_m_s = math.hypot(slide_m_s, 0.5 * turn_rad_s)

    assert WORKSPACE.speed_share(*motion) * speed_m_s == pytest.approx(min(speed_m_s, 0.25))
    assert ANY_SPEED.speed_share(*motion) == 1.0


@pytest.mark.parametrize(
    ("lift", "next_lift", "may"),
    [(0.5, 1.0, True), (0.9, 1.1, False), (1.3, 1.2, True), (1.3, 1.3, True), (1.3, 1.4, False)],
)
def test_the_link_may_stay_inside_and_come_nearer_from_outside(
    lift: float, next_lift: float, may: bool
):
    stop, next_stop = np.array([0.0, lift, 0.0]), np.array([0.0, next_lift, 0.0])
    assert WORKSPACE.may_go(stop, next_stop) is may


def test_its_greatest_speed_is_at_hand():
    assert WORKSPACE.max_speed_m_s == 0.25


def test_a_link_that_is_not_in_the_urdf_is_refused():
    with refused(ConfigError, "arm.urdf: link 'hand' does not exist; there are base, column, arm"):
        Workspace(read(TEXT.replace("tip", "hand")), ARM, NAMES)


def test_a_joint_that_is_not_commanded_is_not_taken_for_zero():
    with refused(ConfigError, "link 'tip' is moved by lift as well", "told from jaw, turn"):
        Workspace(read(TEXT), ARM, ("jaw/position", "turn/position"))
