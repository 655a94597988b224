# SPDX-License-Identifier: Apache-2.0
"""Who waits for the policy, who is next, and who is inferred together with whom.

The robot that runs out of actions first is next. Of a client one observation waits, its newest,
which keeps the place of the one that it replaces: who asks often waits no longer for it. A batch
begins when it is full, or everybody who is at work has asked, but at the latest ``batch_wait_s``
after the first, or after the policy became free.

Pure; one thread, or an external lock. Times are seconds of any one clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from vla_ros.serving.asked import Client

T = TypeVar("T")
# Who does not say when its robot runs out of actions, counts as one that has so much left.
_UNTOLD_S = 0.5
# Nobody waits behind all that come later: after this time a client goes before whoever asks then.
_LATEST_S = 1.0
# Who asked within this time is at work, and is going to ask again.
_AT_WORK_S = 1.0


@dataclass(slots=True, eq=False)
class _Place(Generic[T]):
    item: T
    since_s: float
    due_s: float


class InferenceQueue(Generic[T]):
    """The newest observation of each client that waits.

    Attributes:
        max_batch: How many are taken at once at most.
    """

    def __init__(self, *, max_waiting: int, max_batch: int = 1, batch_wait_s: float = 0.0) -> None:
        """Nobody waits.

        Args:
            max_waiting: How many clients may wait; see ``full_for``.
            max_batch: How many are taken at once at most.
            batch_wait_s: How long a free policy waits for others to ask.
        """
        self.max_batch = max_batch
        self._max_waiting = max_waiting
        self._batch_wait_s = batch_wait_s
        self._places: dict[Client, _Place[T]] = {}
        # When each client asked last; who asked last stands last.
        self._asked_s: dict[Client, float] = {}

    def __len__(self) -> int:
        """How many clients wait."""
        return len(self._places)

    def full_for(self, client: Client) -> bool:
        """Whether there is no place left for a client that has none yet."""
        return len(self._places) >= self._max_waiting and client not in self._places

    def add(
        self, item: T, client: Client, now_s: float, *, runs_out_in_s: float | None = None
    ) -> T | None:
        """Have a client's observation wait.

        Args:
            item: It.
            client: Whose it is.
            now_s: Now.
            runs_out_in_s: For how long its robot has something to execute; None: not told.

        Returns:
            The client's older one, which it replaces; None: none waited.
        """
        self._asked_s.pop(client, None)
        self._asked_s[client] = now_s
        left_s = _UNTOLD_S if runs_out_in_s is None else min(max(runs_out_in_s, 0.0), _LATEST_S)
        older = self._places.get(client)
        if older is not None:
            due_s = min(older.due_s, now_s + left_s)
            self._places[client] = _Place(item, older.since_s, due_s)
            return older.item
        self._places[client] = _Place(item, now_s, now_s + left_s)
        return None

    def remove(self, client: Client) -> T | None:
        """A client's observation, which waits no longer; None: none did."""
        place = self._places.pop(client, None)
        return None if place is None else place.item

    def clear(self) -> list[T]:
        """All that waited and wait no longer."""
        items = [place.item for place in self._places.values()]
        self._places.clear()
        return items

    def begins_s(self, now_s: float, *, free_s: float = -inf) -> float | None:
        """When the next batch may begin, which may be past; None: nobody waits.

        Args:
            now_s: Now.
            free_s: Since when the policy is free. Whoever was answered then is about to ask again;
                without them, those who waited meanwhile would be a batch of their own, and two
                groups would take turns for ever.
        """
        if not self._places:
            return None
        if len(self._places) >= min(self.max_batch, self.at_work(now_s)):
            return now_s
        first_s = min(place.since_s for place in self._places.values())
        return max(first_s, free_s) + self._batch_wait_s

    def take(self) -> list[T]:
        """The next batch: who runs out of actions first, first."""
        ordered = sorted(self._places.items(), key=lambda entry: entry[1].due_s)
        batch = ordered[: self.max_batch]
        for client, _ in batch:
            del self._places[client]
        return [place.item for _, place in batch]

    def at_work(self, now_s: float) -> int:
        """How many clients are at work."""
        while self._asked_s:
            client = next(iter(self._asked_s))
            if now_s - self._asked_s[client] <= _AT_WORK_S:
                break
            del self._asked_s[client]
        return len(self._asked_s)
