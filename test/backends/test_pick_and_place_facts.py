# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from test.core.refusals import changed, refused
from test.support.g1_policy import g1_facts
from test.support.simulated import so101
from test.support.simulated_g1 import g1
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_things import Cube, Cylinder
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError

PATH = config_file("tasks", "so101_pick_and_place")
TEXT = PATH.read_text(encoding="utf-8")


def test_the_task_that_comes_with_the_package():
    facts = load_task_facts(PATH, so101())

    assert tuple(facts.colours) == ("red", "green", "blue")
    assert facts.thing == Cube(0.025)
    assert tuple(facts.rest) == facts.hand.arm
    assert facts.hand.opening not in facts.hand.arm
    assert (facts.side, facts.still, facts.hand.fingers) == (None, {}, {})


def test_a_task_of_a_hand_with_fingers_that_comes_from_the_side():
    facts = g1_facts()

    assert facts.thing == Cylinder(0.025, 0.16)
    assert facts.noun == "cylinder"
    assert facts.side is not None
    assert len(facts.hand.fingers) == 5
    assert {*facts.still} & {*facts.hand.arm, *facts.hand.fingers} == set()


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("edge_m: 0.025", "edge_m: 0", ["cube.edge_m", "0"]),
        ("radius_m: 0.05", "radius_m: round", ["plate.radius_m", "'round'"]),
        ("  table: front", "  table: ceiling", ["views", "'ceiling'", "front, wrist"]),
        ("  hand: wrist", "  hand: ceiling", ["views", "'ceiling'"]),
        ("opening: gripper/position", "opening: claw/position", ["hand", "claw/position"]),
        ("wrist_roll/position: 1.57", "claw/position: 1.57", ["rest", "wrist_roll/position"]),
        ("open: 0.30", "open: -0.30", ["hand", "rise"]),
        ("gripping: [-0.12, 0.17]", "gripping: [0.17, -0.12]", ["hand", "rise"]),
        ("gripping: [-0.12, 0.17]", "gripping: [0.17, 0.17]", ["hand", "rise"]),
        ("base_m: [0.0, 0.0, 0.0]", "base_m: [0.0, 0.0]", ["base_m", "list of 2"]),
        ("cube:", "ball:", ["cube", "missing"]),
        ("slow_speed: 0.14", "slow_speed: 1.4", ["motion.slow_speed", "1.4"]),
        ("red: {hue: [172, 9]", "red: {hue: [172]", ["cube.colours.red.hue", "list of 1"]),
        ("name: so101_pick_and_place", "title: x", ["name", "missing"]),
        ("  lead_s:", "  load_s:", ["motion.lead_s", "missing"]),
    ],
)
def test_a_malformed_task_is_refused(tmp_path: Path, old: str, new: str, parts: list[str]):
    path = tmp_path / "task.yaml"
    path.write_text(changed(TEXT, old, new))

    with refused(ConfigError, "task.yaml", *parts):
        load_task_facts(path, so101())


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("waist_yaw_joint/position: 0.0", "tail/position: 0.0", ["still", "tail/position"]),
        ("R_index_proximal_joint/position: [", "claw/position: [", ["hand", "claw/position"]),
        ("[1.3, 1.3]", "[1.3]", ["hand.fingers.R_thumb_proximal_yaw_joint/position", "list of 1"]),
        ("approach_m: [0.083, 0.073]", "approach_m: 0.1", ["side.approach_m"]),
        ("  yaw: 0.0\n", "", ["side.yaw", "missing"]),
        ("radius_m: 0.025", "radius_m: 0", ["cylinder.radius_m", "0"]),
    ],
)
def test_a_malformed_task_from_the_side_is_refused(
    tmp_path: Path, old: str, new: str, parts: list[str]
):
    path = tmp_path / "task.yaml"
    text = config_file("tasks", "g1_pick_and_place").read_text(encoding="utf-8")
    path.write_text(changed(text, old, new))

    with refused(ConfigError, "task.yaml", *parts):
        load_task_facts(path, g1())


def test_a_camera_without_geometry_is_refused():
    cameras = {name: replace(camera, geometry=None) for name, camera in so101().cameras.items()}

    with refused(ConfigError, str(PATH), "views", "geometry"):
        load_task_facts(PATH, replace(so101(), cameras=cameras))


def test_a_task_that_does_not_exist_is_refused(tmp_path: Path):
    with refused(ConfigError, "none.yaml"):
        load_task_facts(tmp_path / "none.yaml", so101())
