# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import pytest

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.gr00t_samples import observation
from vla_ros.backends.base import BatchItem, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError, VlaRosError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving import policy_health
from vla_ros.serving.asked import Client, Inference, Reset
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions

LONG_S = 10.0
A, B, C = (Client("any", name) for name in "abc")

Start = Callable[..., PolicyWorker]


class Slow(GoldenBackend):
    """Thinks until it is told to answer, and notes what it is called for and by whom."""

    def __init__(self, max_batch: int = 1) -> None:
        super().__init__()
        self.max_batch = max_batch
        self.go = threading.Event()
        self.thinking = threading.Event()
        self.calls: list[tuple[str, int]] = []
        self.threads: set[int] = set()

    def connect(self) -> PolicyInfo:
        self.note("connect")
        return PolicyInfo("slow", max_batch=self.max_batch)

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.note("infer")
        self.think()
        return super().infer(observation, prefix)

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        self.note("batch", len(items))
        self.think()
        return [GoldenBackend.infer(self, item.observation, item.prefix) for item in items]

    def reset(self) -> None:
        self.note("reset")
        super().reset()

    def close(self) -> None:
        self.note("close")

    def note(self, what: str, size: int = 1) -> None:
        self.calls.append((what, size))
        self.threads.add(threading.get_ident())

    def think(self) -> None:
        self.thinking.set()
        assert self.go.wait(LONG_S)


