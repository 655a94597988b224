# SPDX-License-Identifier: Apache-2.0
"""Two policy servers of a 300 ms model, and what the robot notices of their deaths.

A chunk lasts 50 actions at 30 Hz, and the next one is asked for when half of it is left: 0.83 s, in
which two servers can be asked one after the other.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray

from test.ros.harness import Domain
from test.system.deployments import START_S, ExecutorEye, free_port, processes
from vla_ros.bringup.deployment import Program, policy_server
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.bringup.so101_async import So101Async, so101_async
from vla_ros.core.config_files import config_file
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import EVENT

HORIZON = 50
LATENCY_MS = 300.0
TIMEOUT_S = 3.0
BUSY_S = 8.0
ATTEMPTS = 4

pytestmark = pytest.mark.timeout(120)


@dataclasses.dataclass(frozen=True, slots=True)
class Named(Program):
    """A program of which two run."""

    called: str = ""

    @property
    def name(self) -> str:
        """The process's name in logs."""
        return self.called


class Robot(ExecutorEye):
    """A robot with two servers, called by their addresses.

    Attributes:
        servers: The addresses, which are the processes' names too; the first is asked first.
        running: All processes.
    """

    def __init__(self, domain: Domain, running: ProcessGroup, servers: list[str]) -> None:
        super().__init__(domain, running)
        self.servers = servers
        self.running = running
        self._diagnostics: dict[str, str] = {}
        domain.peer.create_subscription(DiagnosticArray, TOPIC, self._be_told, EVENT)

    def _be_told(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name == "/inference: policy":
                self._diagnostics = {value.key: value.value for value in status.values}

    @property
    def in_use(self) -> str:
        """The server that the diagnostics say is asked."""
        return self._diagnostics.get("server", "")

    def held(self, *reasons: str) -> int:
        """Ticks in which it held for reasons that begin so."""
        ticks = zip(self.state.hold_reasons, self.state.hold_ticks, strict=True)
        return sum(count for reason, count in ticks if reason.startswith(reasons))

    @property
    def starved(self) -> int:
        """Ticks without an action to execute, or held because of a server."""
        return self.state.starved_ticks + self.held("server_")

    def gets(self, chunks: int) -> None:
        """Wait for more chunks."""
        after = self.state.chunks_received + chunks
        self.wait(lambda it: it.chunks_received >= after, f"{chunks} chunks", START_S)

    def wait_for_request(self) -> None:
        """Until a server works on an observation."""
        self.wait(lambda it: it.last_request_id > it.last_chunk_id, "a request", BUSY_S)

    def wait_for_server(self, address: str) -> None:
        """Until the diagnostics say that this one is asked."""
        self.wait(lambda _: self.in_use == address, f"{address} in use", BUSY_S)

    def never_starves(self, harm: Callable[[str], None], mend: Callable[[str], None]) -> None:
        """Harm the server in use while it works on an observation.

        Where it starved and cameras or joints stood still besides, the machine was too busy to
        tell, and it is tried once more.
        """
        for _ in range(ATTEMPTS):
            self.gets(6)
            victim, other = sorted(self.servers, key=lambda server: server != self.in_use)
            before, stale = self.starved, self.held("stale_")
            self.wait_for_request()
            harm(victim)
            self.gets(4)
            self.wait_for_server(other)
            if self.starved == before:
                return
            assert self.held("stale_") > stale, f"it starved for {self.starved - before} ticks"
            mend(victim)
        pytest.skip("this machine is too busy")


@pytest.fixture
def robot(domain: Domain, tmp_path: Path) -> Iterator[Robot]:
    policy = tmp_path / "policy.yaml"
    text = config_file("policies", "so101_scripted").read_text("utf-8")
    policy.write_text(text.replace("horizon: 32", f"horizon: {HORIZON}"), "utf-8")
    params = yaml.safe_load(config_file("nodes", "so101_async").read_text("utf-8"))
    executor = params["/**/executor"]["ros__parameters"]
    executor |= {"actions_per_chunk": HORIZON, "chunk_size_threshold": 0.5}
    params["/**/inference"]["ros__parameters"]["backend"] = {"timeout_s": TIMEOUT_S}
    params_file = tmp_path / "params.yaml"
    params_file.write_text(yaml.safe_dump(params), "utf-8")
    ports = [free_port(), free_port()]
    servers = [f"127.0.0.1:{port}" for port in ports]
    made = so101_async(
        So101Async(
            policy=str(policy),
            server_address=",".join(servers),
            params_file=str(params_file),
            instruction="put the red cube on the plate",
        )
    )
    programs = tuple(
        Named(program.module, program.arguments, called=server)
        for port, server in zip(ports, servers, strict=True)
        for program in [
            policy_server(robot="so101_sim", policy=str(policy), port=port, latency_ms=LATENCY_MS)
        ]
    )
    with processes(dataclasses.replace(made, programs=programs), domain, tmp_path) as running:
        it = Robot(domain, running, servers)
        it.wait_for_move()
        yield it


def test_one_server_takes_over_from_the_other_and_both_are_named_when_they_are_dead(
    robot: Robot,
) -> None:
    here, there = robot.servers
    robot.gets(6)
    robot.wait_for_server(here)
    held = robot.held("server_")
    robot.wait_for_request()
    robot.running.kill(here)
    robot.gets(2)
    robot.wait_for_server(there)
    assert robot.held("server_") == held

    robot.running.kill(there)
    robot.wait_for_hold("server_unavailable", timeout_s=BUSY_S + 2.0)
    robot.wait(lambda it: here in it.detail and there in it.detail, "both addresses", BUSY_S)

    robot.running.restart(here)
    robot.wait_for_move(timeout_s=BUSY_S + 10.0)
    robot.wait_for_server(here)


@pytest.mark.slow
def test_the_arm_never_starves_when_a_server_dies(robot: Robot) -> None:
    robot.never_starves(robot.running.kill, robot.running.restart)


@pytest.mark.slow
def test_the_arm_never_starves_when_a_server_falls_silent(domain: Domain, robot: Robot) -> None:
    # Silence is noticed after one and a half times the time of an answer at least.
    assert domain.set_parameter("executor", "chunk_size_threshold", 0.7).successful

    def tell(server: str, number: signal.Signals) -> None:
        os.kill(robot.running.pid(server), number)

    robot.never_starves(
        lambda server: tell(server, signal.SIGSTOP), lambda server: tell(server, signal.SIGCONT)
    )
    for server in robot.servers:
        tell(server, signal.SIGCONT)
