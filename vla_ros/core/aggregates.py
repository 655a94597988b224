# SPDX-License-Identifier: Apache-2.0
"""What becomes of old and new actions that are due at the same moment.

Every aggregate makes one plan, on the new chunk's grid, from the new chunk and what was planned
before it; moments are compared, never counted. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.track import Track

AggregateFn = Literal[
    "offset_decay",
    "latest_only",
    "weighted_average",
    "average",
    "conservative",
    "temporal_ensemble",
    "crossfade",
]
AGGREGATE_FNS: tuple[AggregateFn, ...] = get_args(AggregateFn)

# The new chunk's share where old and new overlap (LeRobot, async_inference/configs.py).
NEW_SHARE: dict[AggregateFn, float] = {
    "weighted_average": 0.7,
    "average": 0.5,
    "conservative": 0.3,
}
# How much less each step of age counts, the oldest most (ACT, imitate_episodes.py: exp(-0.01 i)).
# There i counts queries, of which it makes one a step; an age in steps is the same and does not
# depend on how often the policy is asked.
_ENSEMBLE_RATE = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Before:
    """What was there before a new chunk.

    Attributes:
        plan: What was going to be executed; None: nothing.
        chunks: The chunks that are not over, oldest first.
        now_ns: What is due before this is past.
        blend_ns: How long a crossfade takes.
    """

    plan: Track | None
    chunks: Sequence[ActionChunk]
    now_ns: int
    blend_ns: int


def aggregated(
    functions: Sequence[AggregateFn], before: Before, new: ActionChunk
) -> NDArray[np.float64]:
    """(H, D) The plan on the new chunk's grid.

    Args:
        functions: (D,) The aggregate of each of the chunk's interfaces.
        before: What was there before.
        new: The new chunk.
    """
    actions = new.actions.copy()
    for function in set(functions):
        columns = np.array([name == function for name in functions])
        if function in NEW_SHARE:
            made = _mixed(before, new, np.full(new.horizon, NEW_SHARE[function]))
        elif function == "crossfade":
            made = _mixed(before, new, _rising(before, new))
        elif function == "temporal_ensemble":
            made = _ensemble(before, new)
        else:
            continue
        actions[:, columns] = made[:, columns]
    return actions


def _mixed(before: Before, new: ActionChunk, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """The new chunk's share where the old plan has an action due, the whole chunk elsewhere."""
    if before.plan is None:
        return new.actions
    old = before.plan.resampled(new.stamp_ns, new.step_ns, new.horizon)
    mixed = (1.0 - share[:, None]) * old + share[:, None] * new.actions
    return np.where(np.isnan(old), new.actions, mixed)


def _rising(before: Before, new: ActionChunk) -> NDArray[np.float64]:
    """(H,) The new chunk's share in a crossfade: none now, all of it once it is over."""
    moments = new.stamp_ns + np.arange(new.horizon) * new.step_ns
    u = np.clip((moments - before.now_ns) / before.blend_ns, 0.0, 1.0)
    share: NDArray[np.float64] = u * u * (3.0 - 2.0 * u)
    return share


def _ensemble(before: Before, new: ActionChunk) -> NDArray[np.float64]:
    """The mean of all chunks that predict a moment, the oldest with the greatest weight."""
    chunks = (*before.chunks, new)
    total = np.zeros_like(new.actions)
    weights = np.zeros((new.horizon, 1))
    never_switched = np.zeros(len(new.names), dtype=bool)
    for chunk in chunks:
        age_steps = (chunk.stamp_ns - chunks[0].stamp_ns) / new.step_ns
        weight = np.exp(-_ENSEMBLE_RATE * age_steps)
        track = Track(chunk.stamp_ns, chunk.step_ns, chunk.actions, never_switched, "linear")
        said = track.resampled(new.stamp_ns, new.step_ns, new.horizon)
        predicts = ~np.isnan(said[:, :1])
        total += np.where(predicts, weight * said, 0.0)
        weights += np.where(predicts, weight, 0.0)
    mean: NDArray[np.float64] = total / weights
    return mean