class Noting:
    """A watcher."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []
        self.batches: list[int] = []
        self.loads: list[tuple[int, int]] = []

    def answered(self, protocol: str, outcome: str, waited_s: float) -> None:
        self.outcomes.append(f"{protocol} {outcome}")

    def batch(self, size: int, inference_s: float) -> None:
        self.batches.append(size)

    def load(self, *, waiting: int, at_work: int) -> None:
        self.loads.append((waiting, at_work))

    def reloaded(self, *, ok: bool) -> None:
        raise AssertionError(ok)


def inference(name: str = "", **facts: Any) -> Inference[str]:
    return Inference(observation(), lambda _: f"actions {name}".strip(), **facts)


RESET: Reset[str] = Reset(lambda: "reset")


def text_of(future: Future[Any]) -> str:
    """What a request failed with."""
    error = future.exception(LONG_S)
    assert isinstance(error, VlaRosError)
    return str(error)


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[tuple[PolicyWorker, Any]] = []

    def make(backend: GoldenBackend | None = None, **options: Any) -> PolicyWorker:
        backend = backend or GoldenBackend()
        made.append((PolicyWorker(Sessions(backend), **options), backend))
        made[-1][0].start()
        return made[-1][0]

    yield make
    for worker, backend in made:
        if isinstance(backend, Slow):
            backend.go.set()
        worker.end()


def test_one_thread_does_everything(start: Start):
    backend = Slow()
    backend.go.set()
    worker = start(backend)
    assert worker.submit(inference(), A).result(LONG_S) == "actions"
    assert worker.submit(RESET, A).result(LONG_S) == "reset"
    assert worker.end()

    assert [what for what, _ in backend.calls] == ["connect", "infer", "reset", "close"]
    assert len(backend.threads) == 1
    assert threading.get_ident() not in backend.threads


def test_the_prefix_goes_along(start: Start):
    backend = GoldenBackend()
    prefix = Prefix((), observation().state[None, :0], 0.1, 4)
    start(backend).submit(inference(prefix=prefix), A).result(LONG_S)
    assert backend.prefixes == [prefix]


def test_what_comes_while_the_policy_thinks_is_inferred_together(start: Start):
    backend, watcher = Slow(max_batch=8), Noting()
    worker = start(backend, watcher=watcher)
    first = worker.submit(inference("1"), A)
    assert backend.thinking.wait(LONG_S)
    clients = [Client("any", number) for number in range(10)]
    later = [worker.submit(inference(str(client.name)), client) for client in clients]
    backend.go.set()
    assert first.result(LONG_S) == "actions 1"
    assert [future.result(LONG_S) for future in later] == [f"actions {n}" for n in range(10)]
    assert backend.calls[1:] == [("infer", 1), ("batch", 8), ("batch", 2)]
    assert worker.end()
    assert watcher.batches == [1, 8, 2]
    # The first of them is told while the policy thinks.
    assert watcher.loads[-4:] == [(10, 11), (10, 11), (2, 11), (0, 11)]
    assert watcher.outcomes == ["any ok"] * 11


def test_less_may_be_inferred_together_than_could_be(start: Start):
    backend = Slow(max_batch=8)
    worker = start(backend, max_batch=2)
    first = worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    later = [worker.submit(inference(), Client("any", number)) for number in range(4)]
    backend.go.set()
    for future in [first, *later]:
        future.result(LONG_S)
    assert backend.calls[2:] == [("batch", 2), ("batch", 2)]


def test_a_free_policy_waits_for_those_who_are_at_work(start: Start):
    backend = Slow(max_batch=8)
    backend.go.set()
    worker = start(backend, batch_wait_s=LONG_S)
    started_s = time.monotonic()
    # Alone at work.
    worker.submit(inference(), A).result(LONG_S)
    first = worker.submit(inference(), B)
    assert not first.done()
    second = worker.submit(inference(), A)
    for future in (first, second):
        future.result(LONG_S)
    assert backend.calls[1:] == [("infer", 1), ("batch", 2)]
    assert time.monotonic() - started_s < LONG_S


def test_who_waited_and_who_was_answered_just_now_are_inferred_together(start: Start):
    backend = Slow(max_batch=8)
    worker = start(backend, batch_wait_s=LONG_S)
    running = worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    waiting = worker.submit(inference(), B)
    backend.go.set()
    running.result(LONG_S)
    again = worker.submit(inference(), A)
    for future in (waiting, again):
        future.result(LONG_S)
    assert backend.calls[1:] == [("infer", 1), ("batch", 2)]


def test_a_policy_that_cannot_batch_has_one_at_a_time(start: Start):
    backend = Slow(max_batch=1)
    backend.go.set()
    worker = start(backend, max_batch=16)
    done = [worker.submit(inference(), Client("any", number)) for number in range(3)]
    for future in done:
        assert future.result(LONG_S) == "actions"
    assert [call for call in backend.calls if call[0] == "batch"] == []


def test_who_runs_out_first_is_answered_first(start: Start):
    backend, order = Slow(), []
    worker = start(backend)
    worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    late = worker.submit(inference(runs_out_in_s=0.9), B)
    soon = worker.submit(inference(runs_out_in_s=0.1), C)
    late.add_done_callback(lambda _: order.append("late"))
    soon.add_done_callback(lambda _: order.append("soon"))
    backend.go.set()
    late.result(LONG_S)
    assert order == ["soon", "late"]


def test_a_clients_newest_takes_the_place_of_its_older_one(start: Start):
    backend, watcher = Slow(), Noting()
    worker = start(backend, watcher=watcher)
    running = worker.submit(inference("running"), A)
    assert backend.thinking.wait(LONG_S)
    older, newest = worker.submit(inference("older"), A), worker.submit(inference("newest"), A)
    assert "something newer of the same client" in text_of(older)
    backend.go.set()
    assert running.result(LONG_S) == "actions running"
    assert newest.result(LONG_S) == "actions newest"
    assert len(backend.seen) == 2
    assert worker.end()
    assert sorted(watcher.outcomes) == ["any ok", "any ok", "any replaced"]


def test_a_reset_goes_before_and_takes_the_place_of_what_waits(start: Start):
    backend = Slow()
    worker = start(backend)
    worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    waiting, others = worker.submit(inference(), B), worker.submit(inference("c"), C)
    reset = worker.submit(RESET, B)
    assert "something newer" in text_of(waiting)
    backend.go.set()
    assert reset.result(LONG_S) == "reset"
    assert others.result(LONG_S) == "actions c"
    assert [what for what, _ in backend.calls] == ["connect", "infer", "reset", "infer"]


def test_only_so_many_may_wait(start: Start):
    backend, watcher = Slow(), Noting()
    worker = start(backend, max_waiting=2, watcher=watcher)
    worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    waiting = [worker.submit(inference(), client) for client in (A, B)]
    resets = [worker.submit(RESET, Client("any", number)) for number in range(2)]
    assert text_of(worker.submit(inference(), C)) == (
        "the server is overloaded: 2 clients are waiting"
    )
    assert "overloaded: 2 resets are waiting" in text_of(worker.submit(RESET, C))
    backend.go.set()
    for future in [*waiting, *resets]:
        future.result(LONG_S)
    assert worker.submit(inference(), C).result(LONG_S) == "actions"
    assert watcher.outcomes.count("any refused") == 2


def test_a_clients_own_backend_answers_it(start: Start):
    first = OwnBackend()
    worker = start(first)
    for client in (A, B, A):
        worker.submit(inference(), client).result(LONG_S)
    worker.forget(A)
    worker.submit(RESET, A).result(LONG_S)
    assert [len(one.seen) for one in first.family] == [0, 2, 1, 0]
    assert [one.closes for one in first.family] == [0, 1, 0, 0]
    assert first.family[3].resets == 1


def test_a_backend_of_a_clients_own_that_cannot_be_had_refuses_that_client_alone(start: Start):
    first = OwnBackend()
    worker = start(first)
    assert worker.submit(inference(), A).result(LONG_S) == "actions"
    first.fails = True
    assert text_of(worker.submit(inference(), B)) == "the model is not there"
    assert text_of(worker.submit(RESET, B)) == "the model is not there"
    assert worker.submit(inference(), A).result(LONG_S) == "actions"


def test_what_a_client_asked_is_dropped_once_it_is_gone(start: Start):
    backend = Slow()
    worker = start(backend)
    worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    leaving = worker.submit(inference(), B)
    worker.forget(B)
    assert text_of(leaving) == "the client is gone"
    backend.go.set()
    assert worker.submit(inference(), C).result(LONG_S) == "actions"
    assert len(backend.seen) == 2


def test_the_policys_errors_come_back_and_stop_nothing(
    start: Start, caplog: pytest.LogCaptureFixture
):
    backend = GoldenBackend()
    worker = start(backend)
    backend.error = ConfigError("no such colour")
    assert text_of(worker.submit(inference(), A)) == "no such colour"
    assert text_of(worker.submit(RESET, A)) == "no such colour"
    backend.error = ZeroDivisionError("a bug")
    assert text_of(worker.submit(inference(), A)) == "the policy failed: ZeroDivisionError: a bug"
    assert "Traceback" in caplog.text
    backend.error = None
    assert worker.submit(inference(), A).result(LONG_S) == "actions"


def test_an_answer_that_cannot_be_made_is_an_error(start: Start):
    def fail(_: ActionChunk) -> str:
        raise RemotePolicyError("the chunk is too short")

    worker = start()
    assert "too short" in text_of(worker.submit(Inference(observation(), fail), A))


def test_a_fault_in_an_answer_ends_its_request_alone(start: Start):
    def fail(_: ActionChunk) -> str:
        raise ZeroDivisionError("a bug")

    worker = start()
    failing = worker.submit(Inference(observation(), fail), A)
    assert text_of(failing) == "the policy failed: ZeroDivisionError: a bug"
    failing = worker.submit(Reset(lambda: fail(None)), A)  # type: ignore[arg-type]
    assert text_of(failing) == "the policy failed: ZeroDivisionError: a bug"
    assert worker.submit(inference(), A).result(LONG_S) == "actions"


def test_where_the_thread_itself_fails_nobody_waits_for_ever(
    start: Start, monkeypatch: pytest.MonkeyPatch
):
    worker = start()
    assert worker.submit(inference(), A).result(LONG_S) == "actions"

    def fail() -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(worker._queue, "take", fail)
    waiting = worker.submit(inference(), A)
    assert isinstance(worker.ended.exception(LONG_S), ZeroDivisionError)
    assert text_of(waiting) == "the server is ending"


def test_the_state_tells_loading_from_ready_from_failing_from_ending(start: Start):
    backend, go = GoldenBackend(), threading.Event()

    def load() -> PolicyInfo:
        assert go.wait(LONG_S)
        return PolicyInfo("loaded")

    backend.connect = load  # type: ignore[method-assign]
    worker = start(backend)
    assert (worker.state, worker.detail) == ("loading", "")
    waiting = worker.submit(inference(), A)
    go.set()
    assert waiting.result(LONG_S) == "actions"
    assert (worker.state, worker.detail) == ("ready", "loaded")
    backend.error = RemotePolicyError("the GPU is gone")
    for count in range(1, 4):
        worker.submit(inference(), A).exception(LONG_S)
        assert worker.state == ("ready" if count < 3 else "failed")
    assert worker.detail == "the GPU is gone"
    with pytest.MonkeyPatch.context() as patch:
        # Who asks only servers that are well may try whether it is.
        patch.setattr(policy_health, "_FAILED_S", 0.0)
        assert worker.state == "ready"
    worker.submit(inference(), A).exception(LONG_S)
    assert worker.state == "failed"
    backend.error = None
    worker.submit(inference(), A).result(LONG_S)
    assert (worker.state, worker.detail) == ("ready", "loaded")
    worker.drain()
    assert worker.state == "ending"


def test_a_backend_that_cannot_be_connected_is_told(start: Start, monkeypatch: pytest.MonkeyPatch):
    backend = GoldenBackend()

    def refuse() -> PolicyInfo:
        raise BackendUnavailable("the model is not there")

    monkeypatch.setattr(backend, "connect", refuse)
    worker = PolicyWorker(Sessions(backend))
    waiting = worker.submit(inference(), A)
    connected = worker.start()
    assert "the model is not there" in str(connected.exception(LONG_S))
    assert (worker.state, worker.detail) == ("failed", "the model is not there")
    assert worker.end()
    assert text_of(waiting) == "the server is ending"


def test_another_backend_takes_over_between_two_inferences(start: Start):
    old, new = Slow(), Slow(max_batch=4)
    new.go.set()
    worker = start(old)
    running = worker.submit(inference("old"), A)
    assert old.thinking.wait(LONG_S)
    waiting = worker.submit(inference("new"), B)
    worker.replace(new, PolicyInfo("new", max_batch=4))
    old.go.set()
    assert running.result(LONG_S) == "actions old"
    assert waiting.result(LONG_S) == "actions new"
    assert (len(old.seen), len(new.seen)) == (1, 1)
    assert ("close", 1) in old.calls
    assert worker.detail == "new"


def test_an_inference_is_delayed_and_a_reset_is_not(start: Start):
    worker = start(delay_s=lambda: 0.2)
    started_s = time.monotonic()
    worker.submit(RESET, A).result(LONG_S)
    assert time.monotonic() - started_s < 0.2
    worker.submit(inference(), A).result(LONG_S)
    assert time.monotonic() - started_s >= 0.2


def test_a_delay_does_not_hold_up_the_end(start: Start):
    begun = threading.Event()

    def long() -> float:
        begun.set()
        return 60.0

    worker = start(delay_s=long)
    done = worker.submit(inference(), A)
    assert begun.wait(LONG_S)
    started_s = time.monotonic()
    assert worker.end()
    assert time.monotonic() - started_s < 1.0
    assert done.result(LONG_S) == "actions"


def test_what_runs_and_waits_is_answered_before_the_end_and_nothing_more(start: Start):
    backend = Slow()
    worker = start(backend)
    running = worker.submit(inference("running"), A)
    assert backend.thinking.wait(LONG_S)
    waiting = worker.submit(inference("waiting"), B)
    drained = worker.drain()
    assert worker.drain() is drained
    assert text_of(worker.submit(inference(), C)) == "the server is ending"
    assert not drained.done()
    backend.go.set()
    drained.result(LONG_S)
    assert (running.result(0), waiting.result(0)) == ("actions running", "actions waiting")


def test_what_has_nothing_to_do_is_drained_at_once(start: Start):
    worker = start()
    worker.submit(RESET, A).result(LONG_S)
    worker.drain().result(LONG_S)


def test_a_call_that_hangs_is_left_behind_and_whoever_waits_is_told(start: Start):
    backend = Slow()
    worker = start(backend)
    running = worker.submit(inference(), A)
    assert backend.thinking.wait(LONG_S)
    waiting, reset = worker.submit(inference(), B), worker.submit(RESET, C)
    started_s = time.monotonic()
    assert not worker.end()
    assert time.monotonic() - started_s < 2.0
    for future in (running, waiting, reset, worker.submit(inference(), A)):
        assert text_of(future) == "the server is ending"
