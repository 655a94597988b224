# SPDX-License-Identifier: Apache-2.0
"""Kill what the robot depends on in the middle of an episode; start it again; nothing else.

Stated timeouts: a stale joint state holds within ``max_age_s``; a dead camera or server within what
is left of the chunk (at most horizon times step) plus one retry. Some seconds are added for a busy
machine: what is tested is that it ends in a hold for the right reason, and that it recovers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from test.ros.harness import Domain
from test.system.deployments import ExecutorEye, free_port, processes, relayed
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.bringup.so101_async import So101Async, so101_async

CHUNK_S = 32 / 30
BUSY_S = 8.0

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def running(domain: Domain, tmp_path: Path) -> Iterator[ProcessGroup]:
    chosen = So101Async(server_port=free_port(), instruction="put the red cube on the plate")
    with processes(relayed(so101_async(chosen), chosen.robot_name), domain, tmp_path) as group:
        yield group


def test_what_dies_is_named_and_what_comes_back_is_used(
    domain: Domain, running: ProcessGroup
) -> None:
    eye = ExecutorEye(domain, running)
    eye.wait_for_move()
    for victim, reasons, timeout_s in (
        ("relay_JointState", ("stale_state",), 0.1),
        ("relay_Image", ("stale_camera",), CHUNK_S),
        ("policy_server", ("server_unavailable", "server_silent"), CHUNK_S + 3.0),
    ):
        running.kill(victim)
        eye.wait_for_hold(*reasons, timeout_s=timeout_s + BUSY_S)
        command = np.array(eye.state.command)
        ticks = eye.state.ticks
        eye.wait(lambda it, ticks=ticks: it.ticks > ticks + 25, "ticks", BUSY_S)
        assert np.abs(np.array(eye.state.command) - command).max() < 0.05
        assert eye.state.hold_reason in reasons
        running.restart(victim)
        eye.wait_for_move(timeout_s=BUSY_S + 10.0)
        running.check()


def test_a_stop_latches_until_a_start(domain: Domain, running: ProcessGroup) -> None:
    eye = ExecutorEye(domain, running)
    eye.wait_for_move()
    eye.call("stop")
    eye.wait(lambda it: it.mode == "stopped", "stopped", BUSY_S)
    ticks = eye.state.ticks
    eye.wait(lambda it: it.ticks > ticks + 50, "ticks", BUSY_S)
    assert eye.state.mode == "stopped"
    eye.call("start")
    eye.wait_for_move(timeout_s=BUSY_S)
