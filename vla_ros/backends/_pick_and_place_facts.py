# SPDX-License-Identifier: Apache-2.0
"""What the scripted pick-and-place policy knows of its task, from `config/tasks/<task>.yaml`.

Immutable; facts have no defaults. Metres, radians, seconds; any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_ros.backends._pick_and_place_things import Cube, Cylinder, Thing
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.section import Section
from vla_ros.core.yaml_file import load

Vector = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Colour:
    """A colour as ranges of hue (which may wrap), saturation and value, in OpenCV's units."""

    hue: Vector
    saturation: Vector
    value: Vector


@dataclass(frozen=True, slots=True)
class HandFacts:
    """The hand and how it grasps.

    Attributes:
        link: The link that carries the fixed jaw, or the palm.
        grip_point_m: (3,) Where a thing's centre is in the open hand, in that link; when a thing is
            grasped the link's z axis is vertical. Jaws point along -z, and x points from the fixed
            jaw to the moving one.
        held_point_m: (3,) A point of a held thing that the hand's camera sees, in that link.
        clearance_m: Left there between the thing and the fixed jaw, which it leans on when held.
        arm: (n,) Interfaces that place the hand.
        opening: The interface that opens it.
        open: Its position when open.
        closed: What it is told to grasp with.
        gripping: (2,) Positions between which something holds the hand open.
        speed: How fast it moves at least [1/s].
        fingers: Interfaces that move along with ``opening``: (2,) positions when open and closed.
    """

    link: str
    grip_point_m: Vector
    held_point_m: Vector
    clearance_m: float
    arm: tuple[str, ...]
    opening: str
    open: float
    closed: float
    gripping: Vector
    speed: float
    fingers: dict[str, Vector]


@dataclass(frozen=True, slots=True)
class SideFacts:
    """How to grasp something tall from its side.

    Attributes:
        yaw: Where the hand's x axis points.
        height_m: Of the grip point over what the thing stands on.
        approach_m: (2,) The hand's last way to the thing, along its own x and y axes.
    """

    yaw: float
    height_m: float
    approach_m: Vector


@dataclass(frozen=True, slots=True)
class MotionFacts:
    """How it moves.

    Attributes:
        travel_height_m: Height of the grip point between places.
        release_gap_m: Left under a cube when it is let go.
        speed: Share of the robot's velocity limits.
        slow_speed: The same, when lowering.
        ramp_s: From full speed to rest.
        lead_s: How far the measured arm lags behind its commands.
    """

    travel_height_m: float
    release_gap_m: float
    speed: float
    slow_speed: float
    ramp_s: float
    lead_s: float


@dataclass(frozen=True, slots=True)
class TaskFacts:
    """The task, whole.

    Attributes:
        table_camera: The camera that sees the table.
        hand_camera: The camera that sees what is between the jaws.
        base_m: (3,) Where the URDF's root stands; the table top is at height zero.
        hand: The hand.
        noun: What the things are called.
        thing: The shape of one of them.
        colours: Colour name to how a thing of it looks.
        plate: The plate.
        plate_colour: How it looks.
        side: How to grasp from the side; None: from above.
        motion: How to move.
        rest: Arm interface to where it rests.
        still: Interface that the task leaves alone to where it is kept, or taken to be.
    """

    table_camera: str
    hand_camera: str
    base_m: Vector
    hand: HandFacts
    noun: str
    thing: Thing
    colours: dict[str, Colour]
    plate: Cylinder
    plate_colour: Colour
    side: SideFacts | None
    motion: MotionFacts
    rest: dict[str, float]
    still: dict[str, float]


