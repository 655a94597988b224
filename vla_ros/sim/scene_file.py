# SPDX-License-Identifier: Apache-2.0
"""Read a scene's description file. Reads one file; any thread may call."""

from __future__ import annotations

from pathlib import Path

from vla_ros.core.section import Section
from vla_ros.core.yaml_file import load
from vla_ros.sim.scene_spec import (
    HandSpec,
    LayoutSpec,
    LightSpec,
    ObjectSpec,
    PhysicsSpec,
    PlateSpec,
    SceneSpec,
    ServoSpec,
    Shape,
    TableSpec,
    TaskRules,
    Vector,
)


def load_scene_spec(path: Path) -> SceneSpec:
    """Read a scene's description.

    Args:
        path: A file such as ``config/sim/so101_table.yaml``.

    Raises:
        ConfigError: The file is missing, malformed or incomplete.
    """
    return scene_spec_from(load(path))


def scene_spec_from(root: Section) -> SceneSpec:
    """Read a scene's description from a parsed file.

    Raises:
        ConfigError: The description is malformed or incomplete.
    """
    start = root.section("start")
    scene = SceneSpec(
        name=root.text("name"),
        source=root.source,
        physics=_physics(root.section("physics")),
        base_m=root.numbers("base_m", length=3),
        fixed_joints=root.texts("fixed_joints") if root.has("fixed_joints") else (),
        render_scale=root.integer("render_scale", minimum=1, maximum=8),
        servos=root.entries("servos", _servo),
        start={name: start.number(name) for name in start.names},
        hand=_hand(root.section("hand")),
        table=_table(root.section("table")),
        objects=root.entries("objects", _object),
        plate=_plate(root.section("plate")),
        light=_light(root.section("light")),
        layout=_layout(root.section("layout")),
        task=_task(root.section("task")),
    )
    root.finish()
    if not scene.objects:
        raise root.error("must hold at least one entry, found none", "objects")
    return scene


def _physics(section: Section) -> PhysicsSpec:
    physics = PhysicsSpec(
        timestep_s=section.number("timestep_s", above=0.0, maximum=0.01),
        gravity_m_s2=section.number("gravity_m_s2", minimum=0.0),
        gravity_compensation=section.number("gravity_compensation", minimum=0.0, maximum=1.0),
        impratio=section.number("impratio", above=0.0),
        noslip_iterations=section.integer("noslip_iterations", minimum=0, maximum=100),
    )
    section.finish()
    return physics


def _servo(section: Section) -> ServoSpec:
    return ServoSpec(
        stiffness=section.number("stiffness", above=0.0),
        damping=section.number("damping", minimum=0.0),
        max_torque=section.number("max_torque", above=0.0),
        armature=section.number("armature", minimum=0.0),
        friction=section.number("friction", minimum=0.0),
    )


def _hand(section: Section) -> HandSpec:
    opening = section.section("open")
    hand = HandSpec(
        links=section.texts("links"),
        open={name: _range(opening, name) for name in opening.names},
        friction=section.number("friction", above=0.0),
    )
    section.finish()
    return hand


def _table(section: Section) -> TableSpec:
    table = TableSpec(
        center_m=section.numbers("center_m", length=2),
        size_m=section.numbers("size_m", length=3),
        height_above_floor_m=section.number("height_above_floor_m", above=0.0),
        rgb=_rgb(section, "rgb"),
        floor_rgb=_rgb(section, "floor_rgb"),
        sky_rgb=_rgb(section, "sky_rgb"),
        friction=section.number("friction", above=0.0),
    )
    section.finish()
    return table


def _object(section: Section) -> ObjectSpec:
    shape: Shape = section.choice("shape", "box", "cylinder")
    if shape == "box":
        edges_m = section.numbers("edges_m", length=3)
        if min(edges_m) <= 0.0:
            raise section.error(f"must hold numbers > 0, found {list(edges_m)}", "edges_m")
        half_size_m: Vector = tuple(0.5 * edge_m for edge_m in edges_m)
    else:
        radius_m = section.number("radius_m", above=0.0)
        half_size_m = radius_m, 0.5 * section.number("height_m", above=0.0)
    return ObjectSpec(
        shape=shape,
        half_size_m=half_size_m,
        mass_kg=section.number("mass_kg", above=0.0),
        rgb=_rgb(section, "rgb"),
    )


def _plate(section: Section) -> PlateSpec:
    plate = PlateSpec(
        radius_m=section.number("radius_m", above=0.0),
        height_m=section.number("height_m", above=0.0),
        rgb=_rgb(section, "rgb"),
    )
    section.finish()
    return plate


def _light(section: Section) -> LightSpec:
    light = LightSpec(
        position_m=section.numbers("position_m", length=3),
        lamp=section.number("lamp", minimum=0.0, maximum=1.0),
        ambient=section.number("ambient", minimum=0.0, maximum=1.0),
        headlight=section.number("headlight", minimum=0.0, maximum=1.0),
    )
    section.finish()
    return light


def _layout(section: Section) -> LayoutSpec:
    layout = LayoutSpec(
        center_m=section.numbers("center_m", length=2),
        radius_m=_range(section, "radius_m"),
        azimuth_rad=_range(section, "azimuth_rad"),
        object_distance_m=section.number("object_distance_m", above=0.0),
        plate_distance_m=section.number("plate_distance_m", above=0.0),
        start_noise_rad=section.number("start_noise_rad", minimum=0.0),
        rgb_noise=section.number("rgb_noise", minimum=0.0, maximum=1.0),
        lamp_noise=section.number("lamp_noise", minimum=0.0, maximum=1.0),
        lamp_position_noise_m=section.number("lamp_position_noise_m", minimum=0.0),
    )
    section.finish()
    return layout


def _task(section: Section) -> TaskRules:
    task = TaskRules(
        instruction=section.text("instruction"),
        height_tolerance_m=section.number("height_tolerance_m", above=0.0),
        max_speed_m_s=section.number("max_speed_m_s", above=0.0),
        settle_s=section.number("settle_s", minimum=0.0),
    )
    section.finish()
    if task.instruction.count("{object}") != 1:
        raise section.error(f"must hold {{object}} once, found {task.instruction!r}", "instruction")
    return task


def _rgb(section: Section, key: str) -> Vector:
    rgb = section.numbers(key, length=3)
    if not all(0.0 <= part <= 1.0 for part in rgb):
        raise section.error(f"must hold numbers in [0, 1], found {list(rgb)}", key)
    return rgb


def _range(section: Section, key: str) -> Vector:
    low, high = section.numbers(key, length=2)
    if low >= high:
        raise section.error(f"must rise, found {[low, high]}", key)
    return low, high
