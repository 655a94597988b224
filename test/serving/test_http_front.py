# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import http.client
import json
import select
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.gr00t_samples import INSTRUCTION, INSTRUCTION_KEY, moves, observation
from test.support.http_peers import MAX_BYTES, Running, running
from test.support.running_front import RunningFront
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving import http_front
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.http_service import HttpReply
from vla_ros.serving.metrics import Metrics
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.status_service import Health, Status, StatusService
from vla_ros.wire.gr00t.http import JSON
from vla_ros.wire.gr00t.json_numpy import decode_json, encode_json

PIXELS, STATE = observation().images, observation().state
ASK = encode_json(
    {
        "observation": {
            "video.front": PIXELS["head"][None],
            "video.wrist": PIXELS["hand"][None],
            "state.single_arm": STATE[None, :5],
            "state.gripper": STATE[None, 5:],
            INSTRUCTION_KEY: [INSTRUCTION],
        }
    }
)
PATIENCE_S = 10.0


class Slow(GoldenBackend):
    """Thinks until it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.thinking = threading.Event()
        self.threads: set[str] = set()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.threads.add(threading.current_thread().name)
        self.thinking.set()
        assert self.go.wait(10)
        return super().infer(observation, prefix)


class Client:
    """One connection."""

    def __init__(self, server: Running) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)

        self._connection.connect()

    def fileno(self) -> int:
        return self._connection.sock.fileno()

    def close(self) -> None:
        self._connection.close()

    def begin(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        self._connection.request(method, path, body or None, headers)

    def end(self) -> tuple[int, Any]:
        response = self._connection.getresponse()
        assert response.getheader("Content-Type") == JSON
        return response.status, decode_json(response.read())

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
        self.begin(method, path, body, **headers)
        return self.end()


@contextmanager
def client(server: Running) -> Iterator[Client]:
    with closing(Client(server)) as made:
        yield made


def works(one: Client) -> None:
    status, actions = one.ask("POST", "/act", ASK)
    assert status == 200
    np.testing.assert_array_equal(actions["action.single_arm"], moves()[:, :5])


def eventually(condition: Any) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_requests_are_answered_over_one_connection():
    backend = GoldenBackend()
    with running(backend) as server, client(server) as one:
        assert one.ask("GET", "/health?x=1")[1]["status"] == "healthy"
        works(one)
        assert one.ask("POST", "/reset") == (200, {"status": "reset"})
        works(one)
        assert one.ask("GET", "/nothing")[0] == 404
        works(one)
    assert (len(backend.seen), backend.resets) == (3, 1)
    assert server.ended


def test_each_connection_has_an_episode_of_its_own_which_ends_with_it():
    first = OwnBackend()
    with running(first) as server, client(server) as a:
        with client(server) as b:
            for _ in range(2):
                works(a)
                assert b.ask("POST", "/reset")[0] == 200
        eventually(lambda: first.family[2].closes == 1)
        works(a)
        with client(server) as c:
            works(c)
    assert [len(one.seen) for one in first.family] == [0, 3, 0, 1]
    assert [one.resets for one in first.family] == [0, 0, 2, 0]
    assert [(one.connects, one.closes) for one in first.family] == [(1, 1)] * 4


def test_one_thread_owns_the_backend():
    backend = Slow()
    backend.go.set()
    with running(backend) as server:
        for _ in range(3):
            with client(server) as one:
                works(one)
    assert len(backend.threads) == 1


def test_it_says_that_it_is_well_while_the_policy_thinks():
    backend = Slow()
    with running(backend) as server, client(server) as thinking, client(server) as other:
        thinking.begin("POST", "/act", ASK)
        assert backend.thinking.wait(10)
        assert other.ask("GET", "/health")[0] == 200
        backend.go.set()
        assert thinking.end()[0] == 200


def test_who_asks_too_much_is_told():
    backend = Slow()
    with running(backend, max_waiting=2) as server, ExitStack() as stack:
        first, *others = [stack.enter_context(client(server)) for _ in range(4)]
        first.begin("POST", "/act", ASK)
        assert backend.thinking.wait(10)
        clients = {one.fileno(): one for one in others}
        for one in others:
            one.begin("POST", "/act", ASK)
        (told, *_), _, _ = select.select(clients, [], [], PATIENCE_S)
        assert clients.pop(told).end() == (
            503, {"detail": "the server is overloaded: 2 clients are waiting"},
        )  # fmt: skip
        backend.go.set()
        assert [one.end()[0] for one in (first, *clients.values())] == [200] * 3


def test_a_body_beyond_the_limit_is_not_read_and_the_connection_closed():
    with running(GoldenBackend()) as server, client(server) as one:
        one.begin("POST", "/act", **{"Content-Length": str(MAX_BYTES + 1)})
        assert one.end() == (
            413, {"detail": f"the body has {MAX_BYTES + 1} bytes; at most {MAX_BYTES} are allowed"},
        )  # fmt: skip
        works(one)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "x"}, {"Content-Length": "-1"}, {"Content-Length": "9" * 5000},
        {"Content-Length": "²"}, {"Transfer-Encoding": "chunked"},
    ],
)  # fmt: skip
def test_a_body_of_no_known_length_is_refused(headers: dict[str, str]):
    with running(GoldenBackend()) as server, client(server) as one:
        one.begin("POST", "/act", **headers)
        assert one.end() == (
            411, {"detail": "a body needs its length in the header Content-Length"},
        )  # fmt: skip
        works(one)


def raw(server: Running, data: bytes) -> bytes:
    """What comes back until the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as one:
        one.sendall(data)
        one.shutdown(socket.SHUT_WR)
        read = b""
        while part := one.recv(65536):
            read += part
        return read


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"", b""),
        (b"GET / HTTP/1.1", b""),
        (b"hello\r\n\r\n", b"400 Bad Request"),
        (b"GET /health HTTP/9.9\r\n\r\n", b"505"),
        (b"BREW /act HTTP/1.1\r\n\r\n", b"501"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST /act HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc", b""),
        (b"\x16\x03\x01" + bytes(100), b""),
    ],
)
def test_what_is_no_http_stops_nothing(data: bytes, reply: bytes):
    with running(GoldenBackend()) as server, client(server) as one:
        assert reply in raw(server, data).partition(b"\r\n")[0]
        works(one)


