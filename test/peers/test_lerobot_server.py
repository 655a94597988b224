# SPDX-License-Identifier: Apache-2.0
"""Our client at LeRobot's PolicyServer; run by ``make test-peers``."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import HORIZON, chunk_of, observation, policy, robot
from test.support.programs import Program, program
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError

pytestmark = [pytest.mark.peer, pytest.mark.timeout(150)]
_REASON = "no lerobot here; make test-peers installs it"
lerobot_grpc = pytest.importorskip("vla_ros.backends.lerobot_grpc", reason=_REASON)
pipelines = pytest.importorskip("test.peers.lerobot_pipeline", reason=_REASON)
made = pytest.importorskip("test.peers.lerobot_checkpoints", reason=_REASON)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def stock_server(port: int, folder: Path) -> AbstractContextManager[Program]:
    """LeRobot's own program; it writes its logs to where it runs."""
    name = "lerobot.async_inference.policy_server"
    return program(["-m", name, "--host=127.0.0.1", f"--port={port}"], folder=folder)


def ready(server: Program, port: int) -> None:
    server.wait_for("PolicyServer started")
    socket.create_connection(("127.0.0.1", port), timeout=5.0).close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With two checkpoints in it."""
    made_in: Path = tmp_path_factory.mktemp("peers")
    for kind in ("act", "diffusion"):
        made.make_checkpoint(kind, made_in / kind)
    return made_in


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[Program, int]]:
    port = free_port()
    with stock_server(port, folder) as running:
        ready(running, port)
        yield running, port


def backend(port: int, kind: str, checkpoint: Path, **changed: Any) -> Any:
    described = policy(kind, str(checkpoint), backend="lerobot_grpc", **changed)
    config = lerobot_grpc.LeRobotConfig(port=port, timeout_s=10.0)
    return lerobot_grpc.Backend(config, robot=robot(), policy=described)


def test_chunks_are_bit_for_bit_those_of_the_policy_in_process(
    server: tuple[Program, int], folder: Path
):
    running, port = server
    pipeline = pipelines.Pipeline(folder / "act")
    ours = backend(port, "act", folder / "act")
    info = ours.connect()

    for index in (0, 1, 2, 9):
        seen = observation(index)
        chunk = ours.infer(seen)

        np.testing.assert_array_equal(chunk.actions, chunk_of(pipeline.predict(seen)))
        assert chunk.stamp_ns == seen.stamp_ns
        assert 0 < chunk.timing.sent_ns <= chunk.timing.received_ns
    ours.reset()
    again = ours.infer(observation(1))
    np.testing.assert_array_equal(again.actions, chunk_of(pipeline.predict(observation(1))))
    ours.close()
    assert str(folder / "act") in info.description
    assert "ERROR" not in running.written


def test_no_more_actions_are_asked_for_than_described(server: tuple[Program, int], folder: Path):
    ours = backend(server[1], "act", folder / "act", horizon=5)
    ours.connect()
    chunk = ours.infer(observation())
    ours.close()

    whole = chunk_of(pipelines.Pipeline(folder / "act").predict(observation()))
    assert len(chunk.actions) == 5
    np.testing.assert_array_equal(chunk.actions, whole[:5])


def test_a_policy_that_fails_there_is_a_named_error_and_another_can_be_asked_for(
    server: tuple[Program, int], folder: Path
):
    running, port = server
    # LeRobot's server lists diffusion, and does not show it what it needs.
    failing = backend(port, "diffusion", folder / "diffusion", horizon=8)
    failing.connect()
    with pytest.raises(RemotePolicyError, match="answered with nothing"):
        failing.infer(observation())
    failing.close()
    running.wait_for("Error in StreamActions")

    ours = backend(port, "act", folder / "act")
    ours.connect()
    assert ours.infer(observation()).horizon == HORIZON
    ours.close()


def test_a_checkpoint_that_is_not_there_is_told_in_the_servers_words(
    server: tuple[Program, int], folder: Path
):
    ours = backend(server[1], "act", folder / "nothing")

    with pytest.raises(RemotePolicyError, match=r"SendPolicyInstructions: UNKNOWN: .*nothing"):
        ours.connect()
    ours.close()


def test_a_server_that_was_started_anew_is_told_everything_anew(tmp_path: Path, folder: Path):
    port = free_port()
    ours = backend(port, "act", folder / "act")
    with stock_server(port, tmp_path) as running:
        ready(running, port)
        ours.connect()
        before = ours.infer(observation())
    with pytest.raises(BackendUnavailable):
        ours.infer(observation(1))

    with stock_server(port, tmp_path) as running:
        ready(running, port)
        after = ours.infer(observation())
        ours.close()
    np.testing.assert_array_equal(after.actions, before.actions)
