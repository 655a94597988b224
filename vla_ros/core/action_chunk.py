# SPDX-License-Identifier: Apache-2.0
"""What a policy answers: a chunk of actions on a time grid.

Action ``i`` is due at ``stamp_ns + i * step_ns``, where the stamp is the *observation's*. A chunk
that exists is well-formed: building a bad one raises. Immutable; any thread may read it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ActionError


@dataclass(frozen=True, slots=True)
class ChunkTiming:
    """When a chunk's request travelled. ROS-clock nanoseconds; 0 where unknown.

    Attributes:
        requested_ns: The executor asked for the observation.
        sent_ns: The encoded request left for the policy server (or the model was called).
        received_ns: The answer was in.
        inference_ns: How long the policy itself took, where its server told; not a moment.
    """

    requested_ns: int = 0
    sent_ns: int = 0
    received_ns: int = 0
    inference_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class ActionChunk:
    """Actions from one observation.

    >>> import numpy as np
    >>> chunk = ActionChunk(0, 100, ("j/position",), np.zeros((4, 1)))
    >>> chunk.horizon, chunk.end_ns
    (4, 400)

    Attributes:
        stamp_ns: The observation's stamp: when action 0 is due.
        step_ns: Time from one action to the next.
        names: (D,) Commanded interfaces, each of them once, in the columns' order.
        actions: (H, D) float64 [rad, m].
        request_id: The request that this answers.
        epoch: The epoch of that request.
        timing: When the request travelled.
    """

    stamp_ns: int
    step_ns: int
    names: tuple[str, ...]
    actions: NDArray[np.float64]
    request_id: int = 0
    epoch: int = 0
    timing: ChunkTiming = ChunkTiming()

    def __post_init__(self) -> None:
        """Refuse what must not be executed.

        Raises:
            ActionError: Wrong type or shape, no action, no name or one twice, a step that is not
                positive, NaN or inf.
        """
        if not self.names or len(set(self.names)) != len(self.names):
            found = ", ".join(self.names) or "none"
            raise ActionError(f"names must be distinct and at least one, found {found}")
        try:
            actions = np.array(self.actions, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ActionError(f"actions must be an array of numbers: {error}") from error
        if actions.ndim != 2 or actions.shape[0] == 0 or actions.shape[1] != len(self.names):
            raise ActionError(
                f"actions have shape {actions.shape}, expected (H >= 1, {len(self.names)})"
                f" for {', '.join(self.names)}"
            )
        if self.step_ns <= 0:
            raise ActionError(f"step must be positive, found {self.step_ns} ns")
        bad = ~np.isfinite(actions)
        if bad.any():
            row, column = (int(index) for index in np.argwhere(bad)[0])
            raise ActionError(
                f"action {row} of {self.names[column]} is {actions[row, column]};"
                " every action must be finite"
            )
        actions.flags.writeable = False
        object.__setattr__(self, "actions", actions)

    @property
    def horizon(self) -> int:
        """H, the number of actions."""
        return int(self.actions.shape[0])

    @property
    def end_ns(self) -> int:
        """When the last action has been held for one step."""
        return self.stamp_ns + self.horizon * self.step_ns

    def first(self, count: int) -> ActionChunk:
        """The chunk's first ``count`` actions, or the chunk itself if it has no more."""
        if count >= self.horizon:
            return self
        return dataclasses.replace(self, actions=self.actions[:count])

    def moved_to(self, stamp_ns: int, actions: NDArray[np.float64]) -> ActionChunk:
        """The same chunk with (H, D) other actions, due at another time."""
        return dataclasses.replace(self, stamp_ns=stamp_ns, actions=actions)
