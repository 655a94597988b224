# SPDX-License-Identifier: Apache-2.0
"""Our client against NVIDIA's servers, and NVIDIA's clients against our server.

VLA_ROS_GR00T_SOURCES lists checkouts of Isaac-GR00T, any generations from N1.5's release on. They
need msgpack, pyzmq and numpy, N1.7 since 2026-05 msgpack_numpy too, N1.5 pydantic and numpydantic.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from test.peers.gr00t_peer import SKIPPED
from test.support.gr00t_samples import (
    HORIZON,
    INSTRUCTION_KEY,
    POLICY,
    ROBOT,
    STAMP_NS,
    moves,
    observation,
    policy,
    robot,
)
from test.support.programs import PATIENCE_S, Program, policy_server, program
from vla_ros.backends._gr00t_client import Gr00tClient
from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError

SOURCES = [
    Path(text) for text in os.environ.get("VLA_ROS_GR00T_SOURCES", "").split(os.pathsep) if text
]
PEER = str(Path(__file__).parent / "gr00t_peer.py")

pytestmark = pytest.mark.skipif(
    not SOURCES, reason="VLA_ROS_GR00T_SOURCES names no checkout of Isaac-GR00T"
)


@pytest.fixture(params=SOURCES, ids=lambda path: path.name)
def checkout(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def is_newer(checkout: Path) -> bool:
    """Whether it is N1.6 or later."""
    return (checkout / "gr00t/policy/server_client.py").is_file()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ready(server: Program) -> None:
    """Waits for a peer's server, and skips where it cannot run."""
    said = server.wait_for(r"listening on|needs (\w+), which is not installed")
    if said[1]:
        pytest.skip(said[0])


def backend(port: int, **config: object) -> Backend:
    return Backend(Gr00tConfig(port=port, timeout_s=10.0, **config), robot=robot(), policy=policy())


def test_our_client_at_their_server(checkout: Path):
    port = free_port()
    with program([PEER, "serve", str(checkout), str(port)]) as server:
        ready(server)
        ours = backend(port)
        info = ours.connect()
        for _ in range(3):
            chunk = ours.infer(observation())
        ours.reset()
        ours.close()

    assert ("wire A5" in info.description) == (not is_newer(checkout))
    np.testing.assert_array_equal(chunk.actions, moves())
    assert chunk.stamp_ns == STAMP_NS
    assert 0 < chunk.timing.sent_ns <= chunk.timing.received_ns


def test_our_client_at_their_simulation_wrapper(checkout: Path):
    if not is_newer(checkout):
        pytest.skip("N1.5 has no simulation wrapper")
    port = free_port()
    with program([PEER, "serve", str(checkout), str(port), "--sim-wrapper"]) as server:
        ready(server)
        for layout in ("auto", "flat"):
            ours = backend(port, layout=layout)
            ours.connect()
            np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
            np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
            ours.close()
        ours = backend(port, layout="nested")
        ours.connect()
        with pytest.raises(RemotePolicyError, match=r"Video key 'video\.front' must be in"):
            ours.infer(observation())
        ours.close()


def test_our_client_at_their_server_with_a_token(checkout: Path):
    port = free_port()
    with program([PEER, "serve", str(checkout), str(port), "--api-token", "secret"]) as server:
        ready(server)
        ours = backend(port, api_token="wrong")
        with pytest.raises(RemotePolicyError, match="Unauthorized"):
            ours.connect()
        ours.close()
        ours = backend(port, api_token="secret")
        ours.connect()
        np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
        ours.close()


def test_our_client_ends_their_server(checkout: Path):
    port = free_port()
    with program([PEER, "serve", str(checkout), str(port)]) as server:
        ready(server)
        channel = ZmqChannel(f"tcp://127.0.0.1:{port}", times=ChannelTimes(), max_bytes=10**6)
        ours = Gr00tClient(channel, api_token=None, max_bytes=10**6, now_ns=time.time_ns)
        ours.ping(time.monotonic() + PATIENCE_S)
        ours.kill(time.monotonic() + PATIENCE_S)
        server.process.wait(PATIENCE_S)
        with pytest.raises(BackendUnavailable):
            ours.ping(time.monotonic() + PATIENCE_S)
        channel.close()


@pytest.mark.parametrize("flat", [False, True], ids=["nested", "flat"])
def test_their_client_at_our_server(checkout: Path, tmp_path: Path, flat: bool):
    newer = is_newer(checkout)
    if flat and not newer:
        pytest.skip("N1.5 is always flat")
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "policy.yaml").write_text(POLICY)
    arguments = ["--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml")]
    wire = [] if newer else ["--modality-wire", "A5"]
    with policy_server(*arguments, *wire, "--api-token", "secret") as (_, port):
        command = [PEER, "call", str(checkout), str(port), "--api-token", "secret"]
        done = subprocess.run(
            [sys.executable, *command, *(["--flat"] if flat else [])],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])

    prefix = "" if newer else "video."
    assert seen["ping"] is True
    assert seen["modality"]["video"] == [
        "ModalityConfig",
        [0],
        [f"{prefix}front", f"{prefix}wrist"],
    ]
    assert seen["modality"]["action"][1] == list(range(HORIZON))
    assert seen["modality"]["language"] == ["ModalityConfig", [0], [INSTRUCTION_KEY]]
    actions = {key.removeprefix("action."): value for key, value in seen["action"].items()}
    assert list(seen["action"]) == [
        f"action.{key}" if flat or not newer else key for key in ("single_arm", "gripper")
    ]
    held = {"single_arm": [0.0, 0.125, 0.25, 0.375, 0.5], "gripper": [0.75]}
    for key, state in held.items():
        expected = [state] * HORIZON
        assert actions[key] == ([expected] if newer else expected)
    assert set(seen["dtype"].values()) == {"float32"}
    assert seen["reset"] == {}
    assert seen["error"] == (
        "Server error: Unknown endpoint: no_such_endpoint; there are ping, kill, reset,"
        " get_action, get_modality_config, get_capabilities, measure_link"
    )
