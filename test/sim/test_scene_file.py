# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from test.core.refusals import changed, refused
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.yaml_file import parse
from vla_ros.sim.scene_file import load_scene_spec, scene_spec_from
from vla_ros.sim.scene_spec import ObjectSpec

TEXT = config_file("sim", "so101_table").read_text(encoding="utf-8")


def test_the_scene_that_comes_with_the_package():
    scene = load_scene_spec(config_file("sim", "so101_table"))

    assert scene.name == "so101_table"
    assert tuple(scene.objects) == ("red", "green", "blue")
    assert scene.objects["red"] == ObjectSpec("box", (0.0125,) * 3, 0.02, (0.80, 0.09, 0.09))
    assert scene.task.instruction == "put the {object} cube on the plate"
    assert len(scene.servos) == len(scene.start) == 6


def test_the_scene_of_the_g1():
    scene = load_scene_spec(config_file("sim", "g1_table"))

    (thing,) = scene.objects.values()
    assert thing.shape == "cylinder"
    assert thing.height_m == 2.0 * thing.half_size_m[1]
    assert len(scene.fixed_joints) == 15
    assert len(scene.servos) == len(scene.start) == 26
    assert scene.physics.gravity_compensation == 1.0


CYLINDER = "{shape: cylinder, radius_m: 0.02, height_m: 0.1, mass_kg: 0.1, rgb: [1, 0, 0]}"


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("radius_m: 0.02", "radius_m: 0", "objects.red.radius_m"),
        ("height_m: 0.1", "height_m: -0.1", "objects.red.height_m"),
        ("height_m: 0.1", "edges_m: [1, 1, 1]", "objects.red.height_m"),
    ],
)
def test_a_malformed_cylinder_is_refused(old: str, new: str, part: str):
    box = "{shape: box, edges_m: [0.025, 0.025, 0.025], mass_kg: 0.02, rgb: [0.80, 0.09, 0.09]}"
    text = changed(TEXT, box, CYLINDER)
    assert scene_spec_from(parse(text, source="x")).objects["red"].half_size_m == (0.02, 0.05)

    with refused(ConfigError, "scene.yaml", part):
        scene_spec_from(parse(changed(text, old, new), source="scene.yaml"))


def test_a_scene_that_does_not_exist_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.yaml"):
        load_scene_spec(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("timestep_s: 0.002", "timestep_s: 0.2", ["physics.timestep_s", "0.2"]),
        ("timestep_s: 0.002", "timestep_s: 0.002\n  speed: 1", ["physics.speed", "unknown"]),
        ("gravity_m_s2: 9.81", "gravity_m_s2: down", ["physics.gravity_m_s2", "'down'"]),
        ("[0.12, 2.0]", "[.nan, 2.0]", ["hand.open.gripper/position"]),
        ("[0.12, 2.0]", "[2.0, 0.12]", ["hand.open.gripper/position", "rise"]),
        ("compensation: 0.0", "compensation: 1.1", ["physics.gravity_compensation", "1.1"]),
        ("render_scale: 1", "render_scale: 0", ["render_scale", "0"]),
        ("base_m: [0.0, 0.0, 0.0]", "base_m: [0.0]", ["base_m", "list of 1"]),
        ("green: {shape: box", "green: {shape: ball", ["objects.green.shape", "box, cylinder"]),
        (
            "[0.025, 0.025, 0.025], mass_kg: 0.02, rgb: [0.10, 0.25",
            "[0.025, 0, 0.1], mass_kg: 0.02, rgb: [0.10, 0.25",
            ["objects.blue.edges_m", "> 0"],
        ),
        ("center_m: [0.18, 0.0]", "center_m: [0.18]", ["table.center_m", "list of 1"]),
        ("rgb: [0.36, 0.41, 0.46]", "rgb: [36, 41, 46]", ["table.rgb", "[0, 1]", "36"]),
        ("radius_m: 0.05", "radius_m: 0", ["plate.radius_m", "0"]),
        ("lamp: 0.55", "lamp: 5.5", ["light.lamp", "5.5"]),
        ("radius_m: [0.135, 0.240]", "radius_m: [0.24, 0.135]", ["layout.radius_m", "rise"]),
        ("put the {object} cube", "put the cube", ["task.instruction", "{object}"]),
        ("settle_s: 0.3", "settle_s: 0.3\nrobot: so101", ["robot", "unknown"]),
        ("name: so101_table", "title: so101_table", ["name", "missing"]),
    ],
)
def test_a_malformed_scene_is_refused(old: str, new: str, parts: list[str]):
    with refused(ConfigError, "scene.yaml", *parts):
        scene_spec_from(parse(changed(TEXT, old, new), source="scene.yaml"))


def test_a_scene_without_objects_is_refused():
    start, rest = TEXT.split("objects:\n")
    text = f"{start}objects: {{}}\n{rest[rest.index('plate:') :]}"

    with refused(ConfigError, "scene.yaml", "objects", "none"):
        scene_spec_from(parse(text, source="scene.yaml"))
