# SPDX-License-Identifier: Apache-2.0
"""Actions in time: what is due now, and how much is left.

Time is the index. An action is due at its own moment, so one that comes too late is dropped because
its moment has passed, not because something counted. Between two moments, continuous interfaces are
interpolated linearly and switched ones keep the earlier action. A new chunk replaces the old one
from now on, tail included: what an older observation planned beyond the new chunk's end is cut.

One thread, or an external lock. Stamps are integer nanoseconds.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError


class ChunkQueue:
    """The actions that are going to be executed.

    >>> queue = ChunkQueue(switched=np.array([False]))
    >>> chunk = ActionChunk(0, 100, ("j/position",), np.array([[0.0], [1.0], [2.0]]))
    >>> queue.offer(chunk, now_ns=0, new_share=1.0)
    >>> queue.sample(150), queue.remaining_steps(150), queue.sample(300)
    (array([1.5]), 1.5, None)
    """

    def __init__(self, switched: NDArray[np.bool_]) -> None:
        """Make an empty queue.

        Args:
            switched: (D,) Which interfaces are switched and never mixed or interpolated.
        """
        self._switched = switched
        self._plan: ActionChunk | None = None

    def clear(self) -> None:
        """Drop everything."""
        self._plan = None

    def offer(self, chunk: ActionChunk, *, now_ns: int, new_share: float) -> None:
        """Join a chunk to what is queued.

        Args:
            chunk: Its columns are this queue's interfaces, in order.
            now_ns: What is due before this is past and never changed.
            new_share: The new chunk's share (0, 1] where it overlaps with what is queued.

        Raises:
            ActionError: The chunk is over already, begins in the future, or comes of an older
                observation than what is queued. It is dropped whole.
        """
        if chunk.end_ns <= now_ns:
            late_s = (now_ns - chunk.end_ns) * 1e-9
            raise ActionError(f"the chunk was over {late_s:.3f} s before it came")
        if chunk.stamp_ns > now_ns + chunk.step_ns:
            early_s = (chunk.stamp_ns - now_ns) * 1e-9
            raise ActionError(f"the chunk's observation is {early_s:.3f} s in the future")
        old = self._plan
        if old is not None and chunk.stamp_ns < old.stamp_ns:
            raise ActionError("the chunk comes of an older observation than what is queued")
        if old is None or new_share >= 1.0:
            self._plan = chunk
            return
        self._plan = self._mixed(old, chunk, new_share)

    def _mixed(self, old: ActionChunk, new: ActionChunk, share: float) -> ActionChunk:
        """The new chunk, mixed with the old one wherever the old one has an action due."""
        actions = new.actions.copy()
        for i in range(new.horizon):
            planned = self._at(old, new.stamp_ns + i * new.step_ns)
            if planned is not None:
                mixed = (1.0 - share) * planned + share * actions[i]
                actions[i] = np.where(self._switched, actions[i], mixed)
        return dataclasses.replace(new, actions=actions)

    def sample(self, now_ns: int) -> NDArray[np.float64] | None:
        """(D,) What is due at a moment; None if nothing is."""
        return None if self._plan is None else self._at(self._plan, now_ns)

    def velocity(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) How fast what is due changes from now on [1/s].

        Zero where an interface is switched, after the last action, and if nothing is due.
        """
        plan = self._plan
        if plan is None or now_ns >= plan.end_ns:
            return np.zeros(len(self._switched))
        index = max(now_ns - plan.stamp_ns, 0) // plan.step_ns
        after = min(index + 1, plan.horizon - 1)
        rate = (plan.actions[after] - plan.actions[index]) / (plan.step_ns * 1e-9)
        return np.where(self._switched, 0.0, rate)

    def remaining_steps(self, now_ns: int) -> float:
        """How many steps are left, in the queued chunk's own steps; never negative."""
        if self._plan is None:
            return 0.0
        return max(self._plan.end_ns - now_ns, 0) / self._plan.step_ns

    def remaining_s(self, now_ns: int) -> float:
        """How long what is queued lasts; never negative."""
        return 0.0 if self._plan is None else max(self._plan.end_ns - now_ns, 0) * 1e-9

    def _at(self, plan: ActionChunk, now_ns: int) -> NDArray[np.float64] | None:
        """(D,) A plan's action at a moment; its first one before it begins, None after its end."""
        if now_ns >= plan.end_ns:
            return None
        index, rest_ns = divmod(max(now_ns - plan.stamp_ns, 0), plan.step_ns)
        here = plan.actions[index]
        after = plan.actions[min(index + 1, plan.horizon - 1)]
        weight = rest_ns / plan.step_ns
        between: NDArray[np.float64] = (1.0 - weight) * here + weight * after
        return np.where(self._switched, here, between)
