# SPDX-License-Identifier: Apache-2.0
"""What a deployment consists of, in plain values.

A ``Deployment`` says which processes run, under which names, with which parameters and environment.
Nothing is started here: `processes.py` runs one without ROS tools, a launch file hands one to
``ros2 launch``. Immutable; any thread.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vla_ros.core.addresses import parse_address
from vla_ros.core.config_files import config_file
from vla_ros.ros.transport import PROFILE_VARIABLES

ParameterValue = bool | int | float | str | list[str]


def transport() -> dict[str, str]:
    """Variables with which raw images cross Fast DDS; empty where the user chose a profile.

    Raises:
        ConfigError: The profile is not installed.
    """
    if any(name in os.environ for name in PROFILE_VARIABLES):
        return {}
    profile = str(config_file("dds", "fast_dds", suffix=".xml"))
    return dict.fromkeys(PROFILE_VARIABLES, profile)


@dataclass(frozen=True, slots=True)
class Node:
    """A ROS node in a process of its own.

    Attributes:
        executable: An executable of this package.
        parameter_files: ROS parameter files, later ones win.
        parameters: Single parameters, which win over the files.
        remappings: Pairs of names, from and to.
        namespace: Where its relative names live, with or without a slash before it.
        called: The node's name; empty: its executable's.
    """

    executable: str
    parameter_files: tuple[Path, ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    called: str = ""

    @property
    def name(self) -> str:
        """The process's name in logs: the namespace's and the node's."""
        return _within(self.namespace, self.called or self.executable)

    def command(self) -> list[str]:
        """The command line that runs it."""
        words = [sys.executable, "-m", f"vla_ros.nodes.{self.executable}", "--ros-args"]
        if self.namespace:
            # ROS takes absolute ones alone here.
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        if self.called:
            words += ["-r", f"__node:={self.called}"]
        for origin, target in self.remappings:
            words += ["-r", f"{origin}:={target}"]
        for path in self.parameter_files:
            words += ["--params-file", str(path)]
        for name, value in self.parameters.items():
            words += ["-p", f"{name}:={_yaml(value)}"]
        return words


@dataclass(frozen=True, slots=True)
class Program:
    """A program without ROS, such as the policy server.

    Attributes:
        module: The Python module that is run.
        arguments: Its command line.
        namespace: Whose it is, where there is more than one.
    """

    module: str
    arguments: tuple[str, ...] = ()
    namespace: str = ""

    @property
    def name(self) -> str:
        """The process's name in logs."""
        return _within(self.namespace, self.module.rpartition(".")[2])

    def command(self) -> list[str]:
        """The command line that runs it."""
        return [sys.executable, "-m", self.module, *self.arguments]


@dataclass(frozen=True, slots=True)
class Deployment:
    """Processes that belong together.

    Attributes:
        nodes: The ROS nodes.
        programs: What runs beside them.
        environment: Variables that all of them need.
    """

    nodes: tuple[Node, ...]
    programs: tuple[Program, ...] = ()
    environment: Mapping[str, str] = field(default_factory=transport)

    @property
    def processes(self) -> tuple[Node | Program, ...]:
        """All that runs; programs first, as nodes may ask them."""
        return (*self.programs, *self.nodes)

    def __add__(self, other: Deployment) -> Deployment:
        """Both deployments at once."""
        return Deployment(
            nodes=self.nodes + other.nodes,
            programs=self.programs + other.programs,
            environment={**self.environment, **other.environment},
        )


def server_parameters(text: str, *, where: str) -> dict[str, ParameterValue]:
    """How the inference node reaches a policy server, or one of several of the same policy.

    Args:
        text: ``HOST:PORT``, or several of them, separated by commas.
        where: What was given so, for errors.

    Raises:
        ConfigError: One is malformed.
    """
    addresses = [part.strip() for part in text.split(",")]
    parsed = [parse_address(address, where=where) for address in addresses]
    if len(parsed) > 1:
        return {"backend.addresses": addresses}
    host, port = parsed[0]
    return {"backend.host": host, "backend.port": port}


def ring(
    *,
    robot: str,
    policy: str,
    params_files: tuple[Path, ...],
    backend: Mapping[str, ParameterValue],
    instruction: str = "",
    namespace: str = "",
    dry_run: bool = False,
    control_rate_hz: float | None = None,
) -> Deployment:
    """The three nodes that make a robot follow a policy.

    Args:
        robot: A robot's name or description file.
        policy: A policy's name or description file.
        params_files: ROS parameters of the three nodes, later ones win.
        backend: The inference node's parameters ``backend`` and ``backend.*``.
        instruction: What to do, until the topic says otherwise; empty: what the file says.
        namespace: Where the ring's names live.
        dry_run: Whether commands go to ``dry_run/...``.
        control_rate_hz: Commands per second; None: what the file says.
    """
    spoken: dict[str, ParameterValue] = {"instruction": instruction} if instruction else {}
    paced = {} if control_rate_hz is None else {"control_rate_hz": control_rate_hz}
    own: dict[str, dict[str, ParameterValue]] = {
        "aggregator": {"robot": robot, "policy": policy, **spoken},
        "inference": {"robot": robot, "policy": policy, **backend},
        "executor": {"robot": robot, "policy": policy, "dry_run": dry_run, **paced},
    }
    return Deployment(
        nodes=tuple(
            Node(name, params_files, parameters, namespace=namespace)
            for name, parameters in own.items()
        )
    )


def policy_server(
    *,
    robot: str,
    policy: str,
    port: int,
    backend: str = "",
    protocol: str = "gr00t",
    latency_ms: float = 0.0,
    latency_jitter_ms: float = 0.0,
    options: Mapping[str, str] | None = None,
) -> Program:
    """A policy server for whoever is on this machine.

    Args:
        robot: A robot's name or description file.
        policy: A policy's name or description file.
        port: Where it listens.
        backend: How it reaches the policy; empty: what the policy's file says.
        protocol: What its clients speak.
        latency_ms: How long it delays its answers.
        latency_jitter_ms: By how much at most that delay varies.
        options: Parameters of the backend.
    """
    return Program(
        "vla_ros.serving.policy_server",
        (
            *("--protocol", protocol, "--robot", robot, "--policy", policy),
            *(("--backend", backend) if backend else ()),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--latency-ms", f"{latency_ms:g}", "--latency-jitter-ms", f"{latency_jitter_ms:g}"),
            *(
                word
                for name, value in (options or {}).items()
                for word in ("--backend-option", f"{name}={value}")
            ),
        ),
    )


def _within(namespace: str, name: str) -> str:
    """A name that is also one of a file."""
    return ".".join([*namespace.strip("/").split("/"), name]) if namespace.strip("/") else name


def _yaml(value: ParameterValue) -> str:
    """A parameter value as the ROS command line reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    if isinstance(value, list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    return repr(value)
