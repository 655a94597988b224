# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns the backends, whichever protocols their clients speak.

Resets are done as they come, inferences in the batches of ``InferenceQueue``. Every future ends,
and fails with ``VlaRosError`` alone. ``start`` and ``end`` belong to the thread that runs the
server; everything else may be called by any.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from math import inf
from typing import Any, Literal, TypeVar

from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
from vla_ros.core.errors import BackendUnavailable, VlaRosError
from vla_ros.serving.asked import Client, Inference, Reset
from vla_ros.serving.inference_queue import InferenceQueue
from vla_ros.serving.policy_calls import call_policy, infer_all
from vla_ros.serving.policy_health import PolicyHealth, PolicyState
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.turns import NobodyWatches, Turn, Turns, Watcher

_LOG = logging.getLogger(__name__)
R = TypeVar("R")
State = PolicyState | Literal["ending"]
MAX_WAITING = 128
_ENDING = "the server is ending"
_PATIENCE_S = 0.5


class PolicyWorker:
    """Connects the backends, does what is asked of them, and closes them.

    Attributes:
        ended: Ends with the thread, and fails with what it failed with: a fault of this package.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        max_batch: int | None = None,
        batch_wait_s: float = 0.0,
        max_waiting: int = MAX_WAITING,
        delay_s: Callable[[], float] = lambda: 0.0,
        watcher: Watcher | None = None,
    ) -> None:
        """Nothing is connected before ``start``.

        Args:
            sessions: What the thread owns.
            max_batch: How many observations are inferred at once, if the backend can do so many;
                None: as many as it can.
            batch_wait_s: How long a free policy waits for others to ask, to infer them together.
            max_waiting: How many clients may wait.
            delay_s: How much later than it could an inference ends, asked for each one.
            watcher: Who is told what becomes of requests; None: nobody.
        """
        self._sessions = sessions
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._delay_s = delay_s
        self._watcher = watcher or NobodyWatches()
        self._turns = Turns(self._watcher)
        self._health = PolicyHealth()
        self._connected: Future[PolicyInfo] = Future()
        self.ended: Future[None] = Future()
        # Beside the condition, so that a delay can be cut short.
        self._ending = threading.Event()
        self._changed = threading.Condition()
        # Guarded by _changed.
        self._queue: InferenceQueue[Turn[Inference[Any]]] = InferenceQueue(
            max_waiting=max_waiting, batch_wait_s=batch_wait_s
        )
        self._resets: deque[Turn[Reset[Any]]] = deque()
        self._chores: deque[Callable[[], None]] = deque()
        self._drained: Future[None] | None = None
        # Of the thread alone: when it had answered the last batch.
        self._free_s = -inf
        self._thread = threading.Thread(target=self._guarded, name="policy", daemon=True)

    @property
    def state(self) -> State:
        """What the server can do now."""
        with self._changed:
            if self._drained is not None or self._ending.is_set():
                return "ending"
        return self._health.state

    @property
    def detail(self) -> str:
        """In words: what serves, or what fails."""
        return self._health.detail

    def start(self) -> Future[PolicyInfo]:
        """Connect the backend; then do what is asked.

        Returns:
            What the policy said of itself. It fails with VlaRosError where it cannot be connected.
        """
        self._thread.start()
        return self._connected

    def submit(self, asked: Inference[R] | Reset[R], client: Client) -> Future[R]:
        """Have something done with a client's backend.

        Args:
            asked: What. It takes the place of the client's own inference that still waits.
            client: Who asks.

        Returns:
            Its reply. It fails with BackendUnavailable where too much waits, something newer of the
            client's took its place, or the server ends before.
        """
        turn = self._turns.begin(asked, client)
        with self._changed:
            replaced, refusal = self._admit(turn)
            self._changed.notify()
        self._tell_load()
        # Whoever is told may ask again at once, so not under the lock.
        if replaced is not None:
            text = "something newer of the same client came before this observation's turn"
            self._turns.fail(replaced, BackendUnavailable(text), "replaced")
        if refusal is not None:
            self._turns.fail(turn, BackendUnavailable(refusal), "refused")
        return turn.done

    def forget(self, client: Client) -> None:
        """Note that a client is gone: what it asked is dropped, and its backend closed."""
        with self._changed:
            waited = self._queue.remove(client)
            if self._sessions.shared.per_client:
                self._chores.append(partial(self._sessions.forget, client))
                self._changed.notify()
        if waited is not None:
            self._turns.fail(waited, BackendUnavailable("the client is gone"), "refused")

    def replace(self, backend: PolicyBackend, info: PolicyInfo) -> None:
        """Have another backend of the same policy answer from the next inference on.

        Args:
            backend: It, connected; nobody else uses it any more.
            info: What it said of itself.
        """

        def chore() -> None:
            self._sessions.replace(backend)
            self._note_connected(info)

        with self._changed:
            self._chores.append(chore)
            self._changed.notify()

    def drain(self) -> Future[None]:
        """Refuse whatever comes from now on; the future ends when nothing waits or runs."""
        with self._changed:
            if self._drained is None:
                self._drained = Future()
            self._changed.notify()
            return self._drained

    def end(self) -> bool:
        """Refuse what has not ended, and close the backends.

        Returns:
            Whether they let go in time; else their thread still hangs in a call.
        """
        with self._changed:
            self._ending.set()
            waiting: list[Turn[Any]] = [*self._queue.clear(), *self._resets]
            self._resets.clear()
            self._changed.notify()
        for turn in waiting:
            self._turns.fail(turn, BackendUnavailable(_ENDING), "refused")
        if self._thread.ident is not None:
            self._thread.join(_PATIENCE_S)
        self._turns.refuse_all(BackendUnavailable(_ENDING))
        return not self._thread.is_alive()

    def _admit(self, turn: Turn[Any]) -> tuple[Turn[Any] | None, str | None]:
        """Lets a request wait; what of its client's it replaces, or why it may not wait."""
        asked, client = turn.asked, turn.client
        if self._drained is not None or self._ending.is_set():
            return None, _ENDING
        if isinstance(asked, Reset):
            if len(self._resets) >= self._max_waiting:
                return None, f"the server is overloaded: {self._max_waiting} resets are waiting"
            self._resets.append(turn)
            return self._queue.remove(client), None
        if self._queue.full_for(client):
            return None, f"the server is overloaded: {self._max_waiting} clients are waiting"
        return self._queue.add(turn, client, turn.since_s, runs_out_in_s=asked.runs_out_in_s), None

    def _guarded(self) -> None:
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - whoever runs the server raises it
            self.ended.set_exception(error)
        else:
            self.ended.set_result(None)
        self._turns.refuse_all(BackendUnavailable(_ENDING))

    def _run(self) -> None:
        try:
            info = call_policy(self._sessions.connect)
        except VlaRosError as error:
            self._health.refused(error)
            self._connected.set_exception(error)
        else:
            self._note_connected(info)
            _LOG.info("ready: %s", info.description)
            self._connected.set_result(info)
            while (work := self._next()) is not None:
                work()
        self._sessions.close()

    def _note_connected(self, info: PolicyInfo) -> None:
        able = info.max_batch if self._max_batch is None else min(info.max_batch, self._max_batch)
        with self._changed:
            self._queue.max_batch = able
        self._health.connected(info)

    def _next(self) -> Callable[[], None] | None:
        """What to do next, once there is something; None: nothing more."""
        with self._changed:
            while not self._ending.is_set():
                if self._chores:
                    return self._chores.popleft()
                if self._resets:
                    return partial(self._reset, self._resets.popleft())
                now_s = time.monotonic()
                begins_s = self._queue.begins_s(now_s, free_s=self._free_s)
                if begins_s is not None and begins_s <= now_s:
                    return partial(self._infer, self._queue.take())
                if begins_s is None and self._drained is not None and not self._drained.done():
                    self._drained.set_result(None)
                self._changed.wait(None if begins_s is None else begins_s - now_s)
            return None

    def _reset(self, turn: Turn[Reset[Any]]) -> None:
        def reset() -> Any:
            self._sessions.backend(turn.client).reset()
            return turn.asked.done()

        self._turns.reply(turn, partial(call_policy, reset))

    def _infer(self, turns: Sequence[Turn[Inference[Any]]]) -> None:
        items = {turn: item for turn in turns if (item := self._item(turn)) is not None}
        if not items:
            return
        begun_s = time.monotonic()
        answers = infer_all(self._sessions.shared, list(items.values()))
        self._watcher.batch(len(items), time.monotonic() - begun_s)
        self._health.inferred(answers)
        self._tell_load()
        self._ending.wait(self._delay_s())
        for turn, answer in zip(items, answers, strict=True):
            if isinstance(answer, VlaRosError):
                self._turns.fail(turn, answer, "error")
            else:
                self._turns.reply(turn, partial(call_policy, partial(turn.asked.answer, answer)))
        self._free_s = time.monotonic()

    def _item(self, turn: Turn[Inference[Any]]) -> BatchItem | None:
        """What is to be inferred for a request; None: it is refused."""
        asked = turn.asked
        try:
            if not asked.wanted():
                raise BackendUnavailable("the client is gone")
            backend = call_policy(partial(self._sessions.backend, turn.client))
        except VlaRosError as error:
            self._turns.fail(turn, error, "refused")
            return None
        return BatchItem(backend, asked.observation, asked.prefix)

    def _tell_load(self) -> None:
        with self._changed:
            waiting, at_work = len(self._queue), self._queue.at_work(time.monotonic())
        self._watcher.load(waiting=waiting, at_work=at_work)
