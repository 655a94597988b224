# SPDX-License-Identifier: Apache-2.0
"""One of several processes that answer for the same policies: what it asks of their backends.

``PolicyThread`` is made and asked by any thread, and owns the one in which all else here is called.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from vla_ros.backends.base import BatchItem, PolicyBackend
from vla_ros.core.errors import VlaRosError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving.asked import Client
from vla_ros.serving.policy_calls import Answer, call_policy, infer_all
from vla_ros.serving.sessions import Sessions

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """An observation on its way to a replica. It can be pickled; its images are not copied then.

    Attributes:
        client: Whose it is.
        observation: What the robot sees.
        prefix: Actions that are committed already.
    """

    client: Client
    observation: Observation
    prefix: Prefix | None = None


class PolicyThread:
    """The one thread of a process that touches backends."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing runs yet.

        Args:
            now_s: The clock that tells for how long a call has been running.
        """
        self._now_s = now_s
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._since_s: float | None = None

    @property
    def busy_s(self) -> float:
        """For how long the call that runs now has been running; 0: none runs."""
        since_s = self._since_s
        return 0.0 if since_s is None else self._now_s() - since_s

    async def run(self, call: Callable[[], T]) -> T:
        """What a call gives or raises, once those before it are done."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._timed, call)

    def run_later(self, call: Callable[[], object]) -> None:
        """Have something called once those before it are done; nobody waits for it."""
        # The process is about to end, where the executor takes nothing more.
        with contextlib.suppress(RuntimeError):
            self._executor.submit(call)

    def _timed(self, call: Callable[[], T]) -> T:
        self._since_s = self._now_s()
        try:
            return call()
        finally:
            self._since_s = None


class LoadedPolicy:
    """A policy that a replica holds.

    Attributes:
        description: What it said of itself, for people.
    """

    def __init__(self, backend: PolicyBackend, thread: PolicyThread) -> None:
        """Connect it.

        Args:
            backend: It, not connected yet.
            thread: Whose thread this is, and whose closes the policy at last.

        Raises:
            VlaRosError: It cannot be connected.
        """
        self._thread = thread
        self._sessions = Sessions(backend)
        info = call_policy(self._sessions.connect)
        self.description = info.description
        self._max_batch = info.max_batch

    def __del__(self) -> None:
        """Let go of it. Ray calls this where another policy needs the room. Any thread."""
        self._thread.run_later(self._sessions.close)

    def infer(self, questions: Sequence[Question]) -> list[Answer]:
        """A chunk for each question, or why there is none."""
        answers: dict[int, Answer] = {}
        items: dict[int, BatchItem] = {}
        for index, asked in enumerate(questions):
            try:
                backend = call_policy(partial(self._sessions.backend, asked.client))
            except VlaRosError as error:
                answers[index] = error
            else:
                items[index] = BatchItem(backend, asked.observation, asked.prefix)
        for start in range(0, len(items), self._max_batch):
            indices = list(items)[start : start + self._max_batch]
            batch = [items[index] for index in indices]
            answers.update(zip(indices, infer_all(self._sessions.shared, batch), strict=True))
        return [answers[index] for index in range(len(questions))]

    def reset(self, client: Client) -> None:
        """Make a client's backend forget the episode.

        Raises:
            VlaRosError: It cannot.
        """
        call_policy(lambda: self._sessions.backend(client).reset())

    def forget(self, client: Client) -> None:
        """Close the backend of a client that is gone, where it had one of its own."""
        self._sessions.forget(client)
