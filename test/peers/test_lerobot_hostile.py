# SPDX-License-Identifier: Apache-2.0
"""Pickles that harm whoever loads them, at our client and our server; run by ``make test-peers``.

They are made with the real torch and LeRobot, and shown to work on a reader that trusts.
"""

from __future__ import annotations

import builtins
import io
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.lerobot_arm import HORIZON, observation, policy, policy_text, robot, robot_text
from test.support.programs import policy_server
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.protobuf import encode_data, observation_parts

pytestmark = pytest.mark.peer
_REASON = "no lerobot here; make test-peers installs it"
grpc = pytest.importorskip("grpc", reason=_REASON)
torch = pytest.importorskip("torch", reason=_REASON)
messages = pytest.importorskip("test.peers.lerobot_messages", reason=_REASON)
lerobot_grpc = pytest.importorskip("vla_ros.backends.lerobot_grpc", reason=_REASON)
grpc_peers = pytest.importorskip("test.support.grpc_peers", reason=_REASON)
lerobot_peers = pytest.importorskip("test.support.lerobot_peers", reason=_REASON)


@dataclass
class Calls:
    """Has whoever loads it call something."""

    function: Callable[..., Any]
    argument: Any

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, (self.argument,)


def _torch_stream(value: object) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def _recursive() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


def hostile(proof: Path) -> dict[str, bytes]:
    """Each is to leave a proof, or to bring its reader down."""
    shell = Calls(os.system, f"touch {proof}")
    code = Calls(builtins.eval, f"open({str(proof)!r}, 'w').close()")
    good = pickle.dumps(messages.actions())
    values = {
        "os.system": shell,
        "builtins.eval": code,
        "torch's loader": Calls(torch.storage._load_from_bytes, _torch_stream(shell)),
        "nested": messages.actions(Calls(pickle.loads, pickle.dumps(shell))),
    }
    return {
        **{name: pickle.dumps(value) for name, value in values.items()},
        # A petabyte of text is announced, and one byte sent.
        "oversized": pickle.PROTO + b"\x04" + pickle.BINUNICODE8 + b"\0\0\0\0\0\0\x04\0" + b"a",
        "truncated": good[: len(good) // 2],
        "recursive": pickle.dumps(_recursive()),
    }


NAMES = tuple(hostile(Path("proof")))


@pytest.mark.parametrize("name", NAMES[:4])
def test_a_reader_that_trusts_is_harmed(tmp_path: Path, name: str):
    proof = tmp_path / "proof"
    pickle.loads(hostile(proof)[name])

    assert proof.exists()


@pytest.mark.parametrize("name", NAMES)
def test_our_client_refuses_it_and_goes_on(tmp_path: Path, name: str):
    proof = tmp_path / "proof"
    server = lerobot_peers.StockServer()
    with grpc_peers.serving(server) as running:
        ours = lerobot_grpc.Backend(
            lerobot_grpc.LeRobotConfig(port=running.port), robot=robot(), policy=policy()
        )
        ours.connect()
        server.act = lambda _: encode_data(hostile(proof)[name])
        with pytest.raises(WireFormatError):
            ours.infer(observation())
        server.act = lerobot_peers.answer_to
        chunk = ours.infer(observation(1))
        ours.close()

    assert not proof.exists()
    assert chunk.horizon == HORIZON


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """To our server."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "robot.yaml").write_text(robot_text())
    (folder / "policy.yaml").write_text(policy_text("act", "nobody/nothing", backend="hold"))
    files = ("--robot", str(folder / "robot.yaml"), "--policy", str(folder / "policy.yaml"))
    with (
        policy_server("--protocol", "lerobot", *files) as (server, port),
        grpc.insecure_channel(f"127.0.0.1:{port}") as opened,
    ):
        yield opened
        assert server.process.poll() is None
        assert "Traceback" not in server.written


@pytest.mark.parametrize("name", NAMES)
def test_our_server_refuses_it_and_goes_on(tmp_path: Path, channel: Any, name: str):
    proof = tmp_path / "proof"
    data = hostile(proof)[name]
    call = channel.unary_unary
    send = channel.stream_unary(SEND_OBSERVATIONS)
    call(READY)(b"", timeout=5.0)

    for refused in (
        lambda: call(SEND_POLICY_INSTRUCTIONS)(encode_data(data), timeout=5.0),
        lambda: send(iter(observation_parts(data)), timeout=5.0),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            refused()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(caught.value.details()) > 20

    call(SEND_POLICY_INSTRUCTIONS)(encode_data(pickle.dumps(messages.setup())), timeout=5.0)
    send(iter(observation_parts(pickle.dumps(messages.observation()))), timeout=5.0)
    actions = messages.read(call(GET_ACTIONS)(b"", timeout=5.0))
    np.testing.assert_allclose(actions, np.tile(messages.STATE, (HORIZON, 1)), atol=1e-4)
    assert not proof.exists()
