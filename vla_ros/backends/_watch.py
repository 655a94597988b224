# SPDX-License-Identifier: Apache-2.0
"""Whether a policy server is alive, looked after in a thread of its own.

The thread owns the backend that it checks with; all else may be called by any thread.
"""

from __future__ import annotations

import threading

from vla_ros.backends._remote import RemoteBackend
from vla_ros.core.errors import BackendError


class Watch:
    """Checks one server from time to time."""

    def __init__(self, backend: RemoteBackend, *, every_s: float, timeout_s: float) -> None:
        """Believe the server to be alive; ``start`` begins to check.

        Args:
            backend: One that is used for nothing else.
            every_s: Time between two checks.
            timeout_s: A server that gives no sign of life for so long is not alive.
        """
        self._backend = backend
        self._backend.timeout_s = timeout_s
        self._every_s = every_s
        self._ending = threading.Event()
        self._lock = threading.Lock()
        # Guarded by the lock.
        self._alive = True
        self._told = 0
        self._thread = threading.Thread(
            target=self._run, name=f"watch {backend.address}", daemon=True
        )

    @property
    def alive(self) -> bool:
        """Whether the server gave a sign of life when it was last asked for anything."""
        return self._alive

    def tell(self, *, alive: bool) -> None:
        """Somebody else knows better than a check that is under way."""
        with self._lock:
            self._alive = alive
            self._told += 1

    def start(self) -> None:
        """Begin to check."""
        self._thread.start()

    def end(self) -> None:
        """Check no more, as soon as what is under way is over."""
        self._ending.set()

    def join(self, within_s: float) -> None:
        """Wait for the end; a check that takes longer is left to itself, and ends in time."""
        self._thread.join(within_s)

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._every_s):
                self._check()
        finally:
            self._backend.close()

    def _check(self) -> None:
        with self._lock:
            told = self._told
        try:
            self._backend.check()
            alive = True
        except BackendError:
            # The next check begins afresh, and does not wait for what this one asked.
            self._backend.close()
            alive = False
        with self._lock:
            if told == self._told:
                self._alive = alive
