# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.kinematics import Kinematics, pose_error
from vla_ros.core.transforms import pose_from, rotation_from_rpy

URDF = """
<robot name="arm">
  <joint name="lift" type="prismatic">
    <parent link="base"/><child link="column"/>
    <origin xyz="0 0 0.1"/><axis xyz="0 0 1"/><limit lower="0" upper="0.5"/>
  </joint>
  <joint name="shoulder" type="revolute">
    <parent link="column"/><child link="upper"/>
    <origin xyz="0.1 0 0"/><axis xyz="0 0 1"/><limit lower="-2" upper="2"/>
  </joint>
  <joint name="elbow" type="revolute">
    <parent link="upper"/><child link="lower"/>
    <origin xyz="0.4 0 0"/><axis xyz="0 0 1"/><limit lower="-2" upper="2"/>
  </joint>
  <joint name="tool" type="fixed">
    <parent link="lower"/><child link="tip"/><origin xyz="0.3 0 0"/>
  </joint>
  <joint name="finger" type="revolute">
    <parent link="tip"/><child link="finger_link"/>
    <axis xyz="0 1 0"/><limit lower="0" upper="1"/>
  </joint>
  <joint name="finger_end" type="revolute">
    <parent link="finger_link"/><child link="nail"/>
    <origin xyz="0.05 0 0"/><axis xyz="0 1 0"/><limit lower="0" upper="2"/>
    <mimic joint="finger" multiplier="1.5" offset="0.1"/>
  </joint>
</robot>
"""
MOVING = ("lift", "shoulder", "elbow", "finger")
REST = {"lift": 0.2, "shoulder": 0.3, "elbow": 0.5, "finger": 0.4}

within_limits = st.fixed_dictionaries(
    {
        "lift": st.floats(0.0, 0.5),
        "shoulder": st.floats(-2.0, 2.0),
        "elbow": st.floats(-2.0, 2.0),
        "finger": st.floats(0.0, 1.0),
    }
)


def arm(text: str = URDF) -> Kinematics:
    return Kinematics.from_text(text, source="arm.urdf")


ARM = arm()


def test_the_tree_is_known():
    assert ARM.root == "base"
    assert ARM.links == ("base", "column", "upper", "lower", "tip", "finger_link", "nail")
    assert ARM.chain("base") == ()
    assert ARM.chain("tip") == ("lift", "shoulder", "elbow")
    assert ARM.chain("nail") == MOVING


def test_a_file_is_read(tmp_path: Path):
    path = tmp_path / "arm.urdf"
    path.write_text(URDF)

    assert Kinematics.from_file(path).links == ARM.links


def test_the_root_stays():
    np.testing.assert_allclose(ARM.pose("base", {}), np.eye(4))


def test_it_is_the_same_robot_in_another_frame():
    table = pose_from(rotation_from_rpy((0.0, 0.0, 0.5)), (1.0, 2.0, -0.3))

    stood = arm().standing_on("table", table)

    assert stood.root == "table"
    np.testing.assert_allclose(stood.pose("nail", REST), table @ arm().pose("nail", REST))
    assert stood.chain("nail") == arm().chain("nail")


def test_another_frame_must_not_be_one_of_the_links():
    with refused(ConfigError, "arm.urdf", "root"):
        arm().standing_on("tip", np.eye(4))


def test_forward_kinematics_of_a_plane_arm():
    pose = ARM.pose("tip", REST)

    shoulder, both = 0.3, 0.8
    np.testing.assert_allclose(
        pose[:3, 3],
        [
            0.1 + 0.4 * math.cos(shoulder) + 0.3 * math.cos(both),
            0.4 * math.sin(shoulder) + 0.3 * math.sin(both),
            0.3,
        ],
    )
    assert math.atan2(pose[1, 0], pose[0, 0]) == pytest.approx(both)


def test_a_joint_that_mimics_moves_along():
    finger = ARM.pose("finger_link", REST)
    nail = ARM.pose("nail", REST)

    bend = finger[:3, :3].T @ nail[:3, :3]
    assert math.atan2(bend[0, 2], bend[0, 0]) == pytest.approx(1.5 * 0.4 + 0.1)


@given(within_limits)
def test_the_jacobian_is_the_derivative(positions: dict[str, float]):
    pose, jacobian = ARM.jacobian("nail", positions, MOVING)

    np.testing.assert_allclose(pose, ARM.pose("nail", positions))
    for column, name in enumerate(MOVING):
        step = 1e-6
        moved = ARM.pose("nail", {**positions, name: positions[name] + step})
        np.testing.assert_allclose(jacobian[:, column], pose_error(moved, pose) / step, atol=1e-4)


