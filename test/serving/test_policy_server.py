# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from test.support.golden_server import GoldenServer, golden
from test.support.gr00t_samples import POLICY, ROBOT, moves, observation, policy, robot
from test.support.lerobot_client import Client, setup
from test.support.lerobot_peers import LEROBOT_POLICY
from test.support.programs import PATIENCE_S, policy_server, program
from test.support.zmq_peers import serving
from vla_ros.backends.gr00t_http import Backend as HttpBackend
from vla_ros.backends.gr00t_http import HttpConfig
from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.backends.lerobot_grpc import Backend as LeRobotBackend
from vla_ros.backends.lerobot_grpc import LeRobotConfig
from vla_ros.core.errors import RemotePolicyError
from vla_ros.serving.policy_server import main
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.lerobot.methods import GET_ACTIONS

B = Gr00tWire.B
ENDED_WITHIN_S = 5.0


@pytest.fixture
def facts(tmp_path: Path) -> list[str]:
    """The arguments that name a robot and a policy."""
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "policy.yaml").write_text(POLICY)
    return ["--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml")]


def backend(port: int, **config: Any) -> Backend:
    settings = {"port": port, "timeout_s": 10.0, **config}
    return Backend(Gr00tConfig(**settings), robot=robot(), policy=policy())


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        yield made


def ask(context: zmq.Context[zmq.Socket[bytes]], port: int, request: bytes) -> Any:
    with context.socket(zmq.REQ) as client:
        client.linger = 0
        client.rcvtimeo = 10_000
        client.connect(f"tcp://127.0.0.1:{port}")
        client.send(request)
        return msgpack.unpackb(client.recv())


def test_a_policy_is_served_until_the_signal(facts: list[str]):
    # Just after a reply it is about to wait again, and a signal is missed most easily.
    for number in (signal.SIGTERM, signal.SIGINT) * 3:
        with policy_server(*facts) as (server, port):
            ours = backend(port)
            assert "wire B" in ours.connect().description
            chunk = ours.infer(observation())
            ours.reset()
            server.process.send_signal(number)
            started_s = time.monotonic()
            assert server.process.wait(PATIENCE_S) == 0
            assert time.monotonic() - started_s < ENDED_WITHIN_S
            ours.close()
        assert (chunk.actions == observation().state).all()


def test_bad_requests_are_answered_and_stop_nothing(
    facts: list[str], context: zmq.Context[zmq.Socket[bytes]]
):
    with policy_server(*facts, "--api-token", "secret") as (server, port):
        assert ask(context, port, bytes(100_000_000)) == {
            "error": "message has 100000000 bytes; at most 67108864 are allowed"
        }
        bomb = b"\xdd\x00\x10\x00\x00" + b"\x90" * 2**20
        assert "not msgpack within the limits" in ask(context, port, bomb)["error"]
        assert "Unauthorized" in ask(context, port, golden(B, "ping_request"))["error"]
        wrong = backend(port, api_token="wrong")
        with pytest.raises(RemotePolicyError, match="Unauthorized"):
            wrong.connect()
        wrong.close()

        right = backend(port, api_token="secret")
        assert right.infer(observation()).horizon == 16
        right.close()
        assert ask(context, port, golden(B, "kill_request")) is None
        assert server.process.wait(PATIENCE_S) == 0
        assert server.written.count("refused a request") == 4
        assert "secret" not in server.written


def test_answers_may_be_delayed(facts: list[str]):
    options = ("--latency-ms", "300", "--latency-jitter-ms", "50")
    with policy_server(*facts, *options) as (_, port):
        ours = backend(port)
        ours.connect()
        started_s = time.monotonic()
        ours.infer(observation())
        assert time.monotonic() - started_s >= 0.25
        ours.close()


@pytest.fixture
def lerobot_facts(facts: list[str]) -> list[str]:
    """The same for LeRobot's clients."""
    Path(facts[3]).write_text(LEROBOT_POLICY)
    return [*facts, "--protocol", "lerobot"]


def lerobot_backend(port: int) -> LeRobotBackend:
    given = LeRobotConfig(port=port, timeout_s=10.0)
    return LeRobotBackend(given, robot=robot(), policy=policy(LEROBOT_POLICY))


def test_lerobots_clients_are_served_until_the_signal(lerobot_facts: list[str]):
    for number in (signal.SIGTERM, signal.SIGINT) * 3:
        with policy_server(*lerobot_facts) as (server, port):
            ours = lerobot_backend(port)
            ours.connect()
            chunk = ours.infer(observation())
            ours.reset()
            server.process.send_signal(number)
            started_s = time.monotonic()
            assert server.process.wait(PATIENCE_S) == 0
            assert time.monotonic() - started_s < ENDED_WITHIN_S
            ours.close()
        np.testing.assert_allclose(chunk.actions, np.tile(observation().state, (16, 1)))
        assert "Traceback" not in server.written


