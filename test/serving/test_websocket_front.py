# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.openpi_samples import ACTIONS, given, observation, policy, robot
from test.support.running_front import RunningFront
from vla_ros.backends.base import PolicyInfo
from vla_ros.backends.openpi_websocket import Backend, OpenpiConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving import websocket_front
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.websocket_front import WebsocketFront
from vla_ros.wire.openpi.reply import decode_answer, decode_metadata
from vla_ros.wire.openpi.request import encode_observation, encode_reset

ASK = encode_observation(given())
MAX_BYTES = 100_000
PATIENCE_S = 10.0


class Slow(GoldenBackend):
    """Thinks until it is told to answer, and notes which thread asked."""

    def __init__(self) -> None:
        super().__init__(robot=robot(), policy=policy())
        self.actions = ACTIONS.astype(float)
        self.go, self.thinking = threading.Event(), threading.Event()
        self.threads: set[str] = set()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.threads.add(threading.current_thread().name)
        self.thinking.set()
        assert self.go.wait(PATIENCE_S)
        return super().infer(observation, prefix)


class Loads(GoldenBackend):
    """Loads until it is told to fail."""

    def __init__(self) -> None:
        super().__init__(robot=robot(), policy=policy())
        self.go = threading.Event()

    def connect(self) -> PolicyInfo:
        assert self.go.wait(PATIENCE_S)
        raise BackendUnavailable("the model is not there")


def quick(kind: type[GoldenBackend] = GoldenBackend) -> Any:
    made = kind(robot=robot(), policy=policy()) if kind is GoldenBackend else kind(policy=policy())
    made.actions = ACTIONS.astype(float)
    return made


class Running(RunningFront):
    """One with a service over a backend."""

    def __init__(
        self,
        backend: GoldenBackend,
        *,
        port: int = 0,
        api_token: str | None = None,
        ready: bool = True,
        **options: Any,
    ) -> None:
        worker = PolicyWorker(Sessions(backend), **options)
        service = OpenpiService(backend.policy, api_token=api_token, max_bytes=MAX_BYTES)
        front = WebsocketFront(service, worker, host="127.0.0.1", port=port, max_bytes=MAX_BYTES)
        super().__init__(front, worker, ready=ready)
        self.port = int(self.front.address.rpartition(":")[2])


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(backend: GoldenBackend, **options: Any) -> Running:
        started.append(Running(backend, **options))
        return started[-1]

    yield start
    for item in started:
        item.stop()


@contextmanager
def connected(running: Running, **options: Any) -> Iterator[ClientConnection]:
    """A client that was greeted."""
    with connect(running.front.address, compression=None, **options) as client:
        assert decode_metadata(client.recv(PATIENCE_S))["action_dim"] == 6
        yield client


def ask(client: ClientConnection, request: bytes | str = ASK) -> bytes | str:
    client.send(request)
    return client.recv(PATIENCE_S)


def closed_with(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed):
        client.recv(PATIENCE_S)
    return client.protocol.close_code


def ours(running: Running, **options: Any) -> Backend:
    settings = {"port": running.port, "backoff_s": 0.01, **options}
    return Backend(OpenpiConfig(**settings), robot=robot(), policy=policy())


@pytest.mark.parametrize("episodes", ["connection", "endpoint"])
def test_our_own_client_is_served(run: Callable[..., Running], episodes: str):
    """The contract: connect, infer, reset, the error's text, a restart, close twice."""
    backend = quick()
    running = run(backend)
    client = ours(running, episodes=episodes)
    assert "openpi policy server" in client.connect().description
    chunk = client.infer(observation())
    np.testing.assert_array_equal(chunk.actions, ACTIONS)
    assert chunk.timing.inference_ns > 0
    before = backend.resets
    client.reset()
    client.infer(observation())
    assert backend.resets == before + 1
    backend.error = RemotePolicyError("the model is tired")
    with pytest.raises(RemotePolicyError, match="the model is tired"):
        client.infer(observation())
    backend.error = None
    client.infer(observation())

    running.stop()
    with pytest.raises(BackendUnavailable):
        client.infer(observation())
    again = run(quick(), port=running.port)
    client.connect()
    assert client.infer(observation()).horizon == 5
    client.close()
    client.close()
    assert running.ended
    assert again.ended is None


def test_a_client_waits_no_longer_than_its_deadline(run: Callable[..., Running]):
    client = ours(run(quick(), delay_s=lambda: 0.4), timeout_s=0.1)
    client.connect()
    with pytest.raises(BackendUnavailable, match="no answer within"):
        client.infer(observation())
    client.close()


def test_errors_are_texts_and_end_the_connection(run: Callable[..., Running]):
    backend = quick()
    running = run(backend)
    for request, text in (
        ("hello", "a request must be a binary frame"),
        (b"\xc1", "not msgpack within the limits"),
        (encode_observation(given(), session_id="x")[:-9], "msgpack"),
    ):
        with connected(running) as client:
            assert text in str(ask(client, request))
            assert closed_with(client) == 1011
    with connected(running) as client:
        client.send(bytes(MAX_BYTES + 1))
        assert closed_with(client) == 1009
    backend.error = ZeroDivisionError("by nothing")
    with connected(running) as client:
        # It cannot be reset either.
        assert client.recv(PATIENCE_S) == "the policy failed: ZeroDivisionError: by nothing"
        assert closed_with(client) == 1011
    backend.error = None
    with connected(running) as client:
        assert isinstance(ask(client), bytes)