def load_task_facts(path: Path, robot: RobotSpec) -> TaskFacts:
    """Read a task's facts and check them against the robot.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or for another robot.
    """
    root = load(path)
    root.text("name")
    views, plate = root.section("views"), root.section("plate")
    noun = "cylinder" if root.has("cylinder") else "cube"
    thing = root.section(noun)
    facts = TaskFacts(
        table_camera=views.text("table"),
        hand_camera=views.text("hand"),
        base_m=root.numbers("base_m", length=3),
        hand=root.entry("hand", _hand),
        noun=noun,
        thing=_cylinder(thing) if root.has("cylinder") else Cube(thing.number("edge_m", above=0.0)),
        colours=thing.entries("colours", _colour),
        plate=_cylinder(plate),
        plate_colour=plate.entry("colour", _colour),
        side=root.entry("side", _side) if root.has("side") else None,
        motion=root.entry("motion", _motion),
        rest=root.entry("rest", _positions),
        still=root.entry("still", _positions) if root.has("still") else {},
    )
    for section in (views, thing, plate, root):
        section.finish()
    _check(facts, robot, str(path))
    return facts


def _check(facts: TaskFacts, robot: RobotSpec, source: str) -> None:
    for camera in (facts.table_camera, facts.hand_camera):
        if camera not in robot.cameras or robot.cameras[camera].geometry is None:
            raise ConfigError(
                f"{source}: views: {camera!r} must be a camera of robot {robot.name} with"
                f" geometry; it has {', '.join(robot.cameras) or 'none'}"
            )
    for interface in (*facts.hand.arm, facts.hand.opening, *facts.hand.fingers):
        if interface not in robot.command_names:
            raise ConfigError(
                f"{source}: hand: {interface!r} is not commanded on robot {robot.name}, which has"
                f" {', '.join(robot.command_names)}"
            )
    if set(facts.rest) != set(facts.hand.arm):
        raise ConfigError(f"{source}: rest: must name exactly {', '.join(facts.hand.arm)}")
    unknown = [name for name in facts.still if name not in robot.state_names]
    if unknown:
        raise ConfigError(
            f"{source}: still: {', '.join(unknown)} is no state of robot {robot.name}, which has"
            f" {', '.join(robot.state_names)}"
        )


def _hand(section: Section) -> HandFacts:
    fingers = section.section("fingers") if section.has("fingers") else None
    hand = HandFacts(
        link=section.text("link"),
        grip_point_m=section.numbers("grip_point_m", length=3),
        held_point_m=section.numbers("held_point_m", length=3),
        clearance_m=section.number("clearance_m", minimum=0.0),
        arm=section.texts("arm"),
        opening=section.text("opening"),
        open=section.number("open"),
        closed=section.number("closed"),
        gripping=section.numbers("gripping", length=2),
        speed=section.number("speed", above=0.0),
        fingers={name: fingers.numbers(name, length=2) for name in fingers.names}
        if fingers
        else {},
    )
    order = [hand.closed, *hand.gripping, hand.open]
    if order not in (sorted(order), sorted(order, reverse=True)) or len(set(order)) < len(order):
        raise section.error("closed, gripping and open must all rise, or all fall")
    return hand


def _side(section: Section) -> SideFacts:
    return SideFacts(
        yaw=section.number("yaw"),
        height_m=section.number("height_m", above=0.0),
        approach_m=section.numbers("approach_m", length=2),
    )


def _motion(section: Section) -> MotionFacts:
    return MotionFacts(
        travel_height_m=section.number("travel_height_m", above=0.0),
        release_gap_m=section.number("release_gap_m", minimum=0.0),
        speed=section.number("speed", above=0.0, maximum=1.0),
        slow_speed=section.number("slow_speed", above=0.0, maximum=1.0),
        ramp_s=section.number("ramp_s", above=0.0),
        lead_s=section.number("lead_s", minimum=0.0),
    )


def _cylinder(section: Section) -> Cylinder:
    return Cylinder(section.number("radius_m", above=0.0), section.number("height_m", above=0.0))


def _positions(section: Section) -> dict[str, float]:
    return {name: section.number(name) for name in section.names}


def _colour(section: Section) -> Colour:
    return Colour(
        hue=section.numbers("hue", length=2),
        saturation=section.numbers("saturation", length=2),
        value=section.numbers("value", length=2),
    )
