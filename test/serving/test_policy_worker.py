# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from test.support.golden_backend import GoldenBackend
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.errors import BackendUnavailable
from vla_ros.serving.policy_worker import MAX_WAITING, PolicyWorker
from vla_ros.serving.sessions import Sessions

LONG_S = 10.0

Start = Callable[..., PolicyWorker]


class Noting(GoldenBackend):
    """Notes in which thread it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []

    def connect(self) -> PolicyInfo:
        self.note("connect")
        return super().connect()

    def close(self) -> None:
        self.note("close")

    def note(self, what: str) -> None:
        self.calls.append((what, threading.get_ident()))


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[PolicyWorker] = []

    def make(backend: GoldenBackend | None = None, **options: Any) -> PolicyWorker:
        made.append(PolicyWorker(Sessions(backend or GoldenBackend()), **options))
        made[-1].start()
        return made[-1]

    yield make
    for worker in made:
        worker.stop()
        with contextlib.suppress(RuntimeError):  # it has ended already
            worker.end()
        worker.wake.close()


def test_one_thread_does_everything_in_order(start: Start):
    backend = Noting()
    worker = start(backend)
    done = [worker.submit(lambda: backend.note("work"), delayed=False) for _ in range(3)]
    for future in done:
        future.result(LONG_S)
    worker.stop()
    assert worker.end()

    assert [what for what, _ in backend.calls] == ["connect", "work", "work", "work", "close"]
    threads = {thread for _, thread in backend.calls}
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_what_was_done_comes_back(start: Start):
    worker = start()
    assert worker.submit(lambda: 7, delayed=False).result(LONG_S) == 7
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 // 0, delayed=False).result(LONG_S)
    assert worker.submit(lambda: 8, delayed=True).result(LONG_S) == 8


def test_only_so_much_may_wait(start: Start):
    worker, go = start(), threading.Event()
    waiting = [worker.submit(lambda: go.wait(LONG_S), delayed=False) for _ in range(MAX_WAITING)]
    with pytest.raises(BackendUnavailable, match="busy: 16 requests are waiting already"):
        worker.submit(lambda: None, delayed=False)
    go.set()
    assert all(future.result(LONG_S) for future in waiting)
    assert worker.submit(lambda: 1, delayed=False).result(LONG_S) == 1


def test_what_is_delayed_is_late_and_nothing_else(start: Start):
    worker = start(delay_s=lambda: 0.2)
    started_s = time.monotonic()
    worker.submit(lambda: None, delayed=False).result(LONG_S)
    assert time.monotonic() - started_s < 0.2
    worker.submit(lambda: None, delayed=True).result(LONG_S)
    assert time.monotonic() - started_s >= 0.2


def test_a_delay_does_not_hold_up_the_end(start: Start):
    begun = threading.Event()
    worker = start(delay_s=lambda: begun.set() or 60.0)
    done = worker.submit(lambda: "done", delayed=True)
    assert begun.wait(LONG_S)
    started_s = time.monotonic()
    worker.stop()
    assert worker.end()
    assert time.monotonic() - started_s < 1.0
    assert done.result(0) == "done"


def test_what_still_waits_at_the_end_fails(start: Start):
    worker, go, begun = start(), threading.Event(), threading.Event()
    first = worker.submit(lambda: begun.set() or go.wait(LONG_S), delayed=False)
    second = worker.submit(lambda: None, delayed=False)
    assert begun.wait(LONG_S)
    worker.stop()
    go.set()
    assert worker.end()
    assert first.result(LONG_S)
    for _ in range(MAX_WAITING + 1):
        with pytest.raises(BackendUnavailable, match="the server is ending"):
            worker.submit(lambda: None, delayed=False)
    with pytest.raises(BackendUnavailable, match="the server is ending"):
        second.result(LONG_S)


def test_a_call_that_hangs_is_left_behind(start: Start):
    worker, go, begun = start(), threading.Event(), threading.Event()
    worker.submit(lambda: begun.set() or go.wait(LONG_S), delayed=False)
    assert begun.wait(LONG_S)
    started_s = time.monotonic()
    worker.stop()
    assert not worker.end()
    assert time.monotonic() - started_s < 1.0
    go.set()


def test_stopping_rings(start: Start):
    worker = start()
    assert not worker.stopping
    worker.stop()
    worker.stop()
    started_s = time.monotonic()
    worker.wake.wait(LONG_S)
    assert time.monotonic() - started_s < 1.0
    assert worker.stopping


def test_a_backend_that_cannot_be_connected_stops_it(start: Start, monkeypatch: pytest.MonkeyPatch):
    backend = GoldenBackend()

    def refuse() -> PolicyInfo:
        raise BackendUnavailable("the model is not there")

    monkeypatch.setattr(backend, "connect", refuse)
    worker = start(backend)
    worker.wake.wait(LONG_S)
    assert worker.stopping
    worker.end()
    with pytest.raises(BackendUnavailable, match="the model is not there"):
        worker.check()


def test_a_backend_that_was_connected_is_checked_without_a_word(start: Start):
    worker = start()
    worker.submit(lambda: None, delayed=False).result(LONG_S)
    worker.check()
