# SPDX-License-Identifier: Apache-2.0
"""What the demo runs: a robot, a deployment that makes it follow a policy, and who conducts it."""

from __future__ import annotations

import argparse
import socket
from dataclasses import dataclass
from typing import Any

from vla_ros.bringup.deployment import Deployment, Node, ParameterValue
from vla_ros.bringup.recorded import Recorded, recorded
from vla_ros.bringup.sim_bridge import INSTRUCTION, SimBridge, sim_bridge
from vla_ros.bringup.so101_async import So101Async, so101_async
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

RUNNER = "episode_runner"
_EPISODES = 5


@dataclass(frozen=True, slots=True)
class Stage:
    """Everything that runs.

    Attributes:
        robot: The body.
        deployment: The processes, the episode runner among them.
        episodes: How many episodes it conducts.
        episode_s: How long one may take.
    """

    robot: RobotSpec
    deployment: Deployment
    episodes: int
    episode_s: float


def make_stage(options: argparse.Namespace) -> Stage:
    """The stage that the demo's options ask for.

    Raises:
        ConfigError: They ask for what does not exist.
    """
    robot = options.robot or "so101"
    if (options.backend or options.server) and (options.recording or robot != "so101"):
        raise ConfigError("--backend and --server go with --robot so101 alone, and no recording")
    if options.recording is not None:
        return _recording(options)
    if robot not in _BODIES:
        raise ConfigError(f"--robot must be one of {', '.join(_BODIES)}, found {robot!r}")
    return _BODIES[robot](options)


def _so101(options: argparse.Namespace) -> Stage:
    chosen = So101Async(
        server_port=_free_port(),
        latency_ms=options.latency_ms,
        instruction=options.instruction,
        seed=options.seed,
        policy=options.policy or "",
        backend=options.backend or "",
        server_address=options.server or "",
    )
    robot = load_robot_spec(config_file("robots", chosen.robot_name))
    return _stage(
        options, robot, so101_async(chosen), 30.0, seed=options.seed, instruction=chosen.instruction
    )


def _g1(options: argparse.Namespace) -> Stage:
    instruction = options.instruction or INSTRUCTION
    chosen = SimBridge(
        gr00t_port=_free_port(),
        latency_ms=options.latency_ms,
        instruction=instruction,
        seed=options.seed,
        policy=options.policy or "",
        # Nobody else's simulator shall hear of the demo.
        network_interface="lo",
    )
    robot = load_robot_spec(config_file("robots", chosen.robot))
    return _stage(
        options,
        robot,
        sim_bridge(chosen),
        45.0,
        source="unitree",
        seed=options.seed,
        instruction=instruction,
    )


_BODIES = {"so101": _so101, "g1": _g1}


def _recording(options: argparse.Namespace) -> Stage:
    if not options.recording.is_file():
        raise ConfigError(f"recording {options.recording} does not exist")
    named: dict[str, Any] = {"robot": options.robot, "policy": options.policy}
    chosen = Recorded(
        options.recording,
        server_port=_free_port(),
        latency_ms=options.latency_ms,
        **{key: name for key, name in named.items() if name is not None},
    )
    robot = load_robot_spec(config_file("robots", chosen.robot))
    recording = str(options.recording.resolve())
    options.episodes = options.episodes or 1
    return _stage(options, robot, recorded(chosen), 30.0, source="recording", recording=recording)


def _stage(
    options: argparse.Namespace,
    robot: RobotSpec,
    deployment: Deployment,
    episode_s: float,
    **more: ParameterValue,
) -> Stage:
    """With the node that conducts the episodes and films the first one with the first camera."""
    episodes = options.episodes or _EPISODES
    parameters: dict[str, ParameterValue] = {
        "robot": robot.source,
        "output": str(options.output.resolve()),
        "episodes": episodes,
        "episode_timeout_s": episode_s,
        "film_camera": next(iter(robot.cameras), ""),
        **more,
    }
    runner = Deployment(nodes=(Node(RUNNER, parameters=parameters),))
    return Stage(robot, deployment + runner, episodes, episode_s)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
