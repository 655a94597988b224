# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.joint_map import JointMap, read_joint_map, same
from vla_ros.core.yaml_file import parse

NAMES = ("a/position", "b/position", "b/velocity")


def read(text: str) -> JointMap:
    section = parse(f"found: 0\n{text}", source="robot.yaml")
    section.integer("found", minimum=0, maximum=0)
    it = read_joint_map(section, NAMES)
    section.finish()
    return it


def test_by_default_a_robot_names_and_counts_as_we_do():
    assert read("") == same(NAMES) == JointMap(("a", "b", "b"), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))


def test_another_way_is_read():
    text = "joints: {a: '1', b: '2'}\nscale: [1, -1, -1]\noffset: [0, 0.5, 0]"
    assert read(text) == JointMap(("1", "2", "2"), (1.0, -1.0, -1.0), (0.0, 0.5, 0.0))


@given(st.floats(-5.0, 5.0), st.floats(0.1, 9.0), st.booleans(), st.floats(-3.0, 3.0))
def test_there_and_back(value: float, scale: float, turned: bool, offset: float):
    it = JointMap(("a",), (-scale if turned else scale,), (offset,))
    there = it.to_robot(np.array([value]))
    assert there == pytest.approx([(-scale if turned else scale) * value + offset])
    assert it.from_robot(there) == pytest.approx([value], abs=1e-9)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("joints: {a: x, b: x}", "'x' stands for two joints"),
        ("joints: {b: a}", "'a' stands for two joints"),
        ("joints: {c: x}", "c"),
        ("scale: [1, 0, 1]", "must not hold zero"),
        ("scale: [1, 1]", "scale"),
        ("offset: [0, 0, 1]", "must be 0 for b/velocity"),
    ],
)
def test_what_cannot_be_is_refused(text: str, words: str):
    with refused(ConfigError, words):
        read(text)
