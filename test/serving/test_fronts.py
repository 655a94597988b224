# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import sys

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import POLICY, policy
from test.support.lerobot_peers import LEROBOT_POLICY
from vla_ros.core.errors import ConfigError
from vla_ros.serving.fronts import FLAGS, PORTS, Served, delays, make_fronts, ports_of
from vla_ros.serving.grpc_front import GrpcFront
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.server import Front
from vla_ros.serving.server_options import parser
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.status_service import Health, Status
from vla_ros.serving.websocket_front import WebsocketFront
from vla_ros.serving.zmq_front import ZmqFront


def served(*arguments: str, text: str = LEROBOT_POLICY) -> Served:
    given = parser().parse_args(["--robot", "r", "--policy", "p", *arguments])
    backend = GoldenBackend(policy=policy(text))
    worker = PolicyWorker(Sessions(backend))
    return Served(given, worker, backend.policy, Status(lambda: Health("ready")))


def made(*arguments: str, text: str = LEROBOT_POLICY) -> Front:
    (front,) = make_fronts(served("--port", "0", *arguments, text=text)).values()
    return front


def ended(front: Front) -> Front:
    """Runs a front that is told to stop at once, which lets go of everything."""
    front.stop()
    front.run()
    return front


@pytest.mark.parametrize(
    ("arguments", "kind", "address"),
    [
        ([], ZmqFront, "tcp://127.0.0.1:"),
        (["--protocol", "gr00t", "--modality-wire", "A5"], ZmqFront, "tcp://127.0.0.1:"),
        (["--protocol", "gr00t_http"], HttpFront, "http://127.0.0.1:"),
        (
            ["--protocol", "gr00t_http", "--host", "::1", "--api-token", "x"],
            HttpFront,
            "http://[::",
        ),
        (["--protocol", "lerobot"], GrpcFront, "127.0.0.1:"),
        (["--protocol", "lerobot", "--allow-checkpoint", "x"], GrpcFront, "127.0.0.1:"),
        (["--protocol", "act"], ZmqFront, "tcp://127.0.0.1:"),
        (["--protocol", "openpi"], WebsocketFront, "ws://127.0.0.1:"),
        (["--protocol", "openpi", "--host", "::1", "--api-token", "x"], WebsocketFront, "ws://[::"),
    ],
)
def test_each_protocol_has_its_front(arguments: list[str], kind: type, address: str):
    front = ended(made(*arguments))
    assert isinstance(front, kind)
    assert front.address.startswith(address)


def test_each_protocol_has_a_port_of_its_own():
    for name, port in PORTS.items():
        assert ports_of(served("--protocol", name).options) == {name: port}
        assert ports_of(served(f"--{FLAGS[name]}").options) == {name: port}
    assert ports_of(served().options) == {"gr00t": 5555}
    everything = [f"--{flag}" for flag in FLAGS.values()]
    assert ports_of(served(*everything).options) == PORTS
    assert len(set(PORTS.values())) == len(PORTS)


def test_all_protocols_are_served_at_once():
    options = [part for flag in FLAGS.values() for part in (f"--{flag}", "0")]
    fronts = make_fronts(served(*options, "--metrics", "0"))
    assert {name: ended(front).address.rpartition(":")[0] for name, front in fronts.items()} == {
        "gr00t": "tcp://127.0.0.1",
        "gr00t_http": "http://127.0.0.1",
        "lerobot": "127.0.0.1",
        "act": "tcp://127.0.0.1",
        "openpi": "ws://127.0.0.1",
        "metrics": "http://127.0.0.1",
    }


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--allow-checkpoint", "x"], "--allow-checkpoint goes with --protocol lerobot alone"),
        (["--protocol", "lerobot", "--api-token", "x"], "clients of --protocol lerobot cannot say"),
        (["--protocol", "lerobot", "--modality-wire", "B"], "goes with --protocol gr00t alone"),
        (["--protocol", "act", "--api-token", "x"], "clients of --protocol act cannot say"),
        (["--protocol", "openpi", "--modality-wire", "B"], "goes with --protocol gr00t alone"),
        (["--protocol", "gr00t_http", "--modality-wire", "B"], "with --protocol gr00t alone"),
        (["--protocol", "gr00t_http", "--allow-checkpoint", "x"], "--protocol lerobot alone"),
        (["--zmq"], "--port name one protocol, --zmq name any: take either"),
    ],
)
def test_options_of_another_protocol_are_refused(arguments: list[str], text: str):
    with pytest.raises(ConfigError, match=text):
        made(*arguments)


def test_a_policy_without_lerobots_names_is_refused():
    with pytest.raises(ConfigError, match="LeRobot's clients need the section lerobot"):
        made("--protocol", "lerobot", text=POLICY)
    ended(made(text=POLICY))


def test_a_machine_without_grpc_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "vla_ros.serving.grpc_front")
    with pytest.raises(ConfigError, match=r"LeRobot's protocol needs a Python package .*grpc"):
        made("--protocol", "lerobot")
    ended(made())


def test_a_machine_without_websockets_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    monkeypatch.delitem(sys.modules, "vla_ros.serving.websocket_front")
    with pytest.raises(ConfigError, match=r"pip install 'vla_ros\[openpi\]'"):
        made("--protocol", "openpi")
    ended(made())


def test_delays_vary_around_the_mean_and_are_never_negative():
    draw = delays(0.1, 0.02, random.Random(3))
    drawn = [draw() for _ in range(1000)]
    assert 0.08 <= min(drawn) < 0.081
    assert 0.119 < max(drawn) <= 0.12
    assert delays(0.1, 0.0, random.Random(3))() == 0.1
    late = delays(0.0, 0.01, random.Random(3))
    assert min(late() for _ in range(100)) == 0.0
