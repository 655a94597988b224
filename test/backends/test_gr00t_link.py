# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from test.support.asked import answer
from test.support.golden_backend import GoldenBackend
from test.support.golden_server import GoldenServer
from test.support.running_front import RunningFront
from test.support.zmq_peers import serving
from vla_ros.backends import _gr00t_link
from vla_ros.backends._gr00t_link import Gr00tLink, LinkConfig
from vla_ros.core.errors import BackendSilent, BackendUnavailable, ConfigError
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.local_socket import LocalSocket
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.zmq_front import ZmqFront
from vla_ros.wire.gr00t.capabilities import Capabilities, encode_capabilities
from vla_ros.wire.gr00t.message import decode_request, encode_reply
from vla_ros.wire.gr00t.wires import Gr00tWire

MakeLink = Callable[..., Gr00tLink]


def soon() -> float:
    return time.monotonic() + 10.0


@pytest.fixture
def link() -> Iterator[MakeLink]:
    made: list[Gr00tLink] = []

    def make(port: int, **config: Any) -> Gr00tLink:
        settings = LinkConfig(**{"port": port, "backoff_s": 0.01, **config})
        address = f"tcp://127.0.0.1:{port}"
        made.append(Gr00tLink(settings, address=address, now_ns=time.time_ns))
        return made[-1]

    yield make
    for item in made:
        item.close()


def ours(ipc: str = "", can: Capabilities | None = None) -> Callable[..., bytes]:
    """A server of this package, or one that can less."""
    backend = GoldenBackend()
    service = Gr00tService(backend.policy, ipc=ipc)

    def reply(request: bytes, *rest: bytes) -> bytes:
        if can is not None and decode_request(request, rest).endpoint == "get_capabilities":
            return encode_reply(encode_capabilities(can), Gr00tWire.B)
        made: bytes = answer(service, backend, request, rest=rest)
        return made

    return reply


def agreed(link: Gr00tLink, *, is_ours: bool = True) -> Gr00tLink:
    assert not link.open(soon())
    link.agree(is_ours=is_ours, deadline_s=soon())
    assert link.open(soon())
    return link


def endpoints(requests: list[bytes]) -> list[str]:
    return [decode_request(request).endpoint for request in requests]


def test_a_server_of_nvidias_is_asked_nothing(link: MakeLink):
    with serving(GoldenServer(Gr00tWire.B)) as server:
        found = agreed(link(server.port), is_ours=False)

        assert (found.in_parts, found.jpeg, found.told) == (False, False, "")
        assert server.requests == []


@pytest.mark.parametrize("is_ours", [True, False])
def test_jpeg_is_not_sent_to_who_cannot_read_it(link: MakeLink, is_ours: bool):
    with serving(ours(can=Capabilities(multipart=True))) as server:
        text = (
            r"jpeg, but the server at tcp://.* takes raw images alone; allowed with it: auto, raw"
        )
        found = link(server.port, image_encoding="jpeg")
        found.open(soon())
        with pytest.raises(ConfigError, match=text):
            found.agree(is_ours=is_ours, deadline_s=soon())
        assert not found.open(soon())


@pytest.mark.parametrize(("encoding", "jpeg"), [("raw", False), ("jpeg", True)])
def test_the_encoding_may_be_chosen(link: MakeLink, encoding: str, jpeg: bool):
    with serving(ours()) as server:
        found = agreed(link(server.port, image_encoding=encoding))

        assert (found.in_parts, found.jpeg) == (True, jpeg)
        assert found.told == f", {'JPEG' if jpeg else 'raw'} images"
        assert endpoints(server.requests) == ["get_capabilities"]


@pytest.mark.parametrize(
    ("speed", "jpeg", "told"),
    [(0.94e9, True, ", JPEG images at 0.94 Gbit/s"), (9.4e9, False, ", raw images at 9.4 Gbit/s")],
)
def test_the_links_speed_chooses(
    link: MakeLink, monkeypatch: pytest.MonkeyPatch, speed: float, jpeg: bool, told: str
):
    def exchange(send: Callable[[int], float]) -> float:
        assert send(30_000) > 0.0
        return speed

    monkeypatch.setattr(_gr00t_link, "link_speed", exchange)
    with serving(ours()) as server:
        found = agreed(link(server.port))

        assert (found.jpeg, found.told) == (jpeg, told)
        assert found.in_parts
        assert [request for request in server.requests if b"measure_link" in request]


