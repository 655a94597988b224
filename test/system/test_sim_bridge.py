# SPDX-License-Identifier: Apache-2.0
"""The G1 over real DDS: what it loses is named and it holds; two of them share one server."""

from __future__ import annotations

import dataclasses
import json
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from test.ros.harness import Domain
from test.system.deployments import ExecutorEye, free_port, processes
from vla_ros.bringup.deployment import Deployment, Node
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.bringup.sim_bridge import SimBridge, sim_bridge
from vla_ros.core.episode_log import EpisodeLog

CHUNK_S = 32 / 30
STATE_S, CAMERA_S = 0.2, 0.4
BUSY_S = 10.0
EPISODE_S = 60.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def chosen(**changes: object) -> SimBridge:
    """A stand-in whose DDS domain and ports nobody else uses."""
    defaults = SimBridge(
        gr00t_port=free_port(),
        image_port=_free_image_port(),
        dds_domain=random.randint(100, 190),
        network_interface="lo",
    )
    return dataclasses.replace(defaults, **changes)


def _free_image_port() -> int:
    """A configuration port so that all that a few stand-ins listen at is free."""
    for offset in random.sample(range(-30000, -1000, 100), 100):
        ports = [
            base + offset + step for base in (60000, 55555) for step in (*range(3), 10, 11, 12)
        ]
        try:
            for port in ports:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return 60000 + offset
    raise RuntimeError("no free ports")


@pytest.fixture
def running(domain: Domain, tmp_path: Path) -> Iterator[ProcessGroup]:
    with processes(sim_bridge(chosen()), domain, tmp_path) as group:
        yield group


def test_what_is_lost_is_named_and_arms_and_hands_hold(
    domain: Domain, running: ProcessGroup
) -> None:
    eye = ExecutorEye(domain, running)
    eye.wait_for_move(timeout_s=60.0)
    for victim, reasons, timeout_s in (
        ("image_stream_bridge", ("stale_camera",), CAMERA_S + CHUNK_S),
        ("unitree_bridge", ("stale_state",), STATE_S),
        ("policy_server", ("server_unavailable", "server_silent"), CHUNK_S + 3.0),
        ("unitree_stand_in", ("stale_state",), STATE_S),
    ):
        running.kill(victim)
        eye.wait_for_hold(*reasons, timeout_s=timeout_s + BUSY_S)
        ticks = eye.state.ticks
        eye.wait(lambda it, ticks=ticks: it.ticks > ticks + 25, "rest", BUSY_S)
        command = np.array(eye.state.command)
        eye.wait(lambda it, ticks=ticks: it.ticks > ticks + 50, "ticks", BUSY_S)
        assert len(command) == 26
        np.testing.assert_array_equal(eye.state.command, command)
        running.restart(victim)
        eye.wait_for_move(timeout_s=BUSY_S + 20.0)
        running.check()


def test_two_robots_succeed_with_one_server(domain: Domain, tmp_path: Path) -> None:
    settings = chosen(num_robots=2)
    made = sim_bridge(settings)
    for index in range(2):
        made += Deployment(nodes=(_runner(settings, index, tmp_path),))
    logs = [tmp_path / str(index) / "episode_00.npz" for index in range(2)]
    with processes(made, domain, tmp_path / "logs"):
        domain.spin_until(
            lambda: all(path.exists() for path in logs), "both episodes", 60.0 + 2 * EPISODE_S
        )
    for path in logs:
        with np.load(path, allow_pickle=False) as arrays:
            facts = EpisodeLog.from_arrays(arrays).facts
        assert facts["success"] is True, json.dumps(facts, indent=1)


def _runner(settings: SimBridge, index: int, folder: Path) -> Node:
    return Node(
        "episode_runner",
        parameters={
            "robot": settings.robot,
            "output": str(folder / str(index)),
            "source": "unitree",
            "episodes": 1,
            "instruction": settings.instruction,
            "episode_timeout_s": EPISODE_S,
        },
        namespace=f"robot_{index}",
    )
