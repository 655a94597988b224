# SPDX-License-Identifier: Apache-2.0
"""What the Ray Serve application is told: the ``args`` of a Serve config file. Any thread."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, build, param
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.serving.policy_options import make_backend
from vla_ros.serving.sessions import MAX_SESSIONS


@dataclass(frozen=True, slots=True)
class PolicyChoice:
    """A policy that is served."""

    robot: str = param(REQUIRED, "The robot: a name in config/robots, or a file.")
    policy: str = param(REQUIRED, "The policy: a name in config/policies, or a file.")
    backend: str = param("", "How it is reached; empty: what its description says.")
    backend_options: tuple[str, ...] = param((), "NAME=VALUE of the backend's parameters.")

    def spec(self) -> PolicySpec:
        """Its description.

        Raises:
            ConfigError: It is wrong, or is not on this machine.
        """
        return load_policy_spec(config_file("policies", self.policy))

    def make(self) -> PolicyBackend:
        """Its backend, not connected yet.

        Raises:
            ConfigError: A description, the backend or one of its options is wrong, or is not on
                this machine.
        """
        options = argparse.Namespace(
            robot=self.robot,
            policy=self.policy,
            backend=self.backend,
            backend_option=self.backend_options,
        )
        return make_backend(options)


@dataclass(frozen=True, slots=True)
class Settings:
    """How policies are served, all of them alike."""

    max_policies: int = param(1, "How many policies a replica holds at once.", ge=1, le=64)
    max_batch: int = param(
        8,
        "How many observations are inferred at once, where the backend can.",
        ge=1,
        le=MAX_SESSIONS,
    )
    batch_wait_ms: float = param(
        0.0, "How long the first of them waits for the others [ms].", ge=0.0, le=10_000.0
    )
    stuck_after_s: float = param(
        600.0, "A replica that is in one call for longer is started anew [s].", ge=1.0, le=86_400.0
    )
    max_message_mib: float = param(64.0, "A longer request is refused [MiB].", ge=0.001, le=1024.0)
    api_token: str = param(
        "", "What clients must say to be let in; empty: $VLA_ROS_API_TOKEN, or else nothing."
    )


@dataclass(frozen=True, slots=True)
class RayOptions:
    """All that the application is told.

    Attributes:
        policies: What is served under which name; the first one answers who names none.
        settings: How.
    """

    policies: Mapping[str, PolicyChoice]
    settings: Settings


def read_options(args: Mapping[str, Any]) -> RayOptions:
    """What stands under ``args``.

    Raises:
        ConfigError: Something is missing, unknown or out of range; the text says what and where.
    """
    rest = dict(args)
    given = rest.pop("policies", None)
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"args: policies must map at least one name to a policy, found {given!r}")
    return RayOptions(
        policies={name: _choice(name, choice) for name, choice in given.items()},
        settings=build(Settings, rest, where="args"),
    )


def _choice(name: object, given: object) -> PolicyChoice:
    # It stands in addresses.
    if not isinstance(name, str) or not name or "/" in name:
        raise ConfigError(f"args: policies: a name must be text without a slash, found {name!r}")
    where = f"args: policies: {name}"
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where} must be a map, found {given!r}")
    return build(PolicyChoice, {"policy": name, **given}, where=where)