def health(running: Running) -> tuple[int, bytes]:
    """What it says of itself to who asks over HTTP."""
    url = running.front.address.replace("ws", "http") + "/healthz"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def eventually(condition: Callable[[], object]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def test_health_and_token(run: Callable[..., Running]):
    running = run(quick(), api_token="geheim")
    assert health(running) == (200, b"OK\n")
    with pytest.raises(InvalidStatus, match="401"), connected(running):
        pass
    with connected(running, additional_headers={"Authorization": "Api-Key geheim"}) as client:
        assert isinstance(ask(client), bytes)
    client_of_ours = ours(running, api_key="geheim")
    client_of_ours.connect()
    client_of_ours.close()


def test_there_are_so_many_connections(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(websocket_front, "_MAX_CONNECTIONS", 1)
    running = run(quick())
    with connected(running), pytest.raises(InvalidStatus, match="503"), connected(running):
        pass


def test_who_asks_too_much_is_told(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend, max_waiting=2)
    with connected(running) as first, ExitStack() as others:
        first.send(ASK)
        assert backend.thinking.wait(PATIENCE_S)
        # Each connection waits to be reset, after what the policy thinks about.
        for _ in range(2):
            others.enter_context(connected(running))
        eventually(lambda: len(running.worker._resets) == 2)
        with connected(running) as last:
            assert last.recv(PATIENCE_S) == "the server is overloaded: 2 resets are waiting"
            assert closed_with(last) == 1011
        backend.go.set()
        assert isinstance(first.recv(PATIENCE_S), bytes)
    assert backend.threads == {"policy"}


def test_observations_that_too_many_clients_show_are_refused(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend, max_waiting=1)
    with ExitStack() as stack:
        clients = [stack.enter_context(connected(running)) for _ in range(3)]
        for client in clients:
            # Answered: its episode has begun.
            client.send(encode_reset("x"))
            assert isinstance(client.recv(PATIENCE_S), (bytes, str))
        clients[0].send(ASK)
        assert backend.thinking.wait(PATIENCE_S)
        clients[1].send(ASK)
        eventually(lambda: len(running.worker._queue) == 1)
        assert ask(clients[2]) == "the server is overloaded: 1 clients are waiting"
        assert closed_with(clients[2]) == 1011
        backend.go.set()
        assert all(isinstance(client.recv(PATIENCE_S), bytes) for client in clients[:2])


def test_each_client_has_a_policy_of_its_own_that_goes_with_it(run: Callable[..., Running]):
    first = quick(OwnBackend)
    running = run(first)
    with connected(running) as one, connected(running) as two:
        for client in (one, two):
            assert ask(client)
        assert [each.resets for each in first.family] == [0, 1, 1]
    eventually(lambda: all(each.closes for each in first.family[1:]))


def test_a_hanging_policy_does_not_hold_the_end(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend)
    with connected(running) as client:
        client.send(ASK)
        assert backend.thinking.wait(PATIENCE_S)
        running.stop()
        assert running.ended is False
        assert client.recv(PATIENCE_S) == "the server is ending"
        assert closed_with(client) in (1001, 1011)
    backend.go.set()


def test_a_front_that_is_stopped_before_its_worker_waits_for_nobody(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend)
    with connected(running) as client:
        client.send(ASK)
        assert backend.thinking.wait(PATIENCE_S)
        started_s = time.monotonic()
        running.front.stop()
        running.join()
        assert time.monotonic() - started_s < 2.0
        assert closed_with(client) in (1001, 1006)
    backend.go.set()


def test_health_tells_loading_from_failed_from_ending(run: Callable[..., Running]):
    backend = Loads()
    running = run(backend, ready=False)
    assert health(running) == (503, b"loading\n")
    with connected(running):
        backend.go.set()
        eventually(lambda: health(running) == (503, b"failed\n"))
    well = run(quick())
    well.worker.drain()
    assert health(well) == (503, b"ending\n")
    with connected(well) as client:
        assert client.recv(PATIENCE_S) == "the server is ending"


def test_an_address_that_is_taken_is_refused(run: Callable[..., Running]):
    running = run(quick())
    with pytest.raises(ConfigError, match=rf"cannot listen at ws://127.0.0.1:{running.port}"):
        Running(quick(), port=running.port)


def test_a_client_that_goes_while_the_policy_thinks_harms_nobody(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend)
    with connected(running) as client:
        client.send(ASK)
        assert backend.thinking.wait(PATIENCE_S)
    backend.go.set()
    with connected(running) as client:
        answer = decode_answer(ask(client), policy())
    np.testing.assert_array_equal(np.hstack(list(answer.actions.values())), ACTIONS)
