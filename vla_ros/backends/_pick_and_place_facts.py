# SPDX-License-Identifier: Apache-2.0
"""What the scripted pick-and-place policy knows of its task, from `config/tasks/<task>.yaml`.

Immutable; facts have no defaults. Metres, radians, seconds; any thread may read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
        link: The link that carries the fixed jaw.
        grip_point_m: (3,) Where a cube's centre is between the open jaws, in that link; its x axis
            points from the fixed jaw to the moving one, the jaws point along -z.
        clearance_m: Left there between the cube and the fixed jaw, which it leans on when held.
        arm: (n,) Interfaces that place the hand.
        opening: The interface that opens it.
        open: Its position when open.
        closed: What it is told to grasp with.
        gripping: (2,) Positions between which something holds the jaws apart.
        speed: How fast it moves at least [1/s].
    """

    link: str
    grip_point_m: Vector
    clearance_m: float
    arm: tuple[str, ...]
    opening: str
    open: float
    closed: float
    gripping: Vector
    speed: float


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
        hand: The hand.
        edge_m: A cube's edge.
        colours: Colour name to how a cube of it looks.
        plate_radius_m: The plate's radius.
        plate_height_m: The plate's height.
        plate_colour: How it looks.
        motion: How to move.
        rest: Arm interface to where it rests.
    """

    table_camera: str
    hand_camera: str
    hand: HandFacts
    edge_m: float
    colours: dict[str, Colour]
    plate_radius_m: float
    plate_height_m: float
    plate_colour: Colour
    motion: MotionFacts
    rest: dict[str, float]


def load_task_facts(path: Path, robot: RobotSpec) -> TaskFacts:
    """Read a task's facts and check them against the robot.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or for another robot.
    """
    root = load(path)
    root.text("name")
    views, cube, plate = root.section("views"), root.section("cube"), root.section("plate")
    rest = root.section("rest")
    facts = TaskFacts(
        table_camera=views.text("table"),
        hand_camera=views.text("hand"),
        hand=_hand(root.section("hand")),
        edge_m=cube.number("edge_m", above=0.0),
        colours=cube.entries("colours", _colour),
        plate_radius_m=plate.number("radius_m", above=0.0),
        plate_height_m=plate.number("height_m", above=0.0),
        plate_colour=_colour(plate.section("colour")),
        motion=_motion(root.section("motion")),
        rest={name: rest.number(name) for name in rest.names},
    )
    for section in (views, cube, plate, root):
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
    for interface in (*facts.hand.arm, facts.hand.opening):
        if interface not in robot.command_names:
            raise ConfigError(
                f"{source}: hand: {interface!r} is not commanded on robot {robot.name}, which has"
                f" {', '.join(robot.command_names)}"
            )
    if set(facts.rest) != set(facts.hand.arm):
        raise ConfigError(f"{source}: rest: must name exactly {', '.join(facts.hand.arm)}")


def _hand(section: Section) -> HandFacts:
    hand = HandFacts(
        link=section.text("link"),
        grip_point_m=section.numbers("grip_point_m", length=3),
        clearance_m=section.number("clearance_m", minimum=0.0),
        arm=section.texts("arm"),
        opening=section.text("opening"),
        open=section.number("open"),
        closed=section.number("closed"),
        gripping=section.numbers("gripping", length=2),
        speed=section.number("speed", above=0.0),
    )
    section.finish()
    if not hand.closed < hand.gripping[0] < hand.gripping[1] < hand.open:
        raise section.error("closed, gripping and open must rise")
    return hand


def _motion(section: Section) -> MotionFacts:
    motion = MotionFacts(
        travel_height_m=section.number("travel_height_m", above=0.0),
        release_gap_m=section.number("release_gap_m", minimum=0.0),
        speed=section.number("speed", above=0.0, maximum=1.0),
        slow_speed=section.number("slow_speed", above=0.0, maximum=1.0),
        ramp_s=section.number("ramp_s", above=0.0),
        lead_s=section.number("lead_s", minimum=0.0),
    )
    section.finish()
    return motion


def _colour(section: Section) -> Colour:
    colour = Colour(
        hue=section.numbers("hue", length=2),
        saturation=section.numbers("saturation", length=2),
        value=section.numbers("value", length=2),
    )
    section.finish()
    return colour
