# SPDX-License-Identifier: Apache-2.0
"""A recording in a robot's place: its data as topics, its actions as the policy. Any thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vla_ros.bringup.deployment import Deployment, Node, policy_server, ring
from vla_ros.core.config_files import config_file


@dataclass(frozen=True, slots=True)
class Recorded:
    """What can be chosen of this deployment.

    Attributes:
        recording: The episode's ``.npz`` file.
        robot: The recorded robot's name or description file.
        policy: The replayed policy's name or description file.
        server_port: Port of the policy server.
        latency_ms: How long that server delays its answers.
    """

    recording: Path
    robot: str = "gr1_recording"
    policy: str = "gr1_replay"
    server_port: int = 5555
    latency_ms: float = 0.0


def recorded(chosen: Recorded) -> Deployment:
    """Recording, policy server that replays it, and ring.

    Raises:
        ConfigError: A description file does not exist.
    """
    params_file = config_file("nodes", "recorded")
    nodes = ring(
        robot=chosen.robot,
        policy=chosen.policy,
        params_files=(params_file,),
        backend={
            "backend": "gr00t_zmq",
            "backend.host": "127.0.0.1",
            "backend.port": chosen.server_port,
        },
    )
    recording = str(chosen.recording.resolve())
    source = Node(
        "recording_source", (params_file,), {"robot": chosen.robot, "recording": recording}
    )
    server = policy_server(
        robot=chosen.robot,
        policy=chosen.policy,
        port=chosen.server_port,
        backend="replay",
        latency_ms=chosen.latency_ms,
        options={"recording": recording},
    )
    return Deployment(nodes=(source,), programs=(server,)) + nodes