def test_a_policy_is_served_over_http_until_the_signal(facts: list[str]):
    for number in (signal.SIGTERM, signal.SIGINT):
        with policy_server(*facts, "--protocol", "gr00t_http") as (server, port):
            ours = HttpBackend(HttpConfig(port=port), robot=robot(), policy=policy())
            assert ours.connect().description.endswith("application/msgpack")
            chunk = ours.infer(observation())
            ours.reset()
            server.process.send_signal(number)
            started_s = time.monotonic()
            assert server.process.wait(PATIENCE_S) == 0
            assert time.monotonic() - started_s < ENDED_WITHIN_S
            ours.close()
        np.testing.assert_array_equal(chunk.actions, np.tile(observation().state, (16, 1)))
        assert "Traceback" not in server.written


def test_lerobots_clients_that_wait_do_not_hold_up_the_end(lerobot_facts: list[str]):
    with policy_server(*lerobot_facts) as (server, port):
        clients = [Client(f"127.0.0.1:{port}") for _ in range(3)]
        for client in clients:
            client.ready()
        waiting = [client.begin(GET_ACTIONS, b"") for client in clients]
        server.process.terminate()
        started_s = time.monotonic()
        assert server.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - started_s < ENDED_WITHIN_S
        for client, call in zip(clients, waiting, strict=True):
            call.exception(PATIENCE_S)
            client.close()
        assert "Traceback" not in server.written


def test_answers_to_lerobots_clients_may_be_delayed(lerobot_facts: list[str]):
    with policy_server(*lerobot_facts, "--latency-ms", "300") as (_, port):
        ours = lerobot_backend(port)
        ours.connect()
        started_s = time.monotonic()
        ours.infer(observation())
        assert time.monotonic() - started_s >= 0.3
        ours.close()


def test_lerobots_clients_ask_for_what_is_allowed(lerobot_facts: list[str]):
    allowed = ("--allow-checkpoint", "someone/else", "--allow-checkpoint", "other")
    with policy_server(*lerobot_facts, *allowed) as (server, port):
        client = Client(f"127.0.0.1:{port}")
        client.set_up(setup(checkpoint="someone/else"))
        ours = lerobot_backend(port)
        with pytest.raises(RemotePolicyError, match=r"PERMISSION_DENIED: .*other, someone/else"):
            ours.connect()
        assert "is not served here" in server.written
        for done in (client, ours):
            done.close()


def test_another_server_may_be_served(facts: list[str]):
    with serving(GoldenServer(Gr00tWire.A5)) as other:
        options = ("--backend", "gr00t_zmq", "--backend-option", f"port={other.port}")
        with policy_server(*facts, *options) as (_, port):
            ours = backend(port)
            np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
            ours.close()


def test_a_signal_ends_it_even_while_the_backend_hangs(facts: list[str]):
    with serving(lambda _: None) as silent:
        command = ["-m", "vla_ros.serving.policy_server", *facts, "--port", "0"]
        options = ["--backend", "gr00t_zmq", "--backend-option", f"port={silent.port}"]
        with program([*command, *options, "--backend-option", "timeout_s=60"]) as server:
            server.wait_for("listening at")
            while not silent.requests:
                time.sleep(0.01)
            server.process.terminate()
            started_s = time.monotonic()
            assert server.process.wait(PATIENCE_S) == 0
            assert time.monotonic() - started_s < ENDED_WITHIN_S


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_who_lets_everybody_in_is_warned(facts: list[str], host: str, warned: bool):
    with policy_server(*facts, "--host", host) as (server, _):
        assert ("anybody who reaches" in server.written) is warned
    with policy_server(*facts, "--host", host, VLA_ROS_API_TOKEN="x") as (server, _):
        assert "anybody who reaches" not in server.written


def test_who_lets_every_client_of_lerobots_in_is_warned(lerobot_facts: list[str]):
    for host, warned in (("127.0.0.1", False), ("0.0.0.0", True)):
        with policy_server(*lerobot_facts, "--host", host) as (server, _):
            assert ("anybody who reaches" in server.written) is warned
    options = ["-m", "vla_ros.serving.policy_server", *lerobot_facts, "--port", "0"]
    with program(options, VLA_ROS_API_TOKEN="x") as server:
        server.wait_for("clients of --protocol lerobot cannot say it")
        assert server.process.wait(PATIENCE_S) == 2


def test_a_policy_that_cannot_be_reached_is_told(facts: list[str]):
    options = ["--port", "0", "--backend", "gr00t_zmq", "--backend-option", "port=1"]
    with program(["-m", "vla_ros.serving.policy_server", *facts, *options]) as server:
        server.wait_for("ERROR policy_server: tcp://127.0.0.1:1: nobody listens there")
        assert server.process.wait(PATIENCE_S) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--backend-option", "speed=1"], "--backend-option: unknown parameter 'speed'"),
        (["--backend-option", "speed"], "'speed': must be NAME=VALUE"),
        (["--backend", "replay"], "parameter 'recording' is required"),
        (["--policy", "no_such"], "policies: 'no_such' is not known"),
        (["--robot", "no_such"], "robots: 'no_such' is not known"),
        (["--host", "no host"], "cannot listen at tcp://no host:"),
        (["--protocol", "lerobot"], "LeRobot's clients need the section lerobot"),
        (["--allow-checkpoint", "x"], "--allow-checkpoint goes with --protocol lerobot"),
    ],
)
def test_what_is_told_wrong_is_named(
    facts: list[str], options: list[str], text: str, caplog: pytest.LogCaptureFixture
):
    assert main([*facts, "--port", "0", *options]) == 2
    assert text in caplog.text
