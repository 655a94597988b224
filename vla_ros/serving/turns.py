# SPDX-License-Identifier: Apache-2.0
"""The requests that a server has taken on: each ends once, whoever ends it. Any thread may call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, Protocol, TypeVar

from vla_ros.core.errors import VlaRosError
from vla_ros.serving.asked import Client, Inference, Reset

A = TypeVar("A", bound="Inference[Any] | Reset[Any]")
Outcome = Literal["ok", "error", "refused", "replaced"]


class Watcher(Protocol):
    """Who is told what becomes of requests, by any thread; see ``Metrics``."""

    def answered(self, protocol: str, outcome: Outcome, waited_s: float) -> None:
        """A request ended, after this time."""

    def batch(self, size: int, inference_s: float) -> None:
        """The policy inferred so many observations at once."""

    def load(self, *, waiting: int, at_work: int) -> None:
        """So many observations wait now, and so many clients have asked of late."""

    def reloaded(self, *, ok: bool) -> None:
        """The policy was loaded anew, or could not be."""


class NobodyWatches:
    """A watcher that does nothing."""

    def answered(self, protocol: str, outcome: Outcome, waited_s: float) -> None:
        """Do nothing."""

    def batch(self, size: int, inference_s: float) -> None:
        """Do nothing."""

    def load(self, *, waiting: int, at_work: int) -> None:
        """Do nothing."""

    def reloaded(self, *, ok: bool) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Turn(Generic[A]):
    """A request on its way.

    Attributes:
        asked: What is to be done.
        client: Who asks.
        since_s: When it came [s of the turns' clock].
        done: Its reply.
    """

    asked: A
    client: Client
    since_s: float
    done: Future[Any] = field(default_factory=Future)


class Turns:
    """The requests that have not ended."""

    def __init__(self, watcher: Watcher, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing was asked yet.

        Args:
            watcher: Who is told of each end.
            now_s: The clock.
        """
        self._watcher = watcher
        self._now_s = now_s
        self._lock = threading.Lock()
        self._open: set[Turn[Any]] = set()

    def begin(self, asked: A, client: Client) -> Turn[A]:
        """Take a request on."""
        turn = Turn(asked, client, self._now_s())
        # Who waits for it cannot call it off: a reply may be under way.
        turn.done.set_running_or_notify_cancel()
        with self._lock:
            self._open.add(turn)
        return turn

    def reply(self, turn: Turn[Any], make: Callable[[], Any]) -> None:
        """End a request with what a call makes, or fails with."""
        try:
            value = make()
        except VlaRosError as error:
            self.fail(turn, error, "error")
            return
        if self._ends(turn, "ok"):
            turn.done.set_result(value)

    def fail(self, turn: Turn[Any], error: VlaRosError, outcome: Outcome) -> None:
        """End a request with an error."""
        if self._ends(turn, outcome):
            turn.done.set_exception(error)

    def refuse_all(self, error: VlaRosError) -> None:
        """End all requests that have not ended, those included that are being worked at."""
        with self._lock:
            rest = list(self._open)
        for turn in rest:
            self.fail(turn, error, "refused")

    def _ends(self, turn: Turn[Any], outcome: Outcome) -> bool:
        with self._lock:
            if turn not in self._open:
                return False
            self._open.remove(turn)
        self._watcher.answered(turn.client.protocol, outcome, self._now_s() - turn.since_s)
        return True
