# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from test.core.refusals import refused
from test.support.simulated import kinematics, so101, table
from vla_ros.core.camera_model import CameraModel
from vla_ros.core.errors import ConfigError
from vla_ros.sim.model import build_model
from vla_ros.sim.robot_model import joint_of

URDF = so101().urdf


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(so101(), table())


def poses(model: mujoco.MjModel, count: int) -> list[tuple[mujoco.MjData, dict[str, float]]]:
    """Random postures of the arm."""
    rng = np.random.default_rng(0)
    joints = [joint_of(name) for name in so101().command_names]
    made = []
    for _ in range(count):
        data = mujoco.MjData(model)
        positions = {}
        for joint in joints:
            low, high = model.joint(joint).range
            positions[joint] = data.joint(joint).qpos[0] = rng.uniform(low, high)
        mujoco.mj_forward(model, data)
        made.append((data, positions))
    return made


def test_our_forward_kinematics_is_mujocos(model: mujoco.MjModel):
    for data, positions in poses(model, 20):
        for link in kinematics().links:
            pose, body = kinematics().pose(link, positions), data.body(link)
            np.testing.assert_allclose(pose[:3, 3], body.xpos, atol=1e-9)
            np.testing.assert_allclose(pose[:3, :3], body.xmat.reshape(3, 3), atol=1e-9)


def test_our_jacobian_is_mujocos(model: mujoco.MjModel):
    link, joints = table().hand.links[0], [joint_of(name) for name in so101().command_names]
    columns = [model.joint(joint).dofadr[0] for joint in joints]
    for data, positions in poses(model, 5):
        linear, angular = np.zeros((3, model.nv)), np.zeros((3, model.nv))
        mujoco.mj_jacBody(model, data, linear, angular, model.body(link).id)

        _, jacobian = kinematics().jacobian(link, positions, joints)

        np.testing.assert_allclose(
            jacobian, np.vstack([linear[:, columns], angular[:, columns]]), atol=1e-9
        )


def test_cameras_stand_and_look_as_the_robots_description_says(model: mujoco.MjModel):
    for data, positions in poses(model, 3):
        for name, camera in so101().cameras.items():
            assert camera.geometry is not None
            parent = kinematics().pose(camera.geometry.parent_link, positions)
            ours, theirs = CameraModel.of(camera, camera.geometry, parent), data.camera(name)
            np.testing.assert_allclose(ours.pose[:3, 3], theirs.xpos, atol=1e-6)
            # MuJoCo's cameras look along -z with y up.
            np.testing.assert_allclose(
                ours.pose[:3, :3] * [1.0, -1.0, -1.0], theirs.xmat.reshape(3, 3), atol=1e-6
            )
            assert model.camera(name).fovy[0] == pytest.approx(np.degrees(camera.geometry.fovy_rad))
            resolution = model.cam_resolution[model.camera(name).id]
            assert resolution.tolist() == [camera.width, camera.height]


def test_the_masses_are_the_urdfs(model: mujoco.MjModel):
    assert model.body("gripper_link").mass[0] == pytest.approx(0.087)
    assert model.body("base_link").subtreemass[0] == pytest.approx(0.632, abs=1e-6)


def test_the_servos_stand_in_the_order_of_the_commands(model: mujoco.MjModel):
    names = [model.actuator(index).name for index in range(model.nu)]

    assert tuple(names) == so101().command_names
    for name, servo in table().servos.items():
        actuator = model.actuator(name)
        assert actuator.gainprm[0] == servo.stiffness
        assert actuator.forcerange.tolist() == [-servo.max_torque, servo.max_torque]


def test_a_robot_without_urdf_is_refused():
    with refused(ConfigError, "so101_sim.yaml", "urdf"):
        build_model(replace(so101(), urdf=None), table())


def test_a_urdf_that_does_not_exist_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.urdf", "cannot be read"):
        build_model(replace(so101(), urdf=tmp_path / "none.urdf"), table())


@pytest.mark.parametrize(
    ("pattern", "replacement", "parts"),
    [
        ("</robot>", "", ["cannot be read"]),
        ("<robot name=.so101.>", "<robot><link/>", ["arm.urdf"]),
        ('<mass value="0.1"/>', '<mass value="-1"/>', ["arm.urdf"]),
        ("wrist_roll", "wrist_twist", ["arm.urdf", "wrist_roll", "does not exist"]),
        ("moving_jaw_so101_v1_link", "jaw_link", ["hand.links", "moving_jaw", "does not exist"]),
    ],
)
def test_a_wrong_urdf_is_refused(tmp_path: Path, pattern: str, replacement: str, parts: list[str]):
    assert URDF is not None
    path = tmp_path / "arm.urdf"
    path.write_text(re.sub(pattern, replacement, URDF.read_text(encoding="utf-8")))

    with refused(ConfigError, *parts):
        build_model(replace(so101(), urdf=path), table())


def test_a_camera_without_geometry_is_refused():
    name, camera = next(iter(so101().cameras.items()))
    robot = replace(so101(), cameras={name: replace(camera, geometry=None)})

    with refused(ConfigError, "so101_sim.yaml", f"cameras.{name}", "geometry"):
        build_model(robot, table())


def test_a_camera_on_a_link_that_does_not_exist_is_refused():
    name, camera = next(iter(so101().cameras.items()))
    assert camera.geometry is not None
    lost = replace(camera, geometry=replace(camera.geometry, parent_link="tail"))

    with refused(ConfigError, "so101_sim.yaml", f"cameras.{name}", "'tail'"):
        build_model(replace(so101(), cameras={name: lost}), table())
