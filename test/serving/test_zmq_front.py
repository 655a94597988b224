# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from test.support.golden_backend import GoldenBackend, OwnBackend, error_of
from test.support.golden_server import golden
from test.support.gr00t_samples import observation, policy
from test.support.running_front import RunningFront
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.policy_io import policy_input
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.local_socket import LocalSocket
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.zmq_front import ZmqFront
from vla_ros.wire.gr00t.message import Request, encode_request_parts
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

B = Gr00tWire.B
PING, PONG = golden(B, "ping_request"), golden(B, "ping_reply")
ASK, ACTION = golden(B, "get_action_request"), golden(B, "get_action_reply")
MAX_BYTES = 100_000
PATIENCE_MS = 10_000


class Slow(GoldenBackend):
    """Thinks until it is told to answer, and notes which thread asked."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.thinking = threading.Event()
        self.threads: set[str] = set()
        self.closed = False

    def connect(self) -> PolicyInfo:
        self.threads.add(threading.current_thread().name)
        return super().connect()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.threads.add(threading.current_thread().name)
        self.thinking.set()
        assert self.go.wait(10)
        return super().infer(observation, prefix)

    def close(self) -> None:
        self.threads.add(threading.current_thread().name)
        self.closed = True


class Running(RunningFront):
    """One with a service over a backend."""

    def __init__(
        self, backend: GoldenBackend, *, api_token: str | None = None, **options: Any
    ) -> None:
        worker = PolicyWorker(Sessions(backend), **options)
        service = Gr00tService(backend.policy, api_token=api_token, max_bytes=MAX_BYTES)
        address = "tcp://127.0.0.1:*"
        front = ZmqFront(service, worker, address=address, max_bytes=MAX_BYTES)
        super().__init__(front, worker, ready=False)


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(backend: GoldenBackend, **options: Any) -> Running:
        started.append(Running(backend, **options))
        return started[-1]

    yield start
    for item in started:
        item.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., zmq.Socket[bytes]]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    made: list[zmq.Socket[bytes]] = []

    def to(running: Running, kind: int = zmq.REQ) -> zmq.Socket[bytes]:
        client = context.socket(kind)
        client.linger = 0
        client.rcvtimeo = client.sndtimeo = PATIENCE_MS
        client.connect(running.front.address)
        made.append(client)
        return client

    yield to
    for client in made:
        client.close()
    context.term()


def ask(client: zmq.Socket[bytes], request: bytes) -> bytes:
    client.send(request)
    return client.recv()


def test_requests_are_answered(run: Callable[..., Running], connect: Callable[..., Any]):
    client = connect(run(GoldenBackend()))

    assert ask(client, PING) == PONG
    assert ask(client, ASK) == ACTION
    assert ask(client, golden(B, "reset_request")) == golden(B, "reset_reply")
    assert "Unknown endpoint" in error_of(ask(client, msgpack.packb({"endpoint": "x"})))


def test_one_thread_owns_the_backend(run: Callable[..., Running], connect: Callable[..., Any]):
    backend = Slow()
    backend.go.set()
    running = run(backend)
    for _ in range(3):
        assert ask(connect(running), ASK) == ACTION
    running.stop()

    assert len(backend.threads) == 1
    assert backend.closed
    assert running.ended


def test_each_connection_has_an_episode_of_its_own(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    first = OwnBackend()
    running = run(first)
    a, b = connect(running), connect(running, zmq.DEALER)
    for number in range(3):
        assert ask(a, ASK) == ACTION
        # What a client puts before its request names the request, not the client.
        b.send_multipart([b"%d" % number, b"", golden(B, "reset_request")])
        assert b.recv_multipart()[2] == golden(B, "reset_reply")
    assert ask(connect(running), ASK) == ACTION
    running.stop()

    assert [len(one.seen) for one in first.family] == [0, 3, 0, 1]
    assert [one.resets for one in first.family] == [0, 0, 3, 0]
    assert [(one.connects, one.closes) for one in first.family] == [(1, 1)] * 4


def test_a_backend_of_a_clients_own_that_cannot_be_connected_is_told(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    first = OwnBackend()
    running = run(first)
    client = connect(running)
    assert ask(connect(running), ASK) == ACTION
    first.fails = True
    assert error_of(ask(client, ASK)) == "the model is not there"
    first.fails = False
    assert ask(client, ASK) == ACTION


def test_a_ping_is_answered_while_the_policy_thinks(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    backend = Slow()
    running = run(backend)
    thinking, other = connect(running), connect(running)
    thinking.send(ASK)
    assert backend.thinking.wait(10)

    assert ask(other, PING) == PONG
    assert ask(other, golden(B, "get_modality_config_request"))
    assert not thinking.poll(0)
    backend.go.set()
    assert thinking.recv() == ACTION


def test_every_request_gets_one_reply(run: Callable[..., Running], connect: Callable[..., Any]):
    backend = Slow()
    client = connect(run(backend), zmq.DEALER)
    client.send_multipart([b"running", b"", ASK])
    assert backend.thinking.wait(10)
    for number in range(10):
        client.send_multipart([b"%d" % number, b"", ASK])
    refused = [client.recv_multipart() for _ in range(9)]
    backend.go.set()
    replies = [client.recv_multipart() for _ in range(2)]

    assert [name for name, _, _ in refused] == [b"%d" % number for number in range(9)]
    assert all("something newer of the same client" in error_of(last) for *_, last in refused)
    assert replies == [[b"running", b"", ACTION], [b"9", b"", ACTION]]
    assert not client.poll(50)


def test_who_asks_too_much_is_told(run: Callable[..., Running], connect: Callable[..., Any]):
    backend = Slow()
    running = run(backend, max_waiting=1)
    clients = [connect(running) for _ in range(3)]
    clients[0].send(ASK)
    assert backend.thinking.wait(10)
    clients[1].send(ASK)
    # It waits once the front has answered what came after it.
    assert ask(connect(running), PING) == PONG

    assert error_of(ask(clients[2], ASK)) == "the server is overloaded: 1 clients are waiting"
    backend.go.set()
    assert [client.recv() for client in clients[:2]] == [ACTION] * 2


@pytest.mark.parametrize(
    ("frames", "envelope"),
    [
        ([PING], []),
        ([b"", PING], [b""]),
        ([b"id", b"", PING], [b"id", b""]),
        ([b"id", b"more", b"", PING], [b"id", b"more", b""]),
    ],
)
def test_a_clients_own_frames_come_back(
    run: Callable[..., Running],
    connect: Callable[..., Any],
    frames: list[bytes],
    envelope: list[bytes],
):
    client = connect(run(GoldenBackend()), zmq.DEALER)
    client.send_multipart(frames)

    assert client.recv_multipart() == [*envelope, PONG]


@pytest.mark.parametrize(("parts", "count"), [([PING, b"b"], 1), ([PING] * 50, 49)])
def test_parts_that_no_array_has_are_refused(
    run: Callable[..., Running], connect: Callable[..., Any], parts: list[bytes], count: int
):
    client = connect(run(GoldenBackend()))
    client.send_multipart(parts)

    assert error_of(client.recv()).startswith(f"the message has {count} parts beside it, 0 of")
    assert ask(client, PING) == PONG


def test_a_message_beyond_the_limit_is_refused_and_one_far_beyond_is_cut_off(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    running = run(GoldenBackend())
    client, flood = connect(running), connect(running)

    text = error_of(ask(client, bytes(MAX_BYTES + 1)))
    assert text == f"message has {MAX_BYTES + 1} bytes; at most {MAX_BYTES} are allowed"
    flood.send(bytes(4 * MAX_BYTES + 1))
    assert not flood.poll(100)
    assert ask(client, PING) == PONG


def test_bad_bytes_stop_nothing(run: Callable[..., Running], connect: Callable[..., Any]):
    client = connect(run(GoldenBackend()))
    for data in (b"", b"\xc1", ASK[:100], b"\xdd\xff\xff\xff\xff", b"\x91" * 50_000):
        assert "not msgpack" in error_of(ask(client, data))

    assert ask(client, ASK) == ACTION


def test_a_fault_of_the_backend_is_answered_and_stops_nothing(
    run: Callable[..., Running], connect: Callable[..., Any], caplog: pytest.LogCaptureFixture
):
    backend = GoldenBackend()
    backend.error = ZeroDivisionError("a bug")
    client = connect(run(backend))

    assert error_of(ask(client, ASK)) == "the policy failed: ZeroDivisionError: a bug"
    assert "Traceback" in caplog.text
    backend.error = None
    assert ask(client, ASK) == ACTION


def test_a_client_that_is_gone_stops_nothing(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    backend = Slow()
    running = run(backend)
    leaving = connect(running)
    leaving.send(ASK)
    assert backend.thinking.wait(10)
    leaving.close()
    backend.go.set()

    assert ask(connect(running), ASK) == ACTION


def test_actions_are_delayed_and_nothing_else(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    client = connect(run(GoldenBackend(), delay_s=lambda: 0.2))
    assert ask(client, PING) == PONG
    started_s = time.monotonic()
    assert ask(client, golden(B, "reset_request")) == golden(B, "reset_reply")
    reset_s = time.monotonic()
    assert ask(client, ASK) == ACTION

    assert reset_s - started_s < 0.2 <= time.monotonic() - reset_s


def test_a_kill_is_answered_and_ends_it(run: Callable[..., Running], connect: Callable[..., Any]):
    running = run(GoldenBackend(), api_token="secret")
    client = connect(running)

    assert ask(client, golden(B, "kill_request")) == golden(B, "kill_reply")
    running.join()


def test_what_still_waits_at_the_end_is_told_so(
    run: Callable[..., Running], connect: Callable[..., Any]
):
    backend = Slow()
    running = run(backend)
    first, second = connect(running), connect(running)
    first.send(ASK)
    assert backend.thinking.wait(10)
    second.send(ASK)
    # It is in the queue once the front has answered what came after it.
    assert ask(connect(running), PING) == PONG
    threading.Timer(0.1, backend.go.set).start()
    running.stop()

    assert first.recv() == ACTION
    assert error_of(second.recv()) == "the server is ending"


def test_a_call_that_hangs_is_left_behind(run: Callable[..., Running], connect: Callable[..., Any]):
    backend = Slow()
    running = run(backend)
    client = connect(running)
    client.send(ASK)
    assert backend.thinking.wait(10)
    started_s = time.monotonic()
    running.stop()

    assert time.monotonic() - started_s < 1.0
    assert running.ended is False
    backend.go.set()


def test_requests_wait_for_the_backend_to_be_connected(
    run: Callable[..., Running], connect: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    backend, go = GoldenBackend(), threading.Event()

    def load() -> PolicyInfo:
        assert go.wait(10)
        return PolicyInfo("loaded")

    monkeypatch.setattr(backend, "connect", load)
    running = run(backend)
    waiting = connect(running)
    waiting.send(ASK)
    assert ask(connect(running), PING) == PONG
    assert not waiting.poll(0)
    go.set()
    assert waiting.recv() == ACTION


def test_an_address_that_is_taken_is_named(run: Callable[..., Running]):
    backend = GoldenBackend()
    address = run(backend).front.address

    service, worker = Gr00tService(backend.policy), PolicyWorker(Sessions(backend))
    with pytest.raises(ConfigError, match=f"cannot listen at {address}: Address already in use"):
        ZmqFront(service, worker, address=address, max_bytes=MAX_BYTES)


def in_parts(image: np.ndarray) -> list[bytes | memoryview]:
    given = policy_input(policy(), observation(images={"head": image, "hand": image}))
    tree = encode_observation(given, Arrangement(B, Layout.NESTED))
    first, rest = encode_request_parts(
        Request("get_action", {"observation": tree, "options": None})
    )
    return [first, *rest]


def test_a_request_may_have_parts(run: Callable[..., Running], connect: Callable[..., Any]):
    backend = GoldenBackend()
    image = np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8)
    client = connect(run(backend))

    parts = in_parts(image)
    assert len(parts) == 3
    client.send_multipart(parts)
    assert client.recv() == ACTION
    large = in_parts(np.zeros((200, 200, 3), np.uint8))
    client.send_multipart(large)
    assert error_of(client.recv()) == (
        f"message has {2 * 120_000 + len(large[0])} bytes; at most 100000 are allowed"
    )

    [seen] = backend.seen
    for shown in seen.images.values():
        np.testing.assert_array_equal(shown, image)
        assert not shown.flags.writeable


def test_a_front_may_listen_at_a_local_socket_too(tmp_path: Path):
    backend, local = GoldenBackend(), LocalSocket(tmp_path)
    worker = PolicyWorker(Sessions(backend))
    service = Gr00tService(backend.policy, api_token="secret")
    front = ZmqFront(service, worker, address="tcp://127.0.0.1:*", max_bytes=MAX_BYTES, local=local)
    assert front.address.startswith("tcp://127.0.0.1:")
    running = RunningFront(front, worker)
    with zmq.Context() as context, context.socket(zmq.REQ) as client:
        client.rcvtimeo = PATIENCE_MS
        client.connect(local.address)
        client.send(PING)
        assert "Unauthorized" in error_of(client.recv())
        client.send(golden(B, "kill_request"))
        assert client.recv() == golden(B, "kill_reply")
    running.join()
    running.stop()

    assert list(tmp_path.iterdir()) == []


def test_where_there_can_be_no_local_socket_a_front_does_without(tmp_path: Path):
    local = LocalSocket(tmp_path)
    local.remove()
    local.address = ""
    backend = GoldenBackend()
    worker = PolicyWorker(Sessions(backend))
    front = ZmqFront(
        Gr00tService(backend.policy), worker, address="tcp://127.0.0.1:*", max_bytes=9, local=local
    )
    running = RunningFront(front, worker)
    running.stop()


def test_a_local_socket_goes_where_an_address_is_taken(run: Callable[..., Running], tmp_path: Path):
    backend = GoldenBackend()
    address = run(backend).front.address
    local = LocalSocket(tmp_path)

    with pytest.raises(ConfigError, match="cannot listen at"):
        ZmqFront(
            Gr00tService(backend.policy),
            PolicyWorker(Sessions(backend)),
            address=address,
            max_bytes=MAX_BYTES,
            local=local,
        )
    assert list(tmp_path.iterdir()) == []
