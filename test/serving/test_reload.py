# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import POLICY, observation, policy
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.serving.asked import Client, Inference
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.reload import Reloader
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.turns import NobodyWatches

LONG_S = 10.0


class Noting(NobodyWatches):
    def __init__(self) -> None:
        self.reloads: list[bool] = []
        self.news = threading.Condition()

    def reloaded(self, *, ok: bool) -> None:
        with self.news:
            self.reloads.append(ok)
            self.news.notify_all()

    def wait(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.reloads) == count, LONG_S)


class Reloading:
    """A worker, and what reloads its policy; ``make`` gives what is in ``next``."""

    def __init__(self) -> None:
        self.old = GoldenBackend()
        self.next: GoldenBackend | VlaRosError = GoldenBackend()
        self.worker = PolicyWorker(Sessions(self.old))
        self.watcher = Noting()
        self.reloader = Reloader(self._make, self.worker, self.old.policy, self.watcher)
        self.worker.start().result(LONG_S)

    def _make(self) -> GoldenBackend:
        if isinstance(self.next, VlaRosError):
            raise self.next
        return self.next

    def ask(self) -> Future[str]:
        asked: Inference[str] = Inference(observation(), lambda _: "actions")
        return self.worker.submit(asked, Client("any", 1))


@pytest.fixture
def reloading() -> Iterator[Reloading]:
    made = Reloading()
    yield made
    made.reloader.close()
    assert made.worker.end()


def test_the_new_policy_answers_from_then_on(reloading: Reloading):
    assert reloading.reloader.outcome == ""
    reloading.ask().result(LONG_S)
    for count in (1, 2):
        new = reloading.next = GoldenBackend()
        reloading.reloader.request()
        reloading.watcher.wait(count)
        assert reloading.reloader.outcome == "done: golden"
        assert reloading.ask().result(LONG_S) == "actions"
        assert len(new.seen) == 1
    assert len(reloading.old.seen) == 1
    assert reloading.watcher.reloads == [True, True]


def test_the_old_policy_serves_while_the_new_one_loads(reloading: Reloading):
    new, go, loading = GoldenBackend(), threading.Event(), threading.Event()

    def load() -> PolicyInfo:
        loading.set()
        assert go.wait(LONG_S)
        return PolicyInfo("loaded")

    new.connect = load  # type: ignore[method-assign]
    reloading.next = new
    reloading.reloader.request()
    assert loading.wait(LONG_S)
    assert reloading.ask().result(LONG_S) == "actions"
    assert (reloading.reloader.outcome, reloading.worker.state) == ("loading", "ready")
    assert len(reloading.old.seen) == 1
    go.set()
    reloading.watcher.wait(1)
    assert reloading.reloader.outcome == "done: loaded"


def other(old: str, new: str) -> GoldenBackend:
    assert old in POLICY
    return GoldenBackend(policy=policy(POLICY.replace(old, new)))


def broken() -> GoldenBackend:
    backend = GoldenBackend()

    def fail() -> PolicyInfo:
        raise ZeroDivisionError("a bug")

    backend.connect = fail  # type: ignore[method-assign]
    return backend


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (ConfigError("no such file"), "no such file"),
        (other("horizon: 16", "horizon: 8"), "horizon must be those that the clients were told"),
        (other("unit: rad", "unit: degree"), "keys, units, rate and horizon must be those"),
        (broken(), "the policy failed: ZeroDivisionError: a bug"),
    ],
)
def test_where_it_fails_the_old_policy_serves_on(
    reloading: Reloading, made: GoldenBackend | VlaRosError, text: str
):
    reloading.next = made
    reloading.reloader.request()
    reloading.watcher.wait(1)
    assert reloading.reloader.outcome.startswith("failed, the policy from before serves: ")
    assert text in reloading.reloader.outcome
    assert reloading.watcher.reloads == [False]
    assert reloading.ask().result(LONG_S) == "actions"
    assert len(reloading.old.seen) == 1


def test_nothing_is_reloaded_after_the_end(reloading: Reloading):
    reloading.reloader.close()
    reloading.reloader.request()
    time.sleep(0.01)
    assert reloading.watcher.reloads == []
