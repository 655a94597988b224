# SPDX-License-Identifier: Apache-2.0
"""The robot of a MuJoCo model: its URDF, as the scene lets it stand, its servos, hands and cameras.

A joint that mimics another is bound to it by an equality constraint, which not every version of
MuJoCo's URDF reader would make. Reads the URDF; any thread. Metres, radians.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np

from vla_ros.core.camera_spec import CameraSpec
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.transforms import rotation_from_rpy
from vla_ros.core.urdf import read_joints
from vla_ros.sim.scene_spec import SceneSpec

# Collision bits: the robot touches things, things touch each other, the robot never itself.
ROBOT, THINGS = 1, 2
# Torsional and rolling friction; the torsional one keeps a cube from turning in the jaws.
TORSIONAL, ROLLING = 0.02, 0.0001
# Contacts as stiff as the time step allows: at MuJoCo's default, jaws would sink into a light cube.
STIFF_STEPS = 2.0
IMPEDANCE = (0.95, 0.99, 0.001, 0.5, 2.0)


def joint_of(interface: str) -> str:
    """The joint of an interface such as ``<joint>/position``."""
    return interface.rpartition("/")[0]


def build_robot(robot: RobotSpec, scene: SceneSpec) -> mujoco.MjSpec:
    """The robot alone, not yet compiled.

    Raises:
        ConfigError: The robot has no URDF or cameras without geometry, or the files contradict.
    """
    if robot.urdf is None:
        raise ConfigError(f"{robot.source}: urdf: is required to simulate the robot")
    spec = _body(robot.urdf, scene)
    _servos(spec, robot, scene)
    _mimics(spec, robot.urdf, scene)
    _hands(spec, scene)
    _cameras(spec, robot, scene)
    return spec


def _body(urdf: Path, scene: SceneSpec) -> mujoco.MjSpec:
    """The links with their visual shapes, which MuJoCo drops unless told otherwise."""
    try:
        root = ET.parse(urdf).getroot()
    except (OSError, ET.ParseError) as error:
        raise ConfigError(f"{urdf}: cannot be read: {error}") from error
    extension = ET.Element("mujoco")
    ET.SubElement(extension, "compiler", discardvisual="false", fusestatic="false")
    root.insert(0, extension)
    for joint in root.iterfind("joint"):
        if joint.get("name") in scene.fixed_joints:
            joint.set("type", "fixed")
        # Newer versions of MuJoCo would bind it as well.
        for mimic in joint.findall("mimic"):
            joint.remove(mimic)
    try:
        spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    except ValueError as error:
        raise ConfigError(f"{urdf}: {error}") from error
    for geom in spec.geoms:
        if geom.contype:
            geom.contype, geom.conaffinity = ROBOT, THINGS
    for body in spec.bodies:
        body.gravcomp = scene.physics.gravity_compensation
    spec.worldbody.first_body().pos = scene.base_m
    return spec


def _servos(spec: mujoco.MjSpec, robot: RobotSpec, scene: SceneSpec) -> None:
    """One position actuator for each commanded interface, in their order."""
    for interface in robot.command_names:
        servo, joint = scene.servos[interface], spec.joint(joint_of(interface))
        if joint is None:
            raise ConfigError(f"{robot.urdf}: joint {joint_of(interface)} does not exist")
        joint.armature, joint.frictionloss = servo.armature, servo.friction
        actuator = spec.add_actuator(
            name=interface,
            target=joint.name,
            trntype=mujoco.mjtTrn.mjTRN_JOINT,
            forcelimited=True,
            forcerange=[-servo.max_torque, servo.max_torque],
            ctrllimited=True,
            ctrlrange=joint.range,
        )
        actuator.set_to_position(kp=servo.stiffness, kv=servo.damping)


def _mimics(spec: mujoco.MjSpec, urdf: Path, scene: SceneSpec) -> None:
    """Bind each joint that mimics another to it.

    It gets its leader's armature: a finger's link weighs some grams, and what is bound so stiffly
    would tremble without.
    """
    for joint in read_joints(urdf):
        if joint.mimic is None:
            continue
        follower, leader = spec.joint(joint.name), spec.joint(joint.mimic.joint)
        if follower is None or leader is None:
            raise ConfigError(
                f"{scene.source}: fixed_joints: {joint.name} mimics {joint.mimic.joint}; fix both"
                " or none"
            )
        follower.armature = leader.armature
        bond = spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
            name1=follower.name,
            name2=leader.name,
        )
        bond.data[:5] = [joint.mimic.offset, joint.mimic.multiplier, 0.0, 0.0, 0.0]
        bond.solref = [STIFF_STEPS * scene.physics.timestep_s, 1.0]


def _hands(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    for link in scene.hand.links:
        body = spec.body(link)
        if body is None:
            raise ConfigError(f"{scene.source}: hand.links: link {link!r} does not exist")
        for geom in body.geoms:
            geom.condim = 4
            geom.friction = [scene.hand.friction, TORSIONAL, ROLLING]


def _cameras(spec: mujoco.MjSpec, robot: RobotSpec, scene: SceneSpec) -> None:
    cameras: Mapping[str, CameraSpec] = robot.cameras
    for name, camera in cameras.items():
        geometry = camera.geometry
        body = None if geometry is None else spec.body(geometry.parent_link)
        if geometry is None or body is None:
            found = "none" if geometry is None else f"parent_link {geometry.parent_link!r}"
            raise ConfigError(
                f"{robot.source}: cameras.{name}: geometry with a parent_link of the URDF is"
                f" required to simulate the camera, found {found}"
            )
        # MuJoCo's cameras look along -z with y up, optical frames along z with y down.
        rotation = rotation_from_rpy(geometry.rpy_rad) @ np.diag([1.0, -1.0, -1.0])
        quaternion = np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, rotation.flatten())
        body.add_camera(
            name=name,
            pos=geometry.position_m,
            quat=quaternion,
            fovy=np.degrees(geometry.fovy_rad),
            resolution=[camera.width // scene.render_scale, camera.height // scene.render_scale],
        )
