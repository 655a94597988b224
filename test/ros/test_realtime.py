# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import threading

import pytest

from vla_ros.ros.realtime import realtime_process


class Scheduler:
    """Remembers what it was asked, instead of doing it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: type[OSError] | None = None) -> None:
        self.asked: list[tuple[int, int, int]] = []
        self._error = error
        monkeypatch.setattr(os, "sched_setscheduler", self)

    def __call__(self, thread: int, policy: int, param: os.sched_param) -> None:
        self.asked.append((thread, policy, param.sched_priority))
        if self._error is not None:
            raise self._error


def test_every_thread_is_raised_and_lowered_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, end = Scheduler(monkeypatch), threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    with realtime_process(49):
        raised = {(thread, priority) for thread, _, priority in scheduler.asked}
        assert {(os.getpid(), 49), (other.native_id, 49)} <= raised
        assert {policy for _, policy, _ in scheduler.asked} == {os.SCHED_FIFO}
        scheduler.asked.clear()
    end.set()
    other.join()
    assert (other.native_id, os.SCHED_OTHER, 0) in scheduler.asked


@pytest.mark.parametrize("error", [PermissionError, ProcessLookupError])
def test_where_it_cannot_be_nothing_happens(
    error: type[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = Scheduler(monkeypatch, error)
    with realtime_process(49):
        assert scheduler.asked


def test_no_priority_asks_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = Scheduler(monkeypatch)
    with realtime_process(0):
        pass
    assert scheduler.asked == []
