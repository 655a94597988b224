# SPDX-License-Identifier: Apache-2.0
"""What a policy is shown: an observation and, if it looks back, the last ones, one step apart.

Such a policy takes the difference between neighbours for a speed, so that neighbours of another
distance would tell it a wrong one. Items are of any type. One thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Item = TypeVar("Item")


class History(Generic[Item]):
    """The last few items by stamp."""

    def __init__(self, count: int, step_ns: int) -> None:
        """Hold nothing yet.

        Args:
            count: How many items a policy is shown at once.
            step_ns: How far apart they are to be.
        """
        self._count = count
        self._step_ns = step_ns
        self._items: list[tuple[int, Item]] = []

    def window(self, stamp_ns: int, item: Item) -> list[Item]:
        """What to show with an item, which is kept: (count,) items, the oldest first.

        Each is what was seen a step before the next, give or take half a step. Where there was
        nothing, the next stands in its place: the world rests, as LeRobot begins too.
        """
        oldest_ns = stamp_ns - self._count * self._step_ns
        kept = [entry for entry in self._items if oldest_ns < entry[0] < stamp_ns]
        self._items = [*kept, (stamp_ns, item)]
        shown = [item]
        for back in range(1, self._count):
            wanted_ns = stamp_ns - back * self._step_ns
            apart_ns, found = min(
                ((abs(at_ns - wanted_ns), found) for at_ns, found in self._items),
                key=lambda entry: entry[0],
            )
            shown.append(found if 2 * apart_ns <= self._step_ns else shown[-1])
        return shown[::-1]

    def clear(self) -> None:
        """Forget everything: an episode begins."""
        self._items = []


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What one robot shows a policy.

    Attributes:
        stamp_ns: The moment of the observation.
        images: Camera to (H, W, 3) uint8 RGB.
        state: (S,) float32 in the checkpoint's units; empty for a policy that has none.
        task: The instruction.
        history: What the same robot showed before.
    """

    stamp_ns: int
    images: Mapping[str, NDArray[np.uint8]]
    state: NDArray[np.float32]
    task: str
    history: History[dict[str, Any]]
