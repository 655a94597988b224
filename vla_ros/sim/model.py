# SPDX-License-Identifier: Apache-2.0
"""The MuJoCo model of a robot in a scene: the robot, and what is around it.

The model is compiled once; a seed then only moves and colours what is in it. Cameras see the geom
groups ``SHAPES`` and ``GROUND``; the robot's collision shapes are in group 0. Reads the URDF; any
thread.
"""

from __future__ import annotations

import mujoco
import numpy as np

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.sim.robot_model import (
    IMPEDANCE,
    ROBOT,
    ROLLING,
    STIFF_STEPS,
    THINGS,
    TORSIONAL,
    build_robot,
)
from vla_ros.sim.scene_spec import SceneSpec, Shape, Vector

# Visible geom groups: what stands around, which is also where MuJoCo's URDF reader puts visual
# shapes, and what it stands on.
SHAPES, GROUND = 1, 2
TABLE, FLOOR, PLATE, LAMP = "table", "floor", "plate", "lamp"
_SHAPES = {"box": mujoco.mjtGeom.mjGEOM_BOX, "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER}


def object_body(name: str) -> str:
    """The name of an object's body, geom and free joint."""
    return f"object {name}"


def build_model(robot: RobotSpec, scene: SceneSpec) -> mujoco.MjModel:
    """Compile the model.

    Raises:
        ConfigError: The robot has no URDF or cameras without geometry, or the files contradict.
    """
    scene.check_against(robot)
    spec = build_robot(robot, scene)
    _surroundings(spec, scene)
    _things(spec, scene)
    _physics(spec, scene)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f"{robot.urdf} in {scene.source}: {error}") from error


def _surroundings(spec: mujoco.MjSpec, scene: SceneSpec) -> None:
    world, table, light = spec.worldbody, scene.table, scene.light
    center_m, half_size_m = [*table.center_m, -0.5 * table.size_m[2]], 0.5 * np.array(table.size_m)
    top = _shape(world, TABLE, "box", center_m, half_size_m.tolist(), table.rgb, table.friction)
    top.group = GROUND
    world.add_geom(
        name=FLOOR,
        type=mujoco.mjtGeom.mjGEOM_PLANE,
        pos=[0.0, 0.0, -table.height_above_floor_m],
        size=[0.0, 0.0, 1.0],
        rgba=[*table.floor_rgb, 1.0],
        group=GROUND,
        contype=THINGS,
        conaffinity=THINGS,
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
    for name, thing in scene.objects.items():
        body = spec.worldbody.add_body(name=object_body(name))
        body.add_freejoint(name=object_body(name))
        size = [*thing.half_size_m, 0.0][:3]
        friction = scene.table.friction
        geom = _shape(body, body.name, thing.shape, [0.0] * 3, size, thing.rgb, friction)
        geom.mass = thing.mass_kg
    plate = spec.worldbody.add_body(name=PLATE)
    half_height_m = 0.5 * scene.plate.height_m
    center_m, size = [0.0, 0.0, half_height_m], [scene.plate.radius_m, half_height_m, 0.0]
    _shape(plate, PLATE, "cylinder", center_m, size, scene.plate.rgb, scene.table.friction)


def _shape(
    body: mujoco.MjsBody,
    name: str,
    shape: Shape,
    center_m: list[float],
    size: list[float],
    rgb: Vector,
    friction: float,
) -> mujoco.MjsGeom:
    """What stands on the floor or the table; ``size`` as MuJoCo has it."""
    return body.add_geom(
        name=name,
        type=_SHAPES[shape],
        pos=center_m,
        size=size,
        rgba=[*rgb, 1.0],
        group=SHAPES,
        contype=THINGS,
        conaffinity=ROBOT | THINGS,
        friction=[friction, TORSIONAL, ROLLING],
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
        geom.solref = [STIFF_STEPS * physics.timestep_s, 1.0]
        geom.solimp = IMPEDANCE
