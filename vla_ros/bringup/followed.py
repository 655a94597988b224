# SPDX-License-Identifier: Apache-2.0
"""Did the executor do what was recorded? Compares commands with a recording's actions, in time.

Action ``k`` of a recording is due when its row ``k`` was measured. Between two rows a command may
be anything between the two actions: the executor interpolates, and its ticks fall anywhere. Pure;
any thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How far a command may be from the recorded actions due around its moment [rad].
TOLERANCE_RAD = 1e-3


def recording_start_ns(
    stamp_ns: int,
    measured: NDArray[np.float64],
    row_s: NDArray[np.float64],
    rows: NDArray[np.float64],
) -> int:
    """When a recording was started, from one state that was published of it.

    Args:
        stamp_ns: The state's stamp.
        measured: (D,) The state.
        row_s: (K,) The recording's own times.
        rows: (K, D) The recorded states; the nearest one is taken.
    """
    row = int(np.argmin(np.abs(rows - measured).max(axis=1)))
    return stamp_ns - round(float(row_s[row]) * 1e9)


@dataclass(frozen=True, slots=True)
class Followed:
    """How well commands follow a recording.

    Attributes:
        ticks: Commands compared: those after the first chunk and within the recording.
        within: Of these, how many are right to within ``TOLERANCE_RAD`` plus interpolation.
        worst_rad: The greatest distance of any of them.
    """

    ticks: int
    within: int
    worst_rad: float

    @property
    def share(self) -> float:
        """The share of commands that are right; 0 of none."""
        return self.within / self.ticks if self.ticks else 0.0


def followed(
    command_s: NDArray[np.float64],
    commands: NDArray[np.float64],
    action_s: NDArray[np.float64],
    actions: NDArray[np.float64],
    *,
    tick_s: float,
) -> Followed:
    """Compare commands with the recorded actions due then.

    Args:
        command_s: (N,) When each command was seen.
        commands: (N, D) The commands [rad].
        action_s: (K,) When each recorded action is due, on the same clock.
        actions: (K, D) The recorded actions [rad], columns as the commands'.
        tick_s: How long before it was seen a command may have been computed.
    """
    begin = np.interp(command_s - tick_s, action_s, np.arange(len(action_s)))
    end = np.interp(command_s, action_s, np.arange(len(action_s)))
    inside = (command_s - tick_s >= action_s[0]) & (command_s <= action_s[-1])
    distance = np.zeros(len(commands))
    for k in np.flatnonzero(inside):
        due = actions[int(np.floor(begin[k])) : int(np.ceil(end[k])) + 1]
        low, high = due.min(axis=0), due.max(axis=0)
        beyond = np.maximum(np.maximum(low - commands[k], commands[k] - high), 0.0)
        distance[k] = beyond.max()
    distance = distance[inside]
    return Followed(
        ticks=len(distance),
        within=int(np.count_nonzero(distance <= TOLERANCE_RAD)),
        worst_rad=float(distance.max(initial=0.0)),
    )
