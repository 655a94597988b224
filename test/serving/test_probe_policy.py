# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support import openpi_peers, openpi_samples
from test.support.golden_backend import GoldenBackend
from test.support.golden_server import GoldenServer
from test.support.gr00t_samples import POLICY, ROBOT, moves, policy
from test.support.lerobot_peers import LEROBOT_POLICY
from test.support.programs import PATIENCE_S, policy_server, program
from test.support.served import served
from test.support.zmq_peers import serving
from vla_ros.serving.probe_policy import main
from vla_ros.wire.gr00t.message import encode_reply
from vla_ros.wire.gr00t.wires import Gr00tWire

B = Gr00tWire.B
Probe = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def facts(tmp_path: Path) -> Callable[[str], list[str]]:
    """The arguments that name the robot and a policy."""

    def write(text: str) -> list[str]:
        (tmp_path / "robot.yaml").write_text(ROBOT)
        (tmp_path / "policy.yaml").write_text(text)
        return ["--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml")]

    return write


@pytest.fixture
def probed(facts: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]) -> Probe:
    """Runs the program against a port of this machine; its exit status and what it wrote."""

    def run(port: int, *options: str, text: str = POLICY) -> tuple[int, dict[str, Any]]:
        where = ["--address", f"127.0.0.1:{port}", "--count", "4", "--json"]
        status = main([*facts(text), *where, *options])
        told: dict[str, Any] = json.loads(capsys.readouterr().out)
        return status, told

    return run


ZMQ = ("--backend", "gr00t_zmq")


@pytest.mark.parametrize(
    ("serve", "ask", "text", "said"),
    [
        (["--modality-wire", "A5"], ZMQ, POLICY, "wire A5"),
        (["--modality-wire", "A6"], ZMQ, POLICY, "wire A6"),
        (["--modality-wire", "B"], ZMQ, POLICY, "wire B"),
        (
            ["--protocol", "gr00t_http"],
            ["--backend", "gr00t_http"],
            POLICY,
            "model six_joints_policy, application/msgpack",
        ),
        (
            ["--protocol", "gr00t_http"],
            ["--backend", "gr00t_http", "--backend-option", "encoding=json"],
            POLICY,
            "model six_joints_policy, application/json",
        ),
        (
            ["--protocol", "lerobot"],
            ["--backend", "lerobot_grpc"],
            LEROBOT_POLICY,
            "act checkpoints/six_joints",
        ),
    ],
)
def test_our_server_is_fine_in_every_protocol(
    probed: Probe, serve: list[str], ask: list[str], text: str, said: str
):
    backend = GoldenBackend(policy=policy(text))
    with served(backend, *serve) as port:
        status, told = probed(port, *ask, text=text)

    assert status == 0, told
    assert told["ok"]
    assert told["server"].endswith(said)
    assert f"127.0.0.1:{port}" in told["server"]
    assert told["answers"] == {"wanted": 4, "good": 4}
    assert len(backend.seen) == 4
    times_ms, tells = told["times_ms"], any(end in said for end in ("wire A6", "wire B", "socket"))
    assert (times_ms["inference"] is not None) is tells
    assert told["times_ms"]["round_trip"]["p50"] >= told["times_ms"]["server"]["p50"] > 0
    assert told["remarks"] == []


def test_a_server_that_tells_how_long_it_thought(probed: Probe):
    def right(_: bytes) -> bytes:
        return openpi_samples.golden("answer")

    slow = openpi_peers.slowly(right, 0.03)
    with openpi_peers.serving(slow) as server:
        status, told = probed(server.port, text=openpi_samples.POLICY)

    assert status == 0, told
    assert told["server"].startswith("openpi policy server at")
    assert told["times_ms"]["inference"]["p50"] == openpi_samples.TIMING_MS["infer_ms"]
    assert told["times_ms"]["wire"]["p50"] > 10.0


def test_a_dead_port_is_told(probed: Probe):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    status, told = probed(port, *ZMQ)

    assert (status, told["ok"], told["server"]) == (1, False, None)
    assert told["error"]["kind"] == "BackendUnavailable"
    assert f"nothing listens at port {port}" in told["error"]["next"][0]


