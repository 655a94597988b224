# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from test.core.refusals import changed, refused
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.yaml_file import parse
from vla_ros.sim.scene_file import load_scene_spec, scene_spec_from

TEXT = config_file("sim", "so101_table").read_text(encoding="utf-8")


def test_the_scene_that_comes_with_the_package():
    scene = load_scene_spec(config_file("sim", "so101_table"))

    assert scene.name == "so101_table"
    assert tuple(scene.cubes) == ("red", "green", "blue")
    assert scene.cubes["red"].edge_m == 0.025
    assert scene.task.instruction == "put the {cube} cube on the plate"
    assert len(scene.servos) == len(scene.start) == 6


def test_a_scene_that_does_not_exist_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.yaml"):
        load_scene_spec(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("timestep_s: 0.002", "timestep_s: 0.2", ["physics.timestep_s", "0.2"]),
        ("timestep_s: 0.002", "timestep_s: 0.002\n  speed: 1", ["physics.speed", "unknown"]),
        ("gravity_m_s2: 9.81", "gravity_m_s2: down", ["physics.gravity_m_s2", "'down'"]),
        ("released_above: 0.12", "released_above: .nan", ["hand.released_above"]),
        ("center_m: [0.18, 0.0]", "center_m: [0.18]", ["table.center_m", "list of 1"]),
        ("rgb: [0.36, 0.41, 0.46]", "rgb: [36, 41, 46]", ["table.rgb", "[0, 1]", "36"]),
        ("radius_m: 0.05", "radius_m: 0", ["plate.radius_m", "0"]),
        ("lamp: 0.55", "lamp: 5.5", ["light.lamp", "5.5"]),
        ("radius_m: [0.135, 0.240]", "radius_m: [0.24, 0.135]", ["layout.radius_m", "rise"]),
        ("put the {cube} cube", "put the cube", ["task.instruction", "{cube}"]),
        ("settle_s: 0.3", "settle_s: 0.3\nrobot: so101", ["robot", "unknown"]),
        ("name: so101_table", "title: so101_table", ["name", "missing"]),
    ],
)
def test_a_malformed_scene_is_refused(old: str, new: str, parts: list[str]):
    with refused(ConfigError, "scene.yaml", *parts):
        scene_spec_from(parse(changed(TEXT, old, new), source="scene.yaml"))


def test_a_scene_without_cubes_is_refused():
    start, rest = TEXT.split("cubes:\n")
    text = f"{start}cubes: {{}}\n{rest[rest.index('plate:') :]}"

    with refused(ConfigError, "scene.yaml", "cubes", "none"):
        scene_spec_from(parse(text, source="scene.yaml"))