def test_a_joint_that_does_not_move_the_link_has_a_column_of_zeros():
    _, jacobian = ARM.jacobian("upper", REST, ("shoulder", "elbow"))

    assert jacobian[:, 0].any()
    assert not jacobian[:, 1].any()


@given(within_limits)
def test_inverse_kinematics_finds_a_reachable_position(positions: dict[str, float]):
    target = ARM.pose("tip", positions)
    start = {**REST, "elbow": math.copysign(0.5, positions["elbow"])}

    found = ARM.solve("tip", target, start, ("lift", "shoulder", "elbow"), rotation_weight_m=0.0)

    reached = ARM.pose("tip", {**REST, **dict(zip(MOVING, found.positions.tolist(), strict=False))})
    assert np.linalg.norm(reached[:3, 3] - target[:3, 3]) == pytest.approx(
        found.position_error_m, abs=1e-9
    )
    if found.converged:
        assert found.position_error_m < 1e-4
    # A straight or folded elbow is singular, and the last bit of the way there takes long.
    if 0.2 < abs(positions["elbow"]) < 1.8 and abs(positions["shoulder"]) < 1.0:
        assert found.position_error_m < 2e-3


def test_inverse_kinematics_meets_a_whole_pose():
    goal = {"lift": 0.4, "shoulder": -0.7, "elbow": 1.1}

    found = ARM.solve("tip", ARM.pose("tip", goal), REST, tuple(goal), tolerance_m=1e-7)

    assert found.converged
    np.testing.assert_allclose(found.positions, list(goal.values()), atol=1e-5)
    assert found.rotation_error_rad < 1e-5


def test_what_is_out_of_reach_is_approached_within_the_limits():
    target = pose_from(rotation_from_rpy((0.0, 0.0, 0.0)), (2.0, 0.0, 3.0))

    found = ARM.solve("tip", target, REST, ("lift", "shoulder", "elbow"), rotation_weight_m=0.0)

    assert not found.converged
    assert found.positions[0] == 0.5
    reached = ARM.pose("tip", {**REST, **dict(zip(MOVING, found.positions.tolist(), strict=False))})
    assert reached[0, 3] == pytest.approx(0.8, abs=0.01)
    assert found.position_error_m > 1.0


def test_a_start_outside_of_the_limits_is_brought_back():
    found = ARM.solve(
        "tip", ARM.pose("tip", REST), {**REST, "lift": 9.0}, ("lift",), max_iterations=0
    )

    assert found.positions.tolist() == [0.5]


def test_joints_that_are_not_to_move_stay():
    target = ARM.pose("tip", {**REST, "lift": 0.35})

    found = ARM.solve("tip", target, REST, ("lift",))

    assert found.converged
    assert found.positions.tolist() == pytest.approx([0.35], abs=1e-3)


def test_a_pose_error_is_a_distance_and_a_turn():
    pose = pose_from(rotation_from_rpy((0.1, 0.2, 0.3)), (1.0, 2.0, 3.0))
    target = pose_from(rotation_from_rpy((0.0, 0.0, 0.5)) @ pose[:3, :3], (1.5, 2.0, 3.0))

    np.testing.assert_allclose(pose_error(target, pose), [0.5, 0, 0, 0, 0, 0.5], atol=1e-12)


def test_an_unknown_link_is_refused():
    with refused(ConfigError, "arm.urdf", "'hand'", "tip"):
        ARM.pose("hand", REST)


def test_an_unknown_joint_is_refused():
    with refused(ConfigError, "arm.urdf", "wrist"):
        ARM.solve("tip", np.eye(4), REST, ("lift", "wrist"))


@pytest.mark.parametrize("missing", ["elbow", "finger"])
def test_a_position_that_is_not_given_is_refused(missing: str):
    given_positions = {name: value for name, value in REST.items() if name != missing}

    with refused(ConfigError, "arm.urdf", f"joint {missing}"):
        ARM.pose("nail", given_positions)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (
            '<parent link="upper"/><child link="lower"/>',
            '<parent link="upper"/><child link="column"/>',
            ["child of more than one"],
        ),
        (
            '<parent link="upper"/><child link="lower"/>',
            '<parent link="island"/><child link="lower"/>',
            ["exactly one root", "base, island"],
        ),
        (
            '<parent link="upper"/><child link="lower"/>',
            '<parent link="nail"/><child link="lower"/>',
            ["circle"],
        ),
        (
            '<parent link="base"/><child link="column"/>',
            '<parent link="nail"/><child link="column"/>',
            ["exactly one root", "found none"],
        ),
    ],
)
def test_joints_that_form_no_tree_are_refused(old: str, new: str, parts: list[str]):
    with refused(ConfigError, "arm.urdf", *parts):
        arm(changed(URDF, old, new))
