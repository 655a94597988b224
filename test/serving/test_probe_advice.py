# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import policy, robot
from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.gr00t_zmq import Backend, Gr00tConfig
from vla_ros.core.errors import (
    ActionError,
    BackendError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.serving.probe_advice import address, advice, knock


@pytest.fixture
def listening() -> Iterator[int]:
    """A port where somebody listens who says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def asking(port: int = 5555) -> Backend:
    return Backend(Gr00tConfig(port=port), robot=robot(), policy=policy())


def test_only_what_asks_a_server_has_an_address():
    assert address(asking(7)) == ("127.0.0.1", 7)
    assert address(GoldenBackend()) is None


def test_a_port_where_nobody_listens():
    port = closed_port()
    first, second = advice(BackendUnavailable("x"), asking(port), connected=False)

    assert f"nothing listens at port {port}" in first
    assert "--host 0.0.0.0" in second


def test_a_port_where_somebody_else_listens(listening: int):
    first, second = advice(BackendUnavailable("x"), asking(listening), connected=False)

    assert f"Somebody listens at 127.0.0.1:{listening}" in first
    assert "--backend" in second


def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch):
    def unknown(*_: object) -> socket.socket:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", unknown)
    assert knock("gpu-bax", 5555) == (
        "Nobody knows host 'gpu-bax': is it spelt right? Give its IP address instead.",
    )


def test_a_host_that_is_no_name():
    assert "Nobody knows host" in knock("a" * 80 + ".b", 5555)[0]


def test_a_machine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    def silent(*_: object) -> socket.socket:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", silent)
    first, second = knock("10.0.0.7", 5555)
    assert "Nothing answers from 10.0.0.7:5555" in first
    assert "firewall let TCP port 5555 through" in second


@pytest.mark.parametrize(
    ("error", "connected", "text"),
    [
        (BackendSilent("x"), True, "--backend-option timeout_s=60"),
        (WireFormatError("x"), False, "doc/wires.md"),
        (RemotePolicyError("x"), False, "--backend-option api_token=TOKEN"),
        (RemotePolicyError("x"), True, "units and shapes in six_joints_policy.yaml"),
        (ActionError("x"), True, "horizon and action in six_joints_policy.yaml"),
        (ConfigError("x"), False, "Does six_joints_policy.yaml describe the checkpoint"),
        (BackendError("x"), True, "log may say more"),
    ],
)
def test_each_kind_of_error_has_its_advice(error: VlaRosError, connected: bool, text: str):
    assert any(text in each for each in advice(error, asking(), connected=connected))


@pytest.mark.parametrize("error", [BackendUnavailable("x"), RemotePolicyError("x")])
def test_what_has_no_server_and_no_token_is_not_asked_for_them(error: VlaRosError):
    backend: PolicyBackend = GoldenBackend()
    told = " ".join(advice(error, backend, connected=False))
    assert "log may say more" in told
    assert "TOKEN" not in told
    assert "listen" not in told
