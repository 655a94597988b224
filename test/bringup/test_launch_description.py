# SPDX-License-Identifier: Apache-2.0
"""Runs where ROS 2's launch is installed, which PyPI does not have; elsewhere it is skipped."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("launch_ros", reason="launch_ros is not installed", exc_type=ImportError)

from launch import LaunchContext, LaunchDescription
from launch.actions import ExecuteProcess, OpaqueFunction
from launch_ros.actions import Node

from vla_ros.core.errors import ConfigError

FILES = sorted((Path(__file__).parents[2] / "launch").glob("*.launch.py"))


def described(path: Path) -> LaunchDescription:
    spec = importlib.util.spec_from_file_location(path.name.partition(".")[0], path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def started(path: Path, **given: str) -> list[Any]:
    description, context = described(path), LaunchContext()
    for argument in description.get_launch_arguments():
        argument.execute(context)
    context.launch_configurations.update(given)
    function = next(it for it in description.entities if isinstance(it, OpaqueFunction))
    return function.execute(context)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_launch_file_starts_nodes_and_documents_its_arguments(path: Path) -> None:
    assert all(argument.description for argument in described(path).get_launch_arguments())
    actions = started(path)
    assert sum(isinstance(action, Node) for action in actions) >= 3


def test_arguments_choose() -> None:
    path = next(path for path in FILES if path.name.startswith("so101_async"))
    actions = started(path, sim="false", server_address="gpu:5555")
    assert sum(isinstance(action, Node) for action in actions) == 3
    assert not [it for it in actions if type(it) is ExecuteProcess]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sim", "perhaps", "true or false"),
        ("latency_ms", "slow", "a float"),
        ("seed", "1.5", "an? int"),
    ],
)
def test_a_bad_argument_is_refused(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"argument {name} must be {words}, found '{value}'"):
        started(FILES[0], **{name: value})
