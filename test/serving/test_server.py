# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import observation
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving.asked import Client, Inference
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.server import PolicyServer
from vla_ros.serving.sessions import Sessions

LONG_S = 10.0


class Waiting:
    """A front that nobody connects to."""

    address = "nowhere"

    def __init__(self) -> None:
        self.told = threading.Event()
        self.ran = threading.Event()
        self.fails: Exception | None = None

    def run(self) -> None:
        self.ran.set()
        assert self.told.wait(LONG_S)
        if self.fails is not None:
            raise self.fails

    def stop(self) -> None:
        self.told.set()


class Slow(GoldenBackend):
    def __init__(self) -> None:
        super().__init__()
        self.go, self.thinking = threading.Event(), threading.Event()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.thinking.set()
        assert self.go.wait(LONG_S)
        return super().infer(observation, prefix)


class Running:
    """A server in a thread."""

    def __init__(self, backend: GoldenBackend, drain_s: float) -> None:
        self.worker = PolicyWorker(Sessions(backend))
        self.fronts = [Waiting(), Waiting()]
        self.server = PolicyServer(self.worker, self.fronts, drain_s=drain_s)
        self.result: Future[bool] = Future()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result.set_result(self.server.run())
        except (BackendUnavailable, OSError, ZeroDivisionError) as error:
            self.result.set_exception(error)

    def ask(self, client: str = "a") -> Future[str]:
        return self.worker.submit(
            Inference(observation(), lambda _: "actions"), Client("x", client)
        )


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(backend: GoldenBackend | None = None, drain_s: float = LONG_S) -> Running:
        made.append(Running(backend or GoldenBackend(), drain_s))
        return made[-1]

    yield start
    for running in made:
        running.server.stop()
        running.server.stop()
        running.thread.join(LONG_S)
        assert not running.thread.is_alive()


def test_all_fronts_run_until_it_is_told_to_stop(run: Callable[..., Running]):
    running = run()
    assert all(front.ran.wait(LONG_S) for front in running.fronts)
    assert running.ask().result(LONG_S) == "actions"
    running.server.stop()
    assert running.result.result(LONG_S) is True


def test_what_is_under_way_is_answered_before_it_ends(run: Callable[..., Running]):
    backend = Slow()
    running = run(backend)
    under_way = running.ask()
    assert backend.thinking.wait(LONG_S)
    running.server.stop()
    deadline_s = time.monotonic() + LONG_S
    while running.worker.state != "ending":
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    assert isinstance(running.ask("b").exception(LONG_S), BackendUnavailable)
    assert not running.result.done()
    backend.go.set()
    assert under_way.result(LONG_S) == "actions"
    assert running.result.result(LONG_S) is True


@pytest.mark.parametrize("again", [True, False])
def test_it_does_not_wait_longer_than_told_nor_when_told_twice(
    run: Callable[..., Running], again: bool
):
    backend = Slow()
    running = run(backend, drain_s=60.0 if again else 0.1)
    under_way = running.ask()
    assert backend.thinking.wait(LONG_S)
    running.server.stop()
    if again:
        running.server.stop()
    assert running.result.result(LONG_S) is False
    assert "the server is ending" in str(under_way.exception(LONG_S))
    backend.go.set()


def test_a_policy_that_cannot_be_had_ends_it(run: Callable[..., Running]):
    backend = GoldenBackend()

    def refuse() -> PolicyInfo:
        raise BackendUnavailable("the model is not there")

    backend.connect = refuse  # type: ignore[method-assign]
    running = run(backend)
    assert "the model is not there" in str(running.result.exception(LONG_S))
    assert all(front.told.is_set() for front in running.fronts)


def test_it_can_be_told_to_stop_while_the_policy_loads(run: Callable[..., Running]):
    backend, go = GoldenBackend(), threading.Event()

    def load() -> PolicyInfo:
        assert go.wait(LONG_S)
        return PolicyInfo("loaded")

    backend.connect = load  # type: ignore[method-assign]
    running = run(backend)
    running.server.stop()
    assert running.result.result(LONG_S) is False
    go.set()


def test_a_front_that_ends_ends_it(run: Callable[..., Running]):
    running = run()
    running.fronts[1].stop()
    assert running.result.result(LONG_S) is True
    assert running.fronts[0].told.is_set()


def test_a_front_that_fails_is_not_hidden(run: Callable[..., Running]):
    running = run()
    running.fronts[0].fails = OSError("no more sockets")
    running.fronts[0].stop()
    assert "no more sockets" in str(running.result.exception(LONG_S))


def test_a_fault_of_the_policys_thread_ends_it_and_is_not_hidden(run: Callable[..., Running]):
    running = run()
    running.ask().result(LONG_S)

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    running.worker._queue.take = fail  # type: ignore[method-assign, assignment]
    assert isinstance(running.ask().exception(LONG_S), BackendUnavailable)
    assert isinstance(running.result.exception(LONG_S), ZeroDivisionError)