def test_a_body_that_comes_too_slowly_loses_the_connection(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_front, "_BODY_S", 0.2)
    with (
        running(GoldenBackend()) as server,
        client(server) as other,
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as slow,
    ):
        slow.sendall(b"POST /act HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
        assert slow.recv(1) == b""
        works(other)


def let_in(server: Running) -> bool:
    try:
        return b"200 OK" in raw(server, b"GET /health HTTP/1.0\r\n\r\n")
    except OSError:
        return False


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_front, "_MAX_CONNECTIONS", 2)


@pytest.mark.usefixtures("little_room")
def test_one_connection_too_many_is_turned_away(caplog: pytest.LogCaptureFixture):
    with running(GoldenBackend()) as server, client(server) as a:
        works(a)
        with client(server) as b:
            works(b)
            assert raw(server, b"") == b""
            assert "turned a connection away: there are 2" in caplog.text
        eventually(lambda: let_in(server))
        works(a)


def test_a_fault_of_the_backend_is_answered_and_stops_nothing(caplog: pytest.LogCaptureFixture):
    backend = GoldenBackend()
    backend.error = ZeroDivisionError("a bug")
    with running(backend) as server, client(server) as one:
        assert one.ask("POST", "/act", ASK) == (
            500, {"detail": "the policy failed: ZeroDivisionError: a bug"},
        )  # fmt: skip
        backend.error = None
        works(one)
    assert "Traceback" in caplog.text


def test_a_client_that_is_gone_stops_nothing():
    backend = Slow()
    with running(backend) as server, client(server) as other:
        with client(server) as leaving:
            leaving.begin("POST", "/act", ASK)
            assert backend.thinking.wait(10)
        backend.go.set()
        works(other)


def test_actions_are_delayed_and_nothing_else():
    with running(GoldenBackend(), delay_s=lambda: 0.2) as server, client(server) as one:
        started_s = time.monotonic()
        assert one.ask("POST", "/reset")[0] == 200
        reset_s = time.monotonic()
        works(one)
    assert reset_s - started_s < 0.2 <= time.monotonic() - reset_s


def test_what_still_waits_at_the_end_is_told_so():
    backend = Slow()
    with running(backend) as server, client(server) as first, client(server) as second:
        first.begin("POST", "/act", ASK)
        assert backend.thinking.wait(10)
        second.begin("POST", "/act", ASK)
        eventually(lambda: len(server.worker._queue) == 1)
        threading.Timer(0.1, backend.go.set).start()
        server.stop()
        assert first.end()[0] == 200
        assert second.end() == (503, {"detail": "the server is ending"})
    assert server.ended


def test_a_call_that_hangs_is_left_behind():
    backend = Slow()
    with running(backend) as server, client(server) as one:
        one.begin("POST", "/act", ASK)
        assert backend.thinking.wait(10)
        started_s = time.monotonic()
        server.stop()
        assert time.monotonic() - started_s < 1.5
        assert one.end() == (503, {"detail": "the server is ending"})
        assert server.ended is False
        backend.go.set()


