# SPDX-License-Identifier: Apache-2.0
"""A scene: what `config/sim/<scene>.yaml` says of it.

Immutable; ``scene_file`` reads it, and facts have no defaults. Metres, radians, seconds, kilograms;
colours are RGB in 0..1. Any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec

Vector = tuple[float, ...]
Shape = Literal["box", "cylinder"]


@dataclass(frozen=True, slots=True)
class PhysicsSpec:
    """How the physics is stepped.

    Attributes:
        gravity_compensation: The share of its weight that the robot does not feel.
    """

    timestep_s: float
    gravity_m_s2: float
    gravity_compensation: float
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
        links: Links that touch what is held; of one hand or of several.
        open: Interface to the positions, lowest and highest, between which it holds nothing
            [rad or m]; a hand that is open is so in all of them.
        friction: Sliding friction of the links.
    """

    links: tuple[str, ...]
    open: dict[str, Vector]
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
class ObjectSpec:
    """A box or an upright cylinder that can be grasped.

    Attributes:
        half_size_m: Of a box (3,) half its edges; of a cylinder (2,) radius and half height.
    """

    shape: Shape
    half_size_m: Vector
    mass_kg: float
    rgb: Vector

    @property
    def height_m(self) -> float:
        """How high it stands."""
        return 2.0 * self.half_size_m[-1]


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
        object_distance_m: Least distance of two objects' centres.
        plate_distance_m: Least distance of an object's centre and the plate's.
        start_noise_rad: Greatest deviation of each joint's start position.
        rgb_noise: Greatest deviation of a colour.
        lamp_noise: Greatest relative deviation of the lamp's intensity.
        lamp_position_noise_m: Greatest deviation of the lamp's place along each axis.
    """

    center_m: Vector
    radius_m: Vector
    azimuth_rad: Vector
    object_distance_m: float
    plate_distance_m: float
    start_noise_rad: float
    rgb_noise: float
    lamp_noise: float
    lamp_position_noise_m: float


@dataclass(frozen=True, slots=True)
class TaskRules:
    """What the robot is asked to do, and when it has done it.

    Attributes:
        instruction: With ``{object}`` in place of the object's name.
        height_tolerance_m: How exactly the object must lie on the plate.
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
        base_m: (3,) Where the robot's root link stands; the table's top is at height zero.
        fixed_joints: Joints that stand still at zero, whether or not the URDF has them.
        render_scale: Cameras see so many times coarser than their images are.
        servos: Commanded interface to its servo.
        start: Commanded interface to where it starts.
        objects: Object name, a word that an instruction may name it by, to the object.
    """

    name: str
    source: str
    physics: PhysicsSpec
    base_m: Vector
    fixed_joints: tuple[str, ...]
    render_scale: int
    servos: dict[str, ServoSpec]
    start: dict[str, float]
    hand: HandSpec
    table: TableSpec
    objects: dict[str, ObjectSpec]
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
        for interface in self.hand.open:
            if interface not in commanded:
                raise ConfigError(
                    f"{self.source}: hand.open: {interface} is not commanded on robot"
                    f" {robot.name}, which has {', '.join(robot.command_names)}"
                )
