# SPDX-License-Identifier: Apache-2.0
"""Facts of a robot live in its description: no joint, camera or topic name stands in the source."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]

# Keys of descriptions whose lists, and whose mappings' keys, are names.
NAMING: dict[str, Any] = {"cameras": (dict, list), "interfaces": (dict, list), "joints": list}


def robot_names(root: Path) -> set[str]:
    """Collects the joint, camera and topic names that stand below config/."""
    names: set[str] = set()
    for path in (root / "config").rglob("*.yaml"):
        names.update(_names(yaml.safe_load(path.read_text(encoding="utf-8"))))
    for path in (root / "config").rglob("*.urdf"):
        joints = ET.parse(path).getroot().iter("joint")
        names.update(joint.attrib["name"] for joint in joints if "name" in joint.attrib)
    return names


def _names(data: Any) -> Iterator[str]:
    """Walks a description: what a name means is told by the key that it stands under."""
    if isinstance(data, list):
        for item in data:
            yield from _names(item)
    for key, value in data.items() if isinstance(data, dict) else ():
        if isinstance(value, str) and (key == "camera" or key.endswith("topic")):
            yield value.strip("~/")
        elif isinstance(value, NAMING.get(key, ())):
            for name in filter(_is_string, value):
                # The joint of "elbow/position" is "elbow".
                yield from (name, name.rpartition("/")[0] or name)
        yield from _names(value)


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def named_facts(root: Path) -> list[str]:
    """Names each string in the source that is, or has as a part, a name from config/."""
    names = robot_names(root)
    found = []
    for path in sorted((root / "vla_ros").rglob("*.py")):
        for node in _strings(ast.parse(path.read_text(encoding="utf-8"))):
            hits = sorted(names & _parts(node.value))
            if hits:
                found.append(f"{path.relative_to(root)}:{node.lineno}: {', '.join(hits)}")
    return found


def _strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """Lists the string constants of a module, f-strings' parts too, without docstrings."""
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node


def _parts(text: str) -> set[str]:
    """The text itself and, where it reads like a topic or a key, every run of its segments."""
    if not re.fullmatch(r"[~/.\w]+", text):
        return {text}
    parts = {text.strip("~/.")}
    for separator in "/.":
        segments = [segment for segment in text.strip("~/.").split(separator) if segment]
        for start in range(len(segments)):
            for end in range(start, len(segments)):
                parts.add(separator.join(segments[start : end + 1]))
    return parts


def test_no_name_of_a_robot_stands_in_the_source():
    assert named_facts(ROOT) == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    (tmp_path / "config/robots").mkdir(parents=True)
    (tmp_path / "config/robots/arm.yaml").write_text(
        "interfaces: {elbow/position: {lower: 0}, base/linear_x/velocity: {}}\n"
        "cameras: {overhead: {topic: /overhead/image_raw, height: 240}}\n"
        "streams: {joints: {topic: arm_states, interfaces: [thumb/position]}}\n"
    )
    (tmp_path / "config/robots/arm.urdf").write_text("<robot><joint name='knuckle'/></robot>")
    (tmp_path / "vla_ros").mkdir()
    return tmp_path


def test_the_names_are_collected(planted: Path):
    assert robot_names(planted) == {
        "elbow/position", "elbow", "base/linear_x/velocity", "base/linear_x", "overhead",
        "overhead/image_raw", "arm_states", "thumb/position", "thumb", "knuckle",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("joint = 'elbow'", "elbow"),
        ("key = f'{x}/elbow'", "elbow"),
        ("key = 'video.overhead'", "overhead"),
        ("topic = '/robot/arm_states'", "arm_states"),
        ("JOINTS = {'knuckle': 1.0}", "knuckle"),
        ("'''Docstring.'''\nname = 'thumb/position'", "thumb, thumb/position"),
    ],
)
def test_a_name_in_the_source_is_found(planted: Path, line: str, name: str):
    (planted / "vla_ros/bad.py").write_text(f"{line}\n")

    assert named_facts(planted) == [f"vla_ros/bad.py:{line.count(chr(10)) + 1}: {name}"]


def test_docstrings_and_prose_are_left_alone(planted: Path):
    (planted / "vla_ros/good.py").write_text(
        '"""Moves elbow/position."""\nlabel = "the elbow is stuck"\nelbow = height = "elbowed"\n'
    )

    assert named_facts(planted) == []