def test_who_stays_connected_does_not_hold_up_the_end():
    with running(GoldenBackend()) as server, client(server) as idle:
        works(idle)
        started_s = time.monotonic()
        server.stop()
        assert time.monotonic() - started_s < 1.0
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            idle.ask("GET", "/health")


class Loads(GoldenBackend):
    """Loads until it is told how that ends."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.failure: BackendUnavailable | None = None

    def connect(self) -> PolicyInfo:
        assert self.go.wait(PATIENCE_S)
        if self.failure is not None:
            raise self.failure
        return super().connect()


def test_it_says_that_the_policy_is_being_loaded_and_answers_once_it_is():
    backend = Loads()
    with running(backend, ready=False) as server, client(server) as one, client(server) as asking:
        asking.begin("POST", "/act", ASK)
        status, told = one.ask("GET", "/health")
        assert (status, told["status"]) == (503, "loading")
        backend.go.set()
        assert asking.end()[0] == 200
        status, told = one.ask("GET", "/health")
        assert (status, told["status"], told["detail"]) == (200, "healthy", "golden")


def test_it_says_why_the_policy_cannot_be_loaded():
    backend = Loads()
    backend.failure = BackendUnavailable("the model is not there")
    with running(backend, ready=False) as server, client(server) as one:
        backend.go.set()
        eventually(lambda: one.ask("GET", "/health")[1]["status"] != "loading")
        status, told = one.ask("GET", "/health")
        assert (status, told["status"]) == (503, "failed")
        assert told["detail"] == "the model is not there"


def test_nothing_new_is_taken_on_while_it_drains():
    backend = Slow()
    with running(backend) as server, client(server) as first, client(server) as late:
        first.begin("POST", "/act", ASK)
        assert backend.thinking.wait(10)
        drained = server.worker.drain()
        ending = (503, {"detail": "the server is ending"})
        assert [late.ask("POST", path, ASK) for path in ("/act", "/reset")] == [ending] * 2
        status, told = late.ask("GET", "/health")
        assert (status, told["status"]) == (503, "ending")
        assert not drained.done()
        backend.go.set()
        drained.result(PATIENCE_S)
        server.stop()
        assert first.end()[0] == 200


def test_the_last_replies_go_out_before_run_returns(monkeypatch: pytest.MonkeyPatch):
    send, sending = http_front._Connection._send, threading.Event()

    def slowly(connection: Any, reply: HttpReply) -> None:
        sending.set()
        time.sleep(0.1)
        send(connection, reply)

    monkeypatch.setattr(http_front._Connection, "_send", slowly)
    with running(GoldenBackend()) as server, client(server) as one:
        one.begin("POST", "/act", ASK)
        assert sending.wait(PATIENCE_S)
        server.stop()
        assert server.front._server._served == set()
        assert one.end()[0] == 200


def test_an_address_that_cannot_be_is_named():
    with (
        running(GoldenBackend()) as server,
        pytest.raises(ConfigError, match=f"http://127.0.0.1:{server.port}: .*already in use"),
    ):
        Running(GoldenBackend(), port=server.port)
    with pytest.raises(ConfigError, match=r"cannot listen at http://\[2001:db8::1\]:0"):
        Running(GoldenBackend(), host="2001:db8::1")


def test_who_watches_has_a_port_of_its_own():
    worker = PolicyWorker(Sessions(GoldenBackend()))
    status = Status(lambda: Health(worker.state, worker.detail), Metrics())
    front = HttpFront(StatusService(status), worker, host="127.0.0.1", port=0, max_bytes=100)
    server = RunningFront(front, worker)
    try:
        with urllib.request.urlopen(f"{front.address}/health", timeout=PATIENCE_S) as reply:
            assert json.loads(reply.read())["detail"] == "golden"
        with urllib.request.urlopen(f"{front.address}/metrics", timeout=PATIENCE_S) as reply:
            assert reply.getheader("Content-Type").startswith("text/plain; version=")
            assert b'vla_ros_state{state="ready"} 1.0' in reply.read()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{front.address}/act", data=ASK[:50], timeout=PATIENCE_S)
    finally:
        server.stop()


def test_what_was_asked_is_not_printed(capfd: pytest.CaptureFixture[str]):
    with running(GoldenBackend()) as server, client(server) as one:
        works(one)
        raw(server, b"POST /act HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")
    assert capfd.readouterr() == ("", "")


def test_the_health_of_a_browser_is_json():
    with running(GoldenBackend()) as server:
        head, _, body = raw(server, b"GET /health HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert json.loads(body)["model"] == "six_joints_policy"
