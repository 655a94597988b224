# SPDX-License-Identifier: Apache-2.0
"""Unitree G1s that follow a policy: simulators or a robot, bridges, server, rings. Any thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_ros.bringup.deployment import (
    Deployment,
    Node,
    ParameterValue,
    Program,
    policy_server,
    ring,
    server_parameters,
)
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError

STAND_IN, ISAACLAB, NONE = "stand_in", "isaaclab", "none"
_SIMS = ("", STAND_IN, ISAACLAB, NONE)
INSTRUCTION = "put the orange cylinder on the plate"
# The one that the stand-in plays.
_TASK = "Isaac-PickPlace-Cylinder-G129-Inspire-Joint"
_ROBOT = "g1_inspire"
_SCRIPTED = "g1_scripted"
_BACKENDS = {"zmq": "gr00t_zmq", "http": "gr00t_http"}
# Unitree's convention: simulators on DDS domain 1, the robot on 0.
_SIM_DOMAIN, _ROBOT_DOMAIN = 1, 0
# Teleimager's own; each further stand-in's are so much higher.
_IMAGE_PORT, _PORTS_APART = 60000, 10


@dataclass(frozen=True, slots=True)
class SimBridge:
    """What can be chosen of this deployment; the launch file's arguments carry these names.

    Attributes:
        sim: What plays the robot: ``stand_in`` is started here, ``isaaclab`` is a running
            unitree_sim_isaaclab, ``none`` is the robot itself. Empty: the stand-in for the robot
            file that is the default, else none.
        host: Where the camera images come from.
        image_port: The port there that tells about the others. A stand-in has all its ports as much
            higher or lower than teleimager's own as this one is.
        robot: The robot's name or description file.
        policy: The policy's name or description file; empty: the scripted one, with the stand-in.
        gr00t_host: Host of a policy server, or ``HOST:PORT`` of several, separated by commas, where
            one takes over when another fails; empty: a scripted one is started here, with the
            stand-in.
        gr00t_port: The port, where there is one host.
        gr00t_protocol: ``zmq`` or ``http``.
        gr00t_api_token: What it wants to hear.
        control_freq: Commands per second.
        task: Name of unitree_sim_isaaclab's task; a simulator that plays another one is reported.
        instruction: What to do, until the topic ``instruction`` says otherwise.
        dds_domain: Unitree's DDS domain; -1: 1 for a simulator, 0 for the robot.
        network_interface: The one that Unitree's DDS uses, such as ``eth0``; empty: any.
        motion_mode: Whether a real robot walks or stands by its own controller, so that its arms
            are commanded through ``rt/arm_sdk``; else ``rt/lowcmd``.
        dry_run: Whether a real robot is left alone: nothing is sent to it, and what would be
            commanded goes to ``dry_run/...``.
        num_robots: How many stand-ins and rings; more than one live in ``robot_0`` and on.
        seed: Seed of the first stand-in's first world; each further one adds 1000.
        latency_ms: How long the server that is started here delays its answers.
        latency_jitter_ms: By how much at most that delay varies.
        params_file: ROS parameters of the nodes; empty: the package's own.
        namespace: Where all names live.
    """

    sim: str = ""
    host: str = "127.0.0.1"
    image_port: int = _IMAGE_PORT
    robot: str = _ROBOT
    policy: str = ""
    gr00t_host: str = ""
    gr00t_port: int = 5556
    gr00t_protocol: str = "zmq"
    gr00t_api_token: str = ""
    control_freq: float = 50.0
    task: str = _TASK
    instruction: str = INSTRUCTION
    dds_domain: int = -1
    network_interface: str = ""
    motion_mode: bool = True
    dry_run: bool = True
    num_robots: int = 1
    seed: int = 0
    latency_ms: float = 0.0
    latency_jitter_ms: float = 0.0
    params_file: str = ""
    namespace: str = ""

    @property
    def plays(self) -> str:
        """What plays the robot.

        Raises:
            ConfigError: There is no such thing.
        """
        if self.sim not in _SIMS:
            raise ConfigError(f"sim must be one of {', '.join(_SIMS[1:])}, found {self.sim!r}")
        return self.sim or (STAND_IN if self.robot == _ROBOT else NONE)

    @property
    def policy_name(self) -> str:
        """The policy that is meant.

        Raises:
            ConfigError: There is a default for the stand-in alone.
        """
        if self.policy:
            return self.policy
        if self.plays != STAND_IN or self.gr00t_host:
            raise ConfigError(
                "policy must be given with a robot, with isaaclab and with gr00t_host: a name or a"
                " .yaml file"
            )
        return _SCRIPTED


def sim_bridge(chosen: SimBridge) -> Deployment:
    """Simulators, bridges, policy server and rings, as far as they are wanted.

    Raises:
        ConfigError: A description file does not exist, or the choices contradict each other.
    """
    _check(chosen)
    programs: tuple[Program, ...] = ()
    if not chosen.gr00t_host:
        programs = (
            policy_server(
                robot=chosen.robot,
                policy=chosen.policy_name,
                port=chosen.gr00t_port,
                latency_ms=chosen.latency_ms,
                latency_jitter_ms=chosen.latency_jitter_ms,
            ),
        )
    made = Deployment(nodes=(), programs=programs)
    for index in range(chosen.num_robots):
        made += _robot(chosen, index)
    return made


def _check(chosen: SimBridge) -> None:
    if chosen.gr00t_protocol not in _BACKENDS:
        raise ConfigError(
            f"gr00t_protocol must be one of {', '.join(_BACKENDS)}, found {chosen.gr00t_protocol!r}"
        )
    if not chosen.gr00t_host and chosen.policy_name != _SCRIPTED:
        raise ConfigError(f"gr00t_host must be the host of the server of policy {chosen.policy}")
    if not chosen.gr00t_host and chosen.gr00t_protocol != "zmq":
        raise ConfigError("gr00t_protocol must be zmq for the server that is started here")
    if chosen.num_robots < 1:
        raise ConfigError(f"num_robots must be at least 1, found {chosen.num_robots}")
    if chosen.num_robots > 1 and chosen.plays != STAND_IN:
        raise ConfigError(
            f"num_robots must be 1 with sim {chosen.plays}: Unitree's topics have the same names on"
            f" every robot; found {chosen.num_robots}"
        )
    if chosen.plays == STAND_IN and chosen.task != _TASK:
        raise ConfigError(f"task must be {_TASK} with the stand-in, found {chosen.task!r}")


def _robot(chosen: SimBridge, index: int) -> Deployment:
    """One robot: what plays it, the bridges, the ring."""
    real = chosen.plays == NONE
    params_files: tuple[Path, ...] = (config_file("nodes", chosen.params_file or "sim_bridge"),)
    if real and not chosen.params_file:
        params_files += (config_file("nodes", "sim_bridge_real"),)
    several = chosen.num_robots > 1
    namespace = "/".join(
        part for part in (chosen.namespace.strip("/"), f"robot_{index}" if several else "") if part
    )
    domain, image_port = _domain(chosen) + index, chosen.image_port + _PORTS_APART * index
    bridge: dict[str, ParameterValue] = {
        "robot": chosen.robot,
        "domain": domain,
        "network_interface": chosen.network_interface,
        "command_topic": "arm_sdk" if real and chosen.motion_mode else "lowcmd",
        "imu_quaternion_order": "wxyz" if real else "xyzw",
        "task": chosen.task,
        "dry_run": chosen.dry_run and real,
    }
    images: dict[str, ParameterValue] = {
        "robot": chosen.robot,
        "host": chosen.host,
        "config_port": image_port,
    }
    bridges = (
        Node("unitree_bridge", params_files, bridge, namespace=namespace),
        Node("image_stream_bridge", params_files, images, namespace=namespace),
    )
    nodes = ring(
        robot=chosen.robot,
        policy=chosen.policy_name,
        params_files=params_files,
        backend={
            "backend": _BACKENDS[chosen.gr00t_protocol],
            **_servers(chosen),
            **({"backend.api_token": chosen.gr00t_api_token} if chosen.gr00t_api_token else {}),
        },
        instruction=chosen.instruction,
        namespace=namespace,
        dry_run=chosen.dry_run and real,
        control_rate_hz=chosen.control_freq,
    )
    programs: tuple[Program, ...] = ()
    if chosen.plays == STAND_IN:
        stand_in = (
            *("--robot", chosen.robot, "--domain", str(domain)),
            *("--network-interface", chosen.network_interface),
            *("--port-offset", str(image_port - _IMAGE_PORT)),
            *("--seed", str(chosen.seed + 1000 * index)),
        )
        programs = (Program("vla_ros.sim.unitree_stand_in", stand_in, namespace),)
    return Deployment(nodes=bridges, programs=programs) + nodes


def _servers(chosen: SimBridge) -> dict[str, ParameterValue]:
    if "," in chosen.gr00t_host:
        return server_parameters(chosen.gr00t_host, where="gr00t_host")
    return {"backend.host": chosen.gr00t_host or "127.0.0.1", "backend.port": chosen.gr00t_port}


def _domain(chosen: SimBridge) -> int:
    if chosen.dds_domain >= 0:
        return chosen.dds_domain
    return _ROBOT_DOMAIN if chosen.plays == NONE else _SIM_DOMAIN