@pytest.mark.parametrize("can", [Capabilities(), Capabilities(multipart=True)])
def test_of_a_server_that_can_less_no_more_is_asked(link: MakeLink, can: Capabilities):
    with serving(ours(can=can)) as server:
        found = agreed(link(server.port))

        assert (found.in_parts, found.jpeg) == (can.multipart, False)
        assert endpoints(server.requests) == ["get_capabilities"]


class Local:
    """A server with a local socket, at a port that stays the same."""

    def __init__(self, port: int = 0) -> None:
        self.socket = LocalSocket()
        self.backend = GoldenBackend()
        worker = PolicyWorker(Sessions(self.backend))
        front = ZmqFront(
            Gr00tService(self.backend.policy, ipc=self.socket.address),
            worker,
            address=f"tcp://127.0.0.1:{port or '*'}",
            max_bytes=10**6,
            local=self.socket,
        )
        self.port = int(front.address.rpartition(":")[2])
        self._running = RunningFront(front, worker)

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()


def test_a_server_on_this_machine_is_reached_at_its_local_socket(link: MakeLink):
    with Local() as server:
        found = agreed(link(server.port))

        assert found.told == ", raw images over a local socket"
        assert found.client.channel.address == server.socket.address
        found.client.reset(soon())
        assert server.backend.resets == 1


def test_a_local_socket_need_not_be_used(link: MakeLink):
    with Local() as server:
        found = agreed(link(server.port, local_socket=False, image_encoding="raw"))

        assert found.client.channel.address == f"tcp://127.0.0.1:{server.port}"


def test_a_server_on_another_machine_has_no_local_socket(
    link: MakeLink, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_gr00t_link, "is_loopback", lambda host: host != "127.0.0.1")
    with Local() as server:
        found = agreed(link(server.port, image_encoding="raw"))

        assert found.client.channel.address == f"tcp://127.0.0.1:{server.port}"


def test_a_socket_that_is_not_there_is_not_tried(link: MakeLink, tmp_path: Path):
    with serving(ours(ipc=f"ipc://{tmp_path}/socket")) as server:
        found = agreed(link(server.port, image_encoding="raw"))

        assert found.client.channel.address == f"tcp://127.0.0.1:{server.port}"


def test_where_nobody_listens_at_the_socket_the_port_will_do(link: MakeLink, tmp_path: Path):
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    with serving(ours(ipc=f"ipc://{path}")) as server:
        found = agreed(link(server.port, image_encoding="raw"))

        assert found.client.channel.address == f"tcp://127.0.0.1:{server.port}"
        found.client.ping(soon())


def test_a_server_that_was_started_anew_is_asked_at_its_port(link: MakeLink):
    with Local() as server:
        found = agreed(link(server.port))
        port, first = server.port, server.socket.address
    with Local(port) as again:
        assert not found.open(soon())
        assert found.client.channel.address == f"tcp://127.0.0.1:{port}"
        found.agree(is_ours=True, deadline_s=soon())

        assert found.client.channel.address == again.socket.address != first

    def open_until(until_s: float) -> None:
        # That its end is noticed takes a moment.
        while time.monotonic() < until_s:
            found.open(until_s)

    with pytest.raises(BackendUnavailable, match=r"tcp://127\.0\.0\.1"):
        open_until(soon())


def test_a_busy_server_is_not_left(link: MakeLink):
    go = threading.Event()
    with Local() as server:
        server.backend.connect()
        found = agreed(link(server.port))
        server.backend.reset = lambda: go.wait(10)  # type: ignore[method-assign, assignment, return-value]
        with pytest.raises(
            BackendSilent, match=rf"tcp://127\.0\.0\.1:{server.port} gave no answer"
        ):
            found.client.reset(time.monotonic() + 0.05)
        with pytest.raises(BackendSilent, match="still busy"):
            found.open(time.monotonic() + 0.05)
        go.set()

        assert found.open(soon())
        assert found.client.channel.address == server.socket.address


def test_a_closed_link_is_opened_anew(link: MakeLink):
    with Local() as server:
        found = agreed(link(server.port))
        found.close()
        found.close()

        assert found.told == ""
        assert not found.in_parts
        agreed(found)
