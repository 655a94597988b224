# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
import sys
from typing import Any

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import POLICY, policy
from test.support.lerobot_peers import LEROBOT_POLICY
from vla_ros.core.errors import ConfigError
from vla_ros.serving.fronts import Front, delays, make_front
from vla_ros.serving.grpc_front import GrpcFront
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.policy_server import parser
from vla_ros.serving.websocket_front import WebsocketFront
from vla_ros.serving.zmq_front import ZmqFront


def made(*arguments: str, text: str = LEROBOT_POLICY) -> Front:
    given = ["--robot", "r", "--policy", "p", "--port", "0", *arguments]
    return make_front(parser().parse_args(given), GoldenBackend(policy=policy(text)))


def ended(front: Front) -> Front:
    """Runs a front that is told to stop at once, which lets go of everything."""
    front.stop()
    assert front.run()
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


def test_each_protocol_has_a_port_of_its_own(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, Any] = {}
    monkeypatch.setattr("vla_ros.serving.fronts.ZmqFront", lambda *_, **facts: asked.update(facts))
    monkeypatch.setattr("vla_ros.serving.fronts.HttpFront", lambda *_, **facts: asked.update(facts))
    monkeypatch.setattr(
        "vla_ros.serving.grpc_front.GrpcFront", lambda *_, **facts: asked.update(facts)
    )
    monkeypatch.setattr(
        "vla_ros.serving.websocket_front.WebsocketFront", lambda *_, **facts: asked.update(facts)
    )
    ports = {"gr00t": None, "gr00t_http": 8000, "lerobot": 8080, "openpi": 8001}
    for protocol, port in ports.items():
        given = ["--robot", "r", "--policy", "p", "--protocol", protocol]
        make_front(parser().parse_args(given), GoldenBackend(policy=policy(LEROBOT_POLICY)))
        assert asked["address"] == "tcp://127.0.0.1:5555"
        assert (asked.get("host"), asked.get("port")) == (port and "127.0.0.1", port)
    given = ["--robot", "r", "--policy", "p", "--protocol", "act"]
    make_front(parser().parse_args(given), GoldenBackend())
    assert asked["address"] == "tcp://127.0.0.1:5556"


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
    with pytest.raises(ConfigError, match=r"--protocol lerobot needs a Python package .*grpc"):
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
