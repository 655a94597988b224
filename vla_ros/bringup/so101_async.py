# SPDX-License-Identifier: Apache-2.0
"""An SO101 that follows a policy asynchronously: simulation, server and ring. Any thread."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.bringup.deployment import Deployment, Node, Program, ring
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError

_SCRIPTED = "scripted_pick_and_place"


@dataclass(frozen=True, slots=True)
class So101Async:
    """What can be chosen of this deployment; the launch file's arguments carry these names.

    Attributes:
        sim: Whether the robot is simulated; without, its drivers must be running.
        robot: The robot's name or description file.
        policy: The policy's name or description file; it is reached over the GR00T wire.
        server_address: ``HOST:PORT`` of a GR00T policy server; empty: one that serves the scripted
            policy is started here.
        server_port: Port of the server that is started here.
        latency_ms: How long that server delays its answers, to rehearse a real model.
        latency_jitter_ms: By how much at most that delay varies.
        instruction: What to do, until the topic ``instruction`` says otherwise.
        seed: Seed of the simulated world.
        params_file: ROS parameters of the nodes; empty: the package's own.
        namespace: Where all names live.
    """

    sim: bool = True
    robot: str = "so101_sim"
    policy: str = "so101_scripted"
    server_address: str = ""
    server_port: int = 5555
    latency_ms: float = 0.0
    latency_jitter_ms: float = 0.0
    instruction: str = ""
    seed: int = 0
    params_file: str = ""
    namespace: str = ""


def so101_async(chosen: So101Async) -> Deployment:
    """Simulation, policy server and ring of an SO101, as far as they are wanted.

    Raises:
        ConfigError: A description file does not exist, or the address is malformed.
    """
    params_file = config_file("nodes", chosen.params_file or "so101_async")
    host, port = _address(chosen)
    nodes = ring(
        robot=chosen.robot,
        policy=chosen.policy,
        params_file=params_file,
        backend={"backend": "gr00t_zmq", "backend.host": host, "backend.port": port},
        instruction=chosen.instruction,
        namespace=chosen.namespace,
    )
    simulation = Node(
        "simulation",
        (params_file,),
        {"robot": chosen.robot, "seed": chosen.seed},
        namespace=chosen.namespace,
    )
    beside = Deployment(
        nodes=(simulation,) if chosen.sim else (),
        programs=() if chosen.server_address else (_scripted_server(chosen),),
    )
    return beside + nodes


def _address(chosen: So101Async) -> tuple[str, int]:
    if not chosen.server_address:
        return "127.0.0.1", chosen.server_port
    host, _, port = chosen.server_address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError(f"server_address must be HOST:PORT, found {chosen.server_address!r}")
    return host, int(port)


def _scripted_server(chosen: So101Async) -> Program:
    """A policy server with the scripted policy, at the address that the ring asks."""
    return Program(
        "vla_ros.serving.policy_server",
        (
            *("--backend", _SCRIPTED, "--robot", chosen.robot, "--policy", chosen.policy),
            *("--host", "127.0.0.1", "--port", str(chosen.server_port)),
            *("--latency-ms", f"{chosen.latency_ms:g}"),
            *("--latency-jitter-ms", f"{chosen.latency_jitter_ms:g}"),
        ),
    )
