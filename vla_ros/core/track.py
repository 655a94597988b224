# SPDX-License-Identifier: Apache-2.0
"""Actions on a time grid as a function of time.

Continuous interfaces are interpolated, linearly or by cubics with continuous velocity (Catmull and
Rom: the slope at an action is that between its neighbours); switched ones keep the earlier action.
Before the first action that one is due, and the last one is held for a step of its own. Immutable;
any thread may read it. Moments are integer nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Interpolation = Literal["cubic", "linear"]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A plan.

    >>> track = Track(0, 100, np.array([[0.0], [1.0], [2.0]]), np.array([False]), "linear")
    >>> track.at(150), track.at(250), track.at(300)
    (array([1.5]), array([2.]), None)

    Attributes:
        stamp_ns: When the first action is due.
        step_ns: Time from one action to the next.
        actions: (H, D) What is due then.
        switched: (D,) Which interfaces are never interpolated.
        interpolation: What is due between two actions.
    """

    stamp_ns: int
    step_ns: int
    actions: NDArray[np.float64]
    switched: NDArray[np.bool_]
    interpolation: Interpolation
    _slopes: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Work out the slopes once."""
        object.__setattr__(self, "_slopes", _slopes(self.actions))

    @property
    def end_ns(self) -> int:
        """When the last action has been held for one step."""
        return self.stamp_ns + len(self.actions) * self.step_ns

    def at(self, now_ns: int) -> NDArray[np.float64] | None:
        """(D,) What is due at a moment; None after the end."""
        if now_ns >= self.end_ns:
            return None
        index, rest_ns = divmod(max(now_ns - self.stamp_ns, 0), self.step_ns)
        return self._between(index, min(index + 1, len(self.actions) - 1), rest_ns / self.step_ns)

    def velocity(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) How fast what is due changes from now on [1/s]; zero before and after it.

        Zero too where an interface is switched.
        """
        if not self.stamp_ns <= now_ns < self.end_ns:
            return np.zeros(self.actions.shape[1])
        index, rest_ns = divmod(now_ns - self.stamp_ns, self.step_ns)
        after, x = min(index + 1, len(self.actions) - 1), rest_ns / self.step_ns
        slope = self.actions[after] - self.actions[index]
        if self.interpolation == "cubic":
            bent = (1.0 - x) * (1.0 - 3.0 * x) * self._slopes[index]
            bent += x * (3.0 * x - 2.0) * self._slopes[after]
            slope = bent + 6.0 * x * (1.0 - x) * slope
        velocity: NDArray[np.float64] = slope / (self.step_ns * 1e-9)
        return np.where(self.switched, 0.0, velocity)

    def resampled(self, stamp_ns: int, step_ns: int, count: int) -> NDArray[np.float64]:
        """(count, D) What is due on another grid; NaN where nothing is, before or after."""
        since_ns = stamp_ns - self.stamp_ns + step_ns * np.arange(count)
        within = (since_ns >= 0) & (since_ns < self.end_ns - self.stamp_ns)
        index, rest_ns = np.divmod(since_ns[within], self.step_ns)
        after = np.minimum(index + 1, len(self.actions) - 1)
        sampled = np.full((count, self.actions.shape[1]), np.nan)
        sampled[within] = self._between(index, after, rest_ns[:, None] / self.step_ns)
        return sampled

    def _between(self, index: Any, after: Any, x: Any) -> NDArray[np.float64]:
        """(..., D) What is due a share ``x`` of a step after actions; one index or many."""
        here = self.actions[index]
        rise = self.actions[after] - here
        value: NDArray[np.float64] = here + x * rise
        if self.interpolation == "cubic":
            # The cubic of Hermite: the line, and what the slopes at both ends differ from it.
            start, end = self._slopes[index] - rise, self._slopes[after] - rise
            value = value + x * (1.0 - x) * ((1.0 - x) * start - x * end)
        return np.where(self.switched, here, value)


def _slopes(actions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, D) The slope at each action [1/step]; none at the last, where the track comes to rest."""
    slopes = np.zeros_like(actions)
    slopes[1:-1] = 0.5 * (actions[2:] - actions[:-2])
    if len(actions) > 1:
        slopes[0] = actions[1] - actions[0]
    return slopes
