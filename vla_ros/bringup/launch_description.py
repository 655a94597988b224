# SPDX-License-Identifier: Apache-2.0
"""A deployment as a launch description: what the launch files have in common.

The only module that imports ``launch``, which comes with a ROS 2 installation. Arguments are the
fields of a dataclass of choices, so their names, defaults and documentation live there alone.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    OpaqueFunction,
    SetEnvironmentVariable,
)
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node as LaunchNode

from vla_ros.bringup.deployment import Deployment
from vla_ros.core.config_files import config_names
from vla_ros.core.errors import ConfigError

T = TypeVar("T")

_TRUTH = {"true": True, "false": False}


def launch_description(
    choices: type[T], deploy: Callable[[T], Deployment], documents: Mapping[str, str]
) -> LaunchDescription:
    """A launch description whose arguments are a dataclass's fields.

    Args:
        choices: A dataclass of text, numbers and truth values, all with defaults.
        deploy: The deployment that belongs to an instance of it.
        documents: What each field means, shown by ``ros2 launch --show-args``.
    """
    fields = dataclasses.fields(choices)  # type: ignore[arg-type]
    arguments = [
        DeclareLaunchArgument(
            field.name,
            default_value=str(field.default).lower()
            if isinstance(field.default, bool)
            else str(field.default),
            description=documents[field.name],
        )
        for field in fields
    ]

    def make(context: LaunchContext) -> list[Any]:
        given = {field.name: LaunchConfiguration(field.name).perform(context) for field in fields}
        return _actions(deploy(choices(**_converted(choices, given))))

    return LaunchDescription([*arguments, OpaqueFunction(function=make)])


def known(kind: str) -> str:
    """The names of one kind of description file, for an argument's description."""
    return f"one of {', '.join(config_names(kind))}, or a .yaml file"


def _converted(choices: type, given: Mapping[str, str]) -> dict[str, Any]:
    """Launch arguments are text; fields have types."""
    types = typing.get_type_hints(choices)
    converted: dict[str, Any] = {}
    for name, text in given.items():
        try:
            converted[name] = _TRUTH[text.lower()] if types[name] is bool else types[name](text)
        except (KeyError, ValueError) as error:
            wanted = "true or false" if types[name] is bool else f"a {types[name].__name__}"
            raise ConfigError(f"argument {name} must be {wanted}, found {text!r}") from error
    return converted


def _actions(deployment: Deployment) -> list[Any]:
    environment = [
        SetEnvironmentVariable(name, value) for name, value in deployment.environment.items()
    ]
    programs = [
        ExecuteProcess(cmd=program.command(), name=program.name, output="screen")
        for program in deployment.programs
    ]
    nodes = [
        LaunchNode(
            package="vla_ros",
            executable=node.executable,
            name=node.called or None,
            namespace=node.namespace,
            parameters=[*map(str, node.parameter_files), dict(node.parameters)],
            remappings=list(node.remappings),
            output="screen",
        )
        for node in deployment.nodes
    ]
    return [*environment, *programs, *nodes]
