# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable

import pytest

from vla_ros.ros.tick_thread import TickThread

PERIOD_NS = 5_000_000


class Ticks:
    """Counts ticks, and waits for them."""

    def __init__(self) -> None:
        self.late_ns: list[int] = []
        self.at_ns: list[int] = []
        self.work: Callable[[], None] = lambda: None
        self._changed = threading.Condition()

    def __call__(self, late_ns: int) -> None:
        with self._changed:
            self.late_ns.append(late_ns)
            self.at_ns.append(time.monotonic_ns())
            self._changed.notify_all()
        self.work()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.at_ns) >= count, 10.0)


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


def thread_of(ticks: Ticks, *, priority: int = 0, guard=None) -> TickThread:
    return TickThread(
        ticks,
        period_ns=PERIOD_NS,
        realtime_priority=priority,
        guard=guard or contextlib.nullcontext(),
    )


def test_it_ticks_on_a_grid_until_it_is_stopped(ticks: Ticks):
    thread = thread_of(ticks)
    thread.start()
    assert thread.alive
    ticks.wait_for(20)
    thread.stop()

    assert not thread.alive
    assert all(late >= 0 for late in ticks.late_ns)
    # Between two ticks lie whole periods, those that were missed included.
    starts = [at - late for at, late in zip(ticks.at_ns, ticks.late_ns, strict=True)]
    periods = (starts[-1] - starts[0]) / PERIOD_NS
    assert periods == pytest.approx(len(starts) - 1 + thread.missed, abs=0.9)


def test_missed_ticks_are_skipped_and_counted(ticks: Ticks):
    thread = thread_of(ticks)

    def dawdle() -> None:
        if len(ticks.at_ns) == 3:
            time.sleep(5.5 * PERIOD_NS * 1e-9)

    ticks.work = dawdle
    thread.start()
    ticks.wait_for(8)
    thread.stop()

    assert thread.missed >= 4
    # Without skipping, the ticks after the pause would follow one another at once.
    elapsed = (ticks.at_ns[-1] - ticks.at_ns[0]) / PERIOD_NS
    assert elapsed >= len(ticks.at_ns) - 1 + thread.missed - 1


def test_the_period_can_be_changed(ticks: Ticks):
    thread = thread_of(ticks)
    thread.start()
    ticks.wait_for(2)
    thread.set_period(20 * PERIOD_NS)
    count = len(ticks.at_ns)
    ticks.wait_for(count + 3)
    thread.stop()

    assert ticks.at_ns[-1] - ticks.at_ns[-2] > 10 * PERIOD_NS


def test_an_exception_ends_the_thread_and_reaches_the_guard(ticks: Ticks):
    caught: list[BaseException | None] = []
    guard = contextlib.ExitStack()
    guard.push(lambda kind, error, trace: caught.append(error) or True)
    thread = thread_of(ticks, guard=guard)

    def fail() -> None:
        raise ZeroDivisionError("on purpose")

    ticks.work = fail
    thread.start()
    ticks.wait_for(1)
    thread.stop()

    assert [str(error) for error in caught] == ["on purpose"]
    assert len(ticks.at_ns) == 1


def test_realtime_scheduling_where_it_is_permitted(ticks: Ticks, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[int, int, int]] = []
    monkeypatch.setattr(
        os,
        "sched_setscheduler",
        lambda pid, policy, p: asked.append((pid, policy, p.sched_priority)),
    )
    thread = thread_of(ticks, priority=42)
    thread.start()
    thread.stop()

    assert asked == [(0, os.SCHED_FIFO, 42)]
    assert thread.scheduling == "SCHED_FIFO 42"


def test_normal_scheduling_where_it_is_not_permitted(ticks: Ticks, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    thread = thread_of(ticks, priority=42)
    thread.start()
    thread.stop()

    assert thread.scheduling == "normal scheduling (SCHED_FIFO 42 is not permitted)"


def test_no_priority_is_normal_scheduling(ticks: Ticks, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "sched_setscheduler")
    thread = thread_of(ticks)
    thread.start()
    thread.stop()

    assert thread.scheduling == "normal scheduling"