def test_another_policy_is_told(probed: Probe):
    with served(GoldenBackend()) as port:
        status, told = probed(port, *ZMQ, text=POLICY.replace("front:", "top:"))

    assert (status, told["error"]["kind"], told["server"]) == (1, "ConfigError", None)
    assert "video keys differ" in told["error"]["text"]
    assert "describe the checkpoint that is served?" in told["error"]["next"][0]


def test_a_wrong_token_is_told(probed: Probe):
    with served(GoldenBackend(), "--api-token", "secret") as port:
        refused, told = probed(port, *ZMQ)
        let_in, _ = probed(port, *ZMQ, "--backend-option", "api_token=secret")

    assert (refused, let_in) == (1, 0)
    assert "Unauthorized" in told["error"]["text"]
    assert "--backend-option api_token=TOKEN" in told["error"]["next"][0]


def test_nonsense_is_told(probed: Probe):
    with serving(lambda _: b"\xc1nonsense") as server:
        status, told = probed(server.port, *ZMQ)

    assert (status, told["error"]["kind"]) == (1, "WireFormatError")
    assert "the right --backend" in told["error"]["next"][0]


def test_another_protocol_is_told(probed: Probe):
    with served(GoldenBackend(), "--protocol", "gr00t_http") as port:
        status, told = probed(port, *ZMQ)

    assert (status, told["error"]["kind"]) == (1, "BackendUnavailable")
    assert "Somebody listens" in told["error"]["next"][0]


def test_nan_is_told(probed: Probe):
    arm = moves()[None, :, :5].copy()
    arm[0, 3, 1] = np.nan
    reply = encode_reply([{"single_arm": arm, "gripper": moves()[None, :, 5:]}, {}], B)
    with serving(GoldenServer(B, get_action=reply)) as server:
        status, told = probed(server.port, *ZMQ)

    assert (status, told["error"]["kind"], told["answers"]["good"]) == (1, "ActionError", 0)
    assert told["server"].endswith("wire B")
    assert "action 3 of joint_1/position is nan" in told["error"]["text"]


def test_silence_is_told(probed: Probe):
    with serving(GoldenServer(B, get_action=None)) as server:
        status, told = probed(server.port, *ZMQ, "--backend-option", "timeout_s=0.2")

    assert (status, told["error"]["kind"]) == (1, "BackendSilent")
    assert "timeout_s=60" in told["error"]["next"][0]


def test_actions_beyond_the_limits_are_counted(probed: Probe):
    backend = GoldenBackend()
    backend.actions = np.full_like(backend.actions, 50.0)
    with served(backend) as port:
        status, told = probed(port, *ZMQ)

    assert status == 0
    assert told["values_beyond_limits"] == 4 * 16 * 6
    assert "wrong unit" in told["remarks"][0]


def test_a_policy_without_a_server_is_probed_too(
    facts: Callable[[str], list[str]], capsys: pytest.CaptureFixture[str]
):
    assert main([*facts(POLICY), "--count", "2"]) == 0
    assert "answers  2 of 2 have these keys and shapes and are finite" in capsys.readouterr().out


def test_the_program_writes_a_table(facts: Callable[[str], list[str]]):
    given = facts(POLICY)
    with policy_server(*given) as (_, port):
        options = ["--address", f"localhost:{port}", *ZMQ, "--count", "3"]
        with program(["-m", "vla_ros.serving.probe_policy", *given, *options]) as probing:
            assert probing.process.wait(PATIENCE_S) == 0
            probing.wait_for(r"round trip +\d+\.\d\d +\d")
            probing.wait_for("3 of 3 have these keys")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--address", "gpu-box"], "--address must be HOST:PORT, such as"),
        (["--address", "gpu-box:5555"], "--address gpu-box:5555: backend 'hold' asks no server"),
        (["--count", "0"], "--count must be in [1, 100000], found 0"),
        (["--backend-option", "speed=1"], "--backend-option: unknown parameter 'speed'"),
        (
            ["--address", "a:1", "--backend", "gr00t_zmq", "--backend-option", "port=2"],
            "'port=1': must be NAME=VALUE, and each name stand once",
        ),
        (["--policy", "no_such"], "policies: 'no_such' is not known"),
    ],
)
def test_what_is_told_wrong_is_named(
    facts: Callable[[str], list[str]],
    options: list[str],
    text: str,
    caplog: pytest.LogCaptureFixture,
):
    assert main([*facts(POLICY), *options]) == 2
    assert text in caplog.text
