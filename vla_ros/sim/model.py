# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo model of a robot in a scene: its URDF, its servos and cameras, and what is around it.

The model is compiled once; a seed then only moves and colours what is in it. Cameras see the geom
groups ``SHAPES`` and ``GROUND``; the robot's collision shapes are in group 0. Reads the URDF; any
thread.
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
from vla_ros.sim.scene_spec import SceneSpec, Vector

# Visible geom groups: what stands around, which is also where MuJoCo's URDF reader puts visual
# shapes, and what it stands on.
SHAPES, GROUND = 1, 2
TABLE, FLOOR, PLATE, LAMP = "table", "floor", "plate", "lamp"
# Collision bits: the robot touches things, things touch each other, the robot never itself.
_ROBOT, _THINGS = 1, 2
# Sliding, torsional and rolling friction; the torsional one keeps a cube from turning in the jaws.
_TORSIONAL, _ROLLING = 0.02, 0.0001
# Contacts as stiff as the time step allows: at MuJoCo's default, jaws would sink into a light cube.
_CONTACT_STEPS = 2.0
_CONTACT_IMPEDANCE = (0.95, 0.99, 0.001, 0.5, 2.0)


def joint_of(interface: str) -> str:
    """The joint of an interface such as ``<joint>/position``."""
    return interface.rpartition("/")[0]


def cube_body(cube: str) -> str:
    """The name of a cube's body, geom and free joint."""
    return f"cube {cube}"


def build_model(robot: RobotSpec, scene: SceneSpec) -> mujoco.MjModel:
    """Compile the model.

    Raises:
        ConfigError: The robot has no URDF or cameras without geometry, or the files contradict.
    """
    scene.check_against(robot)
    if robot.urdf is None:
        raise ConfigError(f"{robot.source}: urdf: is required to simulate the robot")
    spec = _robot(robot.urdf)
    _servos(spec, robot, scene)
    _hand(spec, scene)
    _cameras(spec, robot.cameras, robot.source)
    _surroundings(spec, scene)
    _things(spec, scene)
    _physics(spec, scene)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f"{robot.urdf} in {scene.source}: {error}") from error


def _robot(urdf: Path) -> mujoco.MjSpec:
    """The robot with all its links and visual shapes, which MuJoCo drops unless told otherwise."""
    try:
        root = ET.parse(urdf).getroot()
    except (OSError, ET.ParseError) as error:
        raise ConfigError(f"{urdf}: cannot be read: {error}") from error
    extension = ET.Element("mujoco")
    ET.SubElement(extension, "compiler", discardvisual="false", fusestatic="false")
    root.insert(0, extension)
    try:
        spec = mujoco.MjSpec.from_string(ET.tostring(root, encoding="unicode"))
    except ValueError as error:
        raise ConfigError(f"{urdf}: {error}") from error
    for geom in spec.geoms:
        if geom.contype:
            geom.contype, geom.conaffinity = _ROBOT, _THINGS
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


def _hand(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    for link in scene.hand.links:
        body = spec.body(link)
        if body is None:
            raise ConfigError(f"{scene.source}: hand.links: link {link!r} does not exist")
        for geom in body.geoms:
            geom.condim = 4
            geom.friction = [scene.hand.friction, _TORSIONAL, _ROLLING]


def _cameras(spec: mujoco.MjSpec, cameras: Mapping[str, CameraSpec], source: str) -> None:
    for name, camera in cameras.items():
        geometry = camera.geometry
        body = None if geometry is None else spec.body(geometry.parent_link)
        if geometry is None or body is None:
            found = "none" if geometry is None else f"parent_link {geometry.parent_link!r}"
            raise ConfigError(
                f"{source}: cameras.{name}: geometry with a parent_link of the URDF is required to"
                f" simulate the camera, found {found}"
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
            resolution=[camera.width, camera.height],
        )


def _surroundings(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    world, table, light = spec.worldbody, scene.table, scene.light
    _box(
        world,
        TABLE,
        [*table.center_m, -0.5 * table.size_m[2]],
        0.5 * np.array(table.size_m),
        table.rgb,
        table.friction,
    ).group = GROUND
    world.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.0, 0.0, -table.height_above_floor_m],
        size=[0.0, 0.0, 1.0],
        rgba=[*table.floor_rgb, 1.0],
        group=GROUND,
        contype=_THINGS,
        conaffinity=_THINGS,
    )
    world.add_light(
        name=LAMP,
        type=mujoco.mjtLightType.mjLIGHT_SPOT,
        pos=light.position_m,
        dir=[*(np.array([*table.center_m, 0.0]) - light.position_m)],
        diffuse=[light.lamp] * 3,
        specular=[0.0] * 3,
        attenuation=[1.0, 0.0, 0.0],
        cutoff=80.0,
        exponent=0.0,
        castshadow=True,
    )
    headlight = spec.visual.headlight
    headlight.ambient = [light.ambient] * 3
    headlight.diffuse = [light.headlight] * 3
    headlight.specular = [0.0] * 3
    spec.add_texture(
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=table.sky_rgb,
        rgb2=table.sky_rgb,
        width=16,
        height=96,
    )


def _things(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    for name, cube in scene.cubes.items():
        body = spec.worldbody.add_body(name=cube_body(name))
        body.add_freejoint(name=cube_body(name))
        geom = _box(
            body,
            cube_body(name),
            [0.0] * 3,
            np.full(3, 0.5 * cube.edge_m),
            cube.rgb,
            scene.table.friction,
        )
        geom.mass = cube.mass_kg
    plate = spec.worldbody.add_body(name=PLATE)
    plate.add_geom(
        name=PLATE,
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        pos=[0.0, 0.0, 0.5 * scene.plate.height_m],
        size=[scene.plate.radius_m, 0.5 * scene.plate.height_m, 0.0],
        rgba=[*scene.plate.rgb, 1.0],
        group=SHAPES,
        contype=_THINGS,
        conaffinity=_ROBOT | _THINGS,
        friction=[scene.table.friction, _TORSIONAL, _ROLLING],
    )


def _box(
    body: mujoco.MjsBody,
    name: str,
    center_m: list[float],
    half_size_m: np.ndarray,
    rgb: Vector,
    friction: float,
) -> mujoco.MjsGeom:
    return body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        pos=center_m,
        size=half_size_m,
        rgba=[*rgb, 1.0],
        group=SHAPES,
        contype=_THINGS,
        conaffinity=_ROBOT | _THINGS,
        friction=[friction, _TORSIONAL, _ROLLING],
    )


def _physics(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    physics, option = scene.physics, spec.option
    option.timestep = physics.timestep_s
    option.gravity = [0.0, 0.0, -physics.gravity_m_s2]
    option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    option.impratio = physics.impratio
    option.noslip_iterations = physics.noslip_iterations
    for geom in spec.geoms:
        geom.solref = [_CONTACT_STEPS * physics.timestep_s, 1.0]
        geom.solimp = _CONTACT_IMPEDANCE
