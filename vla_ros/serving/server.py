# SPDX-License-Identifier: Apache-2.0
"""One policy behind several protocols at once: its worker, its fronts, and their common end.

Told to stop, a server takes no more requests, lets those be answered that it has, and ends; told
once more, it ends at once. ``run`` belongs to the caller's thread; each front has one of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.wake import Wake

_LOG = logging.getLogger(__name__)


class Front(Protocol):
    """What carries requests and replies; see ``ZmqFront``.

    Attributes:
        address: Where it listens.
    """

    address: str

    def run(self) -> None:
        """Serve until somebody stops it; replies that are ready still go out."""

    def stop(self) -> None:
        """Make ``run`` return soon. Any thread."""


class PolicyServer:
    """Runs until it is told to stop, a client ends it, or the policy cannot be had.

    Attributes:
        fronts: Who asks the policy.
        wake_fd: Whatever is written here wakes ``run``; see ``Wake``.
    """

    def __init__(self, worker: PolicyWorker, fronts: Sequence[Front], *, drain_s: float) -> None:
        """Nothing runs before ``run``.

        Args:
            worker: What owns the policy.
            fronts: Who asks it; they listen already.
            drain_s: How long the last requests may take once it is told to stop.
        """
        self._worker = worker
        self.fronts = fronts
        self._drain_s = drain_s
        self._wake = Wake()
        self.wake_fd = self._wake.ring_fd
        # How often it was told to stop. No lock: a handler may interrupt another one.
        self._told = 0

    def stop(self) -> None:
        """Make ``run`` return soon; at once where it was told already. Signal handlers may call."""
        self._told += 1
        self._wake.ring()

    def run(self) -> bool:
        """Serve.

        Returns:
            Whether the backend let go in time; else its thread still hangs in a call.

        Raises:
            VlaRosError: The backend cannot be connected.
        """
        connected = self._worker.start()
        with ThreadPoolExecutor(len(self.fronts), thread_name_prefix="protocol") as threads:
            running = [threads.submit(front.run) for front in self.fronts]
            ends = [*running, self._worker.ended]
            for end in ends:
                end.add_done_callback(self._ring)
            while not (self._told or any(end.done() for end in ends)):
                self._wake.wait(None)
            if connected.done() and not self._worker.ended.done():
                self._drain()
            ended = self._worker.end()
            for front in self.fronts:
                front.stop()
        self._wake.close()
        for future in running:
            future.result()
        for outcome in (connected, self._worker.ended):
            if outcome.done():
                outcome.result()
        return ended

    def _drain(self) -> None:
        drained = self._worker.drain()
        drained.add_done_callback(self._ring)
        deadline_s = time.monotonic() + self._drain_s
        while not drained.done() and self._told < 2:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0.0:
                _LOG.warning(
                    "requests were not answered within %g s, and are given up", self._drain_s
                )
                return
            self._wake.wait(left_s)

    def _ring(self, _: Future[Any]) -> None:
        self._wake.ring()
