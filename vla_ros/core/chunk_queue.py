# SPDX-License-Identifier: Apache-2.0
"""Actions in time: what is due now, and how much is left.

Time is the index. An action is due at its own moment, so one that comes too late is dropped because
its moment has passed, not because something counted. A new chunk replaces the plan from now on,
tail included: what an older observation planned beyond the new chunk's end is cut.

One thread, or an external lock. Stamps are integer nanoseconds of the plan's clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.aggregates import AggregateFn, Before, aggregated
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.smoothing import smoothed
from vla_ros.core.track import Interpolation, Track

# So many actions beyond those used are looked at.
_AHEAD = 32
# More chunks than can predict one moment, if one came every step.
_KEPT = 128


@dataclass(frozen=True, slots=True)
class Joining:
    """How chunks become a plan.

    Attributes:
        functions: (D,) The aggregate of each interface.
        blend_ns: How long a crossfade takes.
        smoothing_steps: What ``offset_decay`` smooths a chunk with.
        interpolation: What is due between two actions.
        actions_per_chunk: How many actions of a chunk are used.
    """

    functions: tuple[AggregateFn, ...]
    blend_ns: int
    smoothing_steps: float
    interpolation: Interpolation
    actions_per_chunk: int


class ChunkQueue:
    """The actions that are going to be executed.

    Attributes:
        joining: How the next chunk is joined; may be changed at any time.
    """

    def __init__(self, switched: NDArray[np.bool_], joining: Joining) -> None:
        """Make an empty queue.

        Args:
            switched: (D,) Which interfaces are switched and never mixed or interpolated.
            joining: How chunks are joined.
        """
        self.joining = joining
        self._switched = switched
        self._plan: Track | None = None
        self._chunks: list[ActionChunk] = []

    @property
    def plan(self) -> Track | None:
        """What is queued; None: nothing was since the last ``clear``."""
        return self._plan

    def clear(self) -> None:
        """Drop everything."""
        self._plan = None
        self._chunks.clear()

    def offer(self, chunk: ActionChunk, *, now_ns: int) -> None:
        """Join a chunk to what is queued.

        Args:
            chunk: Its columns are this queue's interfaces, in order.
            now_ns: What is due before this is past and never changed.

        Raises:
            ChunkRefused: The chunk is over already.
        """
        used = chunk.first(self.joining.actions_per_chunk)
        if used.end_ns <= now_ns:
            late_s = (now_ns - used.end_ns) * 1e-9
            raise ChunkRefused("late", f"the chunk was over {late_s:.3f} s before it came")
        self._chunks = [kept for kept in self._chunks if kept.end_ns > now_ns][-_KEPT:]
        before = Before(self._plan, self._chunks, now_ns, self.joining.blend_ns)
        # More than is used is smoothed, so that the last action knows what would come after it.
        seen = chunk.first(self.joining.actions_per_chunk + _AHEAD)
        seen = dataclasses.replace(seen, actions=self._smoothed(seen.actions))
        actions = aggregated(self._functions(), before, seen.first(used.horizon))
        self._chunks.append(used)
        self._plan = Track(
            chunk.stamp_ns, chunk.step_ns, actions, self._switched, self.joining.interpolation
        )

    def _functions(self) -> Sequence[AggregateFn]:
        """(D,) The aggregate of each interface; a switched one takes the new chunk's value."""
        return [
            "latest_only" if switched else function
            for function, switched in zip(self.joining.functions, self._switched, strict=True)
        ]

    def _smoothed(self, actions: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = np.array([function == "offset_decay" for function in self._functions()])
        return np.where(columns, smoothed(actions, self.joining.smoothing_steps), actions)

    def sample(self, now_ns: int) -> NDArray[np.float64] | None:
        """(D,) What is due at a moment; None if nothing is."""
        return None if self._plan is None else self._plan.at(now_ns)

    def velocity(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) How fast what is due changes from now on [1/s]; zero if nothing is due."""
        if self._plan is None:
            return np.zeros(len(self._switched))
        return self._plan.velocity(now_ns)

    def remaining_steps(self, now_ns: int) -> float:
        """How many steps are left, in the queued chunk's own steps; never negative."""
        if self._plan is None:
            return 0.0
        return max(self._plan.end_ns - now_ns, 0) / self._plan.step_ns
