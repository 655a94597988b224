# SPDX-License-Identifier: Apache-2.0
"""LeRobot's RobotClient at our server; run by ``make test-peers``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import HORIZON, RATE_HZ, VALUES, policy_text, robot_text
from test.support.programs import Program, policy_server, program

pytestmark = [pytest.mark.peer, pytest.mark.timeout(150)]

DURATION_S = 20.0
# More than one part of a message.
IMAGE = (600, 800)
_TROUBLE = re.compile(r"ERROR|WARNING|Traceback|[Ee]xception")


def served(folder: Path, *options: str) -> Any:
    """Our server with a policy that stays where it is, 35 ms later."""
    (folder / "robot.yaml").write_text(robot_text(IMAGE))
    (folder / "policy.yaml").write_text(policy_text("act", "nobody/nothing", backend="hold"))
    return policy_server(
        "--protocol", "lerobot", "--latency-ms", "35", "--robot", str(folder / "robot.yaml"),
        "--policy", str(folder / "policy.yaml"), *options,
    )  # fmt: skip


def client(port: int, duration_s: float, output: Path) -> Any:
    arguments = ["-m", "test.peers.lerobot_client", str(port), str(duration_s)]
    size = [str(pixels) for pixels in IMAGE]
    return program([*arguments, *size, str(output)], folder=output.parent)


def ended(running: Program, duration_s: float) -> None:
    assert running.process.wait(duration_s + 25.0) == 0, running.written


def check(output: Path, duration_s: float) -> None:
    """A robot that was served well."""
    facts = json.loads(output.read_text())
    shown = {step for step, _ in facts["sent"]}
    firsts = [steps[0] for steps, _ in facts["chunks"]]
    # Every chunk is whole, of an observation that was sent, and holds still where that was.
    for steps, actions in facts["chunks"]:
        assert steps == list(range(steps[0], steps[0] + HORIZON))
        assert np.shape(actions) == (HORIZON, len(VALUES))
        assert np.ptp(actions, axis=0).max() == 0.0
        sent = [state for step, state in facts["sent"] if step == steps[0]]
        apart = np.abs(np.array(sent) - actions[0]).max(axis=1)
        assert apart.min() < 1e-4
    assert firsts == sorted(firsts)
    assert len(firsts) > duration_s
    assert set(firsts) <= shown
    # The arm moved all the time, and no step was passed over.
    steps = facts["steps"]
    assert facts["told"] == len(steps)
    assert len(steps) > 0.8 * duration_s * RATE_HZ
    assert set(steps) == set(range(min(steps), max(steps) + 1))
    assert steps == sorted(steps)


def test_their_client_runs_at_our_server_without_an_error(tmp_path: Path):
    output = tmp_path / "facts.json"
    with served(tmp_path) as (server, port), client(port, DURATION_S, output) as running:
        ended(running, DURATION_S)

        assert not _TROUBLE.search(running.written), running.written
        assert not _TROUBLE.search(server.written), server.written
    check(output, DURATION_S)


def test_two_of_their_clients_do_not_disturb_each_other(tmp_path: Path):
    duration_s = 6.0
    outputs = [tmp_path / name for name in ("one.json", "other.json")]
    with (
        served(tmp_path) as (server, port),
        client(port, duration_s, outputs[0]) as one,
        client(port, duration_s, outputs[1]) as other,
    ):
        for running in (one, other):
            ended(running, duration_s)
            assert not _TROUBLE.search(running.written), running.written
        assert not _TROUBLE.search(server.written), server.written
    for output in outputs:
        check(output, duration_s)


def test_their_client_is_told_why_it_is_refused(tmp_path: Path):
    output = tmp_path / "facts.json"
    allowed = ("--allow-checkpoint", "somebody/else")
    with served(tmp_path, *allowed) as (server, port), client(port, 1.0, output) as running:
        assert running.process.wait(25.0) == 1
        said = running.wait_for(r"PERMISSION_DENIED")

        assert said
        assert "'nobody/nothing' is not served here, but somebody/else" in running.written
        server.wait_for(r"refused a call")
