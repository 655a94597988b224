# SPDX-License-Identifier: Apache-2.0
"""A scene: what `config/sim/<scene>.yaml` says of it.

Immutable; ``scene_file`` reads it, and facts have no defaults. Metres, radians, seconds, kilograms;
colours are RGB in 0..1. Any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PhysicsSpec:
    """How the physics is stepped."""

    timestep_s: float
    gravity_m_s2: float
    impratio: float
    noslip_iterations: int


@dataclass(frozen=True, slots=True)
class ServoSpec:
    """A position servo: torque = stiffness * error - damping * velocity, up to the maximum.

    Attributes:
        stiffness: [N m/rad].
        damping: [N m s/rad].
        max_torque: [N m].
        armature: Inertia of the rotor, seen from the joint [kg m^2].
        friction: Dry friction [N m].
    """

    stiffness: float
    damping: float
    max_torque: float
    armature: float
    friction: float


@dataclass(frozen=True, slots=True)
class HandSpec:
    """Who holds things.

    Attributes:
        links: Links that touch what is held.
        interface: The interface that opens them.
        released_above: From this position on the hand is open [rad or m].
        friction: Sliding friction of the links.
    """

    links: tuple[str, ...]
    interface: str
    released_above: float
    friction: float


@dataclass(frozen=True, slots=True)
class TableSpec:
    """The table, whose top is at height zero, and what is around it."""

    center_m: Vector
    size_m: Vector
    height_above_floor_m: float
    rgb: Vector
    floor_rgb: Vector
    sky_rgb: Vector
    friction: float


@dataclass(frozen=True, slots=True)
class CubeSpec:
    """A cube that can be grasped."""

    edge_m: float
    mass_kg: float
    rgb: Vector


@dataclass(frozen=True, slots=True)
class PlateSpec:
    """A round plate, fixed to the table."""

    radius_m: float
    height_m: float
    rgb: Vector


@dataclass(frozen=True, slots=True)
class LightSpec:
    """A lamp at a point, and light from everywhere and from the camera; intensities in 0..1."""

    position_m: Vector
    lamp: float
    ambient: float
    headlight: float


@dataclass(frozen=True, slots=True)
class LayoutSpec:
    """What a seed decides: places in a ring sector around ``center_m``, and small variations.

    Attributes:
        center_m: (2,) Centre of the ring.
        radius_m: (2,) Inner and outer radius.
        azimuth_rad: (2,) Where the sector starts and ends; 0 is along x.
        cube_distance_m: Least distance of two cubes' centres.
        plate_distance_m: Least distance of a cube's centre and the plate's.
        start_noise_rad: Greatest deviation of each joint's start position.
        rgb_noise: Greatest deviation of a colour.
        lamp_noise: Greatest relative deviation of the lamp's intensity.
        lamp_position_noise_m: Greatest deviation of the lamp's place along each axis.
    """

    center_m: Vector
    radius_m: Vector
    azimuth_rad: Vector
    cube_distance_m: float
    plate_distance_m: float
    start_noise_rad: float
    rgb_noise: float
    lamp_noise: float
    lamp_position_noise_m: float


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What the robot is asked to do, and when it has done it.

    Attributes:
        instruction: With ``{cube}`` in place of the colour.
        height_tolerance_m: How exactly the cube must lie on the plate.
        max_speed_m_s: What is slower is at rest.
        settle_s: How long it must lie so.
    """

    instruction: str
    height_tolerance_m: float
    max_speed_m_s: float
    settle_s: float


@dataclass(frozen=True, slots=True)
class SceneSpec:
    """A scene, whole.

    Attributes:
        servos: Commanded interface to its servo.
        start: Commanded interface to where it starts.
        cubes: Cube name, which is its colour's name, to the cube.
    """

    name: str
    source: str
    physics: PhysicsSpec
    servos: dict[str, ServoSpec]
    start: dict[str, float]
    hand: HandSpec
    table: TableSpec
    cubes: dict[str, CubeSpec]
    plate: PlateSpec
    light: LightSpec
    layout: LayoutSpec
    task: TaskRules

    def check_against(self, robot: RobotSpec) -> None:
        """Refuse a scene that does not fit a robot.

        Raises:
            ConfigError: The servos, the start or the hand name other interfaces than the robot's.
        """
        commanded = set(robot.command_names)
        for key, names in (("servos", set(self.servos)), ("start", set(self.start))):
            if names != commanded:
                raise ConfigError(
                    f"{self.source}: {key}: must name exactly the commanded interfaces of robot"
                    f" {robot.name}; differs in {', '.join(sorted(names ^ commanded))}"
                )
        if self.hand.interface not in commanded:
            raise ConfigError(
                f"{self.source}: hand.interface: {self.hand.interface} is not commanded on robot"
                f" {robot.name}, which has {', '.join(robot.command_names)}"
            )
