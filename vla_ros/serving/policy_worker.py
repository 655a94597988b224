# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the backends, whichever protocol their clients speak.

``submit`` and ``stop`` may be called by any thread, ``stop`` by a signal handler too; the rest
belongs to the thread that runs the front.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from vla_ros.backends.base import PolicyInfo
from vla_ros.core.errors import BackendUnavailable
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.wake import Wake

_LOG = logging.getLogger(__name__)
T = TypeVar("T")
MAX_WAITING = 16
_ENDING = "the server is ending"
_PATIENCE_S = 0.5


class PolicyWorker:
    """Connects the backends, works off what is asked of them in order, and closes them.

    Attributes:
        wake: Rings when the server is to end.
        stopping: Whether it is.
    """

    def __init__(self, sessions: Sessions, *, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        """Nothing is connected before ``start``.

        Args:
            sessions: What the thread owns.
            delay_s: How much later than it could a delayed work ends, asked for each one.
        """
        self.wake = Wake()
        self.stopping = False
        self._sessions = sessions
        self._delay_s = delay_s
        self._ending = threading.Event()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._connecting: Future[PolicyInfo] | None = None

    def start(self) -> None:
        """Connect the backend; a failure stops the server, and ``end`` raises it."""
        self._connecting = self._thread.submit(self._sessions.connect)
        self._connecting.add_done_callback(self._connected)

    def submit(self, work: Callable[[], T], *, delayed: bool) -> Future[T]:
        """Have something done with the backend, after all that was submitted before.

        Args:
            work: What to do.
            delayed: Whether it ends later than it could.

        Returns:
            Its end, which fails with BackendUnavailable where the server ends before.

        Raises:
            BackendUnavailable: Too much waits already, or the server has ended.
        """
        if not self._waiting.acquire(blocking=False):
            raise BackendUnavailable(
                f"the server is busy: {MAX_WAITING} requests are waiting already"
            )
        try:
            done = self._thread.submit(self._work, work, delayed=delayed)
        except RuntimeError as error:
            self._waiting.release()
            raise BackendUnavailable(_ENDING) from error
        done.add_done_callback(lambda _: self._waiting.release())
        return done

    def stop(self) -> None:
        """Have the server end soon."""
        # No lock: a handler may interrupt another one.
        self.stopping = True
        self.wake.ring()

    def end(self) -> bool:
        """Close the backend.

        Returns:
            Whether the backend let go in time; else its thread still hangs in a call.
        """
        self._ending.set()
        closing = self._thread.submit(self._sessions.close)
        ended = bool(wait([closing], timeout=_PATIENCE_S).done)
        self._thread.shutdown(wait=False)
        return ended

    def check(self) -> None:
        """Raise what connecting the backend failed with.

        Raises:
            VlaRosError: The backend cannot be connected.
        """
        connecting = self._connecting
        if connecting is not None and connecting.done() and not connecting.cancelled():
            connecting.result()

    def _connected(self, future: Future[PolicyInfo]) -> None:
        if future.cancelled() or future.exception() is not None:
            self.stop()
        else:
            _LOG.info("ready: %s", future.result().description)

    def _work(self, work: Callable[[], T], *, delayed: bool) -> T:
        if self.stopping:
            raise BackendUnavailable(_ENDING)
        done = work()
        if delayed:
            self._ending.wait(self._delay_s())
        return done
