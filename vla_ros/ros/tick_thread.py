# SPDX-License-Identifier: Apache-2.0
"""A thread that ticks on absolute deadlines.

Deadlines lie on a grid of the steady clock. A late tick does not move the grid, and a tick that is
missed altogether is counted and skipped. Where the system permits it the thread runs with
SCHED_FIFO. ``start``, ``stop`` and ``set_period`` belong to the thread that owns the object.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

_JOIN_S = 1.0


class TickThread:
    """Calls a function at a fixed rate.

    Attributes:
        missed: Ticks skipped because an earlier one took too long.
        scheduling: How the thread is scheduled, in words; empty until it runs.
    """

    def __init__(
        self,
        tick: Callable[[int], None],
        *,
        period_ns: int,
        realtime_priority: int,
        guard: AbstractContextManager[object],
    ) -> None:
        """Prepare a thread; ``start`` lets it run.

        Args:
            tick: Called with how late it is after its deadline [ns].
            period_ns: Time between two ticks.
            realtime_priority: SCHED_FIFO priority, 1 to 99; 0: normal scheduling.
            guard: A context in which the thread runs, told of an exception that ends it.
        """
        self.missed = 0
        self.scheduling = ""
        self._tick = tick
        self._period_ns = period_ns
        self._priority = realtime_priority
        self._guard = guard
        self._stop = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tick", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to tick; returns when the thread runs."""
        self._thread.start()
        self._started.wait(_JOIN_S)

    def stop(self) -> None:
        """Let the tick in progress be the last; returns when it is over."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join(max(_JOIN_S, 2e-9 * self._period_ns))

    def set_period(self, period_ns: int) -> None:
        """Change the time between two ticks, from the next one on."""
        self._period_ns = period_ns

    def _run(self) -> None:
        with self._guard:
            self.scheduling = _schedule(self._priority)
            self._started.set()
            deadline_ns = time.monotonic_ns() + self._period_ns
            while True:
                time.sleep(max(deadline_ns - time.monotonic_ns(), 0) * 1e-9)
                if self._stop.is_set():
                    return
                self._tick(time.monotonic_ns() - deadline_ns)
                deadline_ns += self._period_ns
                behind = (time.monotonic_ns() - deadline_ns) // self._period_ns
                if behind > 0:
                    self.missed += behind
                    deadline_ns += behind * self._period_ns


def _schedule(priority: int) -> str:
    """Give the calling thread its priority, and say which it has."""
    if priority == 0:
        return "normal scheduling"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        return f"normal scheduling (SCHED_FIFO {priority} is not permitted)"
    return f"SCHED_FIFO {priority}"
