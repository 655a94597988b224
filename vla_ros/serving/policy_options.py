# SPDX-License-Identifier: Apache-2.0
"""What all programs that ask or serve a policy can be told of it. For one thread."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import yaml

from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class, backend_names, new_backend
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import build, describe
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec


def add_policy_options(made: argparse.ArgumentParser) -> None:
    """Which policy is meant, and how it is reached."""
    made.add_argument("--robot", required=True, help="robot: a name in config/robots, or a file")
    made.add_argument(
        "--policy", required=True, help="policy: a name in config/policies, or a file"
    )
    made.add_argument(
        "--backend",
        choices=backend_names(),
        help="how the policy is reached; default: what its description says",
    )
    made.add_argument(
        "--backend-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of the backend; may be given again",
    )


def make_backend(options: argparse.Namespace) -> PolicyBackend:
    """The backend that the options name, not connected yet.

    Raises:
        ConfigError: A description, the backend or one of its options is wrong.
    """
    robot = load_robot_spec(config_file("robots", options.robot))
    policy = load_policy_spec(config_file("policies", options.policy))
    policy.check_against(robot)
    chosen = backend_class(options.backend or policy.backend)
    config: Any = build(
        chosen.Config,
        parse_options(chosen.Config, options.backend_option),
        where="--backend-option",
    )
    return new_backend(chosen, config, robot=robot, policy=policy)


def parse_options(config: type, given: Sequence[str]) -> dict[str, Any]:
    """Parameter name to value, from ``name=value`` texts; numbers and lists as in YAML.

    >>> from vla_ros.backends.gr00t_zmq import Gr00tConfig
    >>> parse_options(Gr00tConfig, ["host=10.0.0.7", "port=5556"])
    {'host': '10.0.0.7', 'port': 5556}

    Raises:
        ConfigError: A text has no ``=``, its value is not YAML, or a name stands twice.
    """
    texts = {info.name for info in describe(config) if info.type is str}
    values: dict[str, Any] = {}
    for item in given:
        name, equals, text = item.partition("=")
        if not equals or name in values:
            raise ConfigError(
                f"--backend-option {item!r}: must be NAME=VALUE, and each name stand once"
            )
        try:
            values[name] = text if name in texts else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--backend-option {item!r}: is not YAML: {error}") from error
    return values
