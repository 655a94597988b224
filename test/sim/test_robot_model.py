# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from test.core.refusals import refused
from test.support.simulated_g1 import g1, g1_table
from vla_ros.core.errors import ConfigError
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.urdf import read_joints
from vla_ros.sim.model import build_model
from vla_ros.sim.robot_model import build_robot, joint_of

# Typed from the hands' URDF: who follows whom, and how far.
FOLLOWERS = {
    "R_thumb_intermediate_joint": ("R_thumb_proximal_pitch_joint", 1.6),
    "R_thumb_distal_joint": ("R_thumb_proximal_pitch_joint", 2.4),
    "L_index_intermediate_joint": ("L_index_proximal_joint", 1.0),
    "L_pinky_intermediate_joint": ("L_pinky_proximal_joint", 1.0),
}


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(g1(), g1_table())


def settled(model: mujoco.MjModel, targets: dict[str, float], *, for_s: float) -> mujoco.MjData:
    data = mujoco.MjData(model)
    for name, target in targets.items():
        data.actuator(f"{name}/position").ctrl = target
    mujoco.mj_step(model, data, round(for_s / model.opt.timestep))
    return data


@pytest.mark.parametrize("follower", FOLLOWERS)
def test_a_joint_that_mimics_another_follows_it(model: mujoco.MjModel, follower: str):
    leader, multiplier = FOLLOWERS[follower]

    data = settled(model, {leader: 0.4}, for_s=1.0)

    assert data.joint(leader).qpos[0] == pytest.approx(0.4, abs=0.01)
    assert data.joint(follower).qpos[0] == pytest.approx(0.4 * multiplier, abs=0.002)


def test_each_joint_that_mimics_is_bound_once(model: mujoco.MjModel):
    joints = [joint for joint in read_joints(g1().urdf) if joint.mimic is not None]

    bound = [model.joint(int(side)).name for side in model.eq_obj1id]

    assert sorted(bound) == sorted(joint.name for joint in joints)
    assert len(bound) == 12


def test_a_finger_is_held_back_through_its_bond(model: mujoco.MjModel):
    """What pushes the finger's end is felt by the joint that drives it."""
    data = mujoco.MjData(model)
    for _ in range(500):
        data.qfrc_applied[model.joint("R_index_intermediate_joint").dofadr] = 1.0
        mujoco.mj_step(model, data)

    assert data.joint("R_index_proximal_joint").qpos[0] > 0.1


def test_the_arms_stay_where_they_are_without_gravity_on_them(model: mujoco.MjModel):
    data = settled(model, {"right_shoulder_pitch_joint": -0.8}, for_s=2.0)

    assert data.joint("right_shoulder_pitch_joint").qpos[0] == pytest.approx(-0.8, abs=0.002)
    felt = replace(g1_table(), physics=replace(g1_table().physics, gravity_compensation=0.0))
    sagging = settled(build_model(g1(), felt), {"right_shoulder_pitch_joint": -0.8}, for_s=2.0)
    assert sagging.joint("right_shoulder_pitch_joint").qpos[0] > -0.795


def test_joints_that_the_scene_fixes_do_not_move(model: mujoco.MjModel):
    names = {model.joint(index).name for index in range(model.njnt)}

    assert not names & set(g1_table().fixed_joints)
    assert {joint_of(name) for name in g1().command_names} < names


def test_the_robot_stands_where_the_scene_says_and_as_our_kinematics_has_it(model: mujoco.MjModel):
    data, kinematics = mujoco.MjData(model), Kinematics.from_file(g1().urdf)
    rng, positions = np.random.default_rng(0), dict.fromkeys(g1_table().fixed_joints, 0.0)
    for name in map(joint_of, g1().command_names):
        positions[name] = rng.uniform(*model.joint(name).range)
    for name, value in positions.items():
        if name not in g1_table().fixed_joints:
            data.joint(name).qpos = value
    for follower, (leader, multiplier) in FOLLOWERS.items():
        data.joint(follower).qpos = multiplier * positions[leader]
    mujoco.mj_kinematics(model, data)

    known = {joint.leader for joint in read_joints(g1().urdf)}
    told = {name: value for name, value in positions.items() if name in known}
    for link in ("torso_link", "right_wrist_yaw_link", "R_thumb_distal", "L_index_intermediate"):
        pose = kinematics.pose(link, told)
        expected = pose[:3, 3] + g1_table().base_m
        np.testing.assert_allclose(data.body(link).xpos, expected, atol=1e-9, err_msg=link)


def test_cameras_see_as_coarsely_as_the_scene_says(model: mujoco.MjModel):
    for name, camera in g1().cameras.items():
        scale = g1_table().render_scale
        size = model.cam_resolution[model.camera(name).id].tolist()
        assert size == [camera.width // scale, camera.height // scale]


def test_a_joint_cannot_be_fixed_without_who_follows_it():
    fixed = (*g1_table().fixed_joints, "R_index_intermediate_joint")

    with refused(
        ConfigError, "g1_table.yaml", "fixed_joints", "R_index_intermediate_joint", "both"
    ):
        build_robot(g1(), replace(g1_table(), fixed_joints=fixed))


def test_a_urdf_whose_mimic_names_nobody_is_refused(tmp_path: Path):
    path = tmp_path / "body.urdf"
    text = g1().urdf.read_text(encoding="utf-8")
    path.write_text(re.sub('mimic joint="R_index', 'mimic joint="R_sixth', text))

    with refused(ConfigError, "body.urdf", "R_sixth_proximal_joint", "does not exist"):
        build_robot(replace(g1(), urdf=path), g1_table())
