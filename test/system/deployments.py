# SPDX-License-Identifier: Apache-2.0
"""Deployments for tests of the whole, and an eye on what the executor says."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Callable
from pathlib import Path

from std_srvs.srv import Trigger
from vla_ros_msgs.msg import ExecutorState

from test.ros.harness import Domain
from vla_ros.bringup.deployment import Deployment, Program
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.ros.qos import LATCHED

START_S = 40.0
_SUPPORT = Path(__file__).parents[1] / "support"


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def processes(deployment: Deployment, domain: Domain, folder: Path) -> ProcessGroup:
    """A deployment's processes in a test's domain; programs of test/support can be run too."""
    path = os.pathsep.join([str(_SUPPORT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {"ROS_DOMAIN_ID": str(domain.id), "PYTHONPATH": path}
    return ProcessGroup(deployment, log_folder=folder, environment=environment)


def relayed(made: Deployment, robot_name: str) -> Deployment:
    """The deployment with its cameras and its joint states each behind a process of their own."""
    robot = load_robot_spec(config_file("robots", robot_name))
    cameras = [camera.topic for camera in robot.cameras.values()]
    joints = [stream.topic for stream in robot.state_streams.values()]
    renamed = tuple((topic, f"raw/{topic}") for topic in (*cameras, *joints))
    nodes = tuple(
        dataclasses.replace(node, remappings=renamed) if node.executable == "simulation" else node
        for node in made.nodes
    )
    relays = [
        Relay(f"relay_{kind}", ("relay", kind, *(f"raw/{topic}:{topic}" for topic in topics)))
        for kind, topics in (("Image", cameras), ("JointState", joints))
    ]
    return dataclasses.replace(made, nodes=nodes, programs=(*made.programs, *relays))


@dataclasses.dataclass(frozen=True, slots=True)
class Relay(Program):
    """A relay under a name of its own: two of them run."""

    @property
    def name(self) -> str:
        """The process's name in logs."""
        return self.module

    def command(self) -> list[str]:
        """The command line that runs it."""
        return Program(self.arguments[0], self.arguments[1:]).command()


class ExecutorEye:
    """The executor's last words, and waiting for them."""

    def __init__(self, domain: Domain, running: ProcessGroup) -> None:
        self._domain = domain
        self._running = running
        self.state = ExecutorState()
        domain.peer.create_subscription(ExecutorState, "executor/state", self._hear, LATCHED)

    def _hear(self, message: ExecutorState) -> None:
        self.state = message

    def wait(self, condition: Callable[[ExecutorState], bool], what: str, timeout_s: float) -> None:
        """Spin until the executor's state is so."""
        try:
            self._domain.spin_until(lambda: condition(self.state), what, timeout_s)
        except AssertionError as error:
            self._running.check()
            now = self.state
            seen = f"{now.mode} {now.hold_reason} {now.detail}"
            raise AssertionError(f"{error}; now {seen}") from None

    def wait_for_move(self, timeout_s: float = START_S) -> None:
        """Until it follows a chunk that came after this call."""
        before = self.state.chunks_received
        self.wait(
            lambda it: it.mode == ExecutorState.MOVE and it.chunks_received > before,
            "moving",
            timeout_s,
        )

    def wait_for_hold(self, *reasons: str, timeout_s: float) -> None:
        """Until it holds for one of these reasons."""
        self.wait(
            lambda it: it.mode == ExecutorState.HOLD and it.hold_reason in reasons,
            f"hold for {' or '.join(reasons)}",
            timeout_s,
        )

    def call(self, name: str) -> None:
        """Call one of the executor's services."""
        assert self._domain.call(Trigger, f"executor/{name}", Trigger.Request()).success
