# SPDX-License-Identifier: Apache-2.0
"""Which part of an episode a picture shows. Immutable; any thread may read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.episode_log import EpisodeLog

# Lines are drawn a little beyond both edges, so that none ends inside.
_BEYOND_S = 0.1


@dataclass(frozen=True, slots=True)
class View:
    """A part of an episode; its time counts from the episode's beginning.

    Attributes:
        origin_ns: When the episode began.
        begin_s: The left edge.
        end_s: The right edge.
    """

    origin_ns: int
    begin_s: float
    end_s: float

    @classmethod
    def of(cls, log: EpisodeLog) -> View:
        """The whole of an episode."""
        told = ("command", "queue", "chunk", "request")
        stamps = np.concatenate([log.stamps(series) for series in told])
        first_ns = int(stamps.min()) if stamps.size else 0
        last_ns = int(stamps.max()) if stamps.size else first_ns
        origin_ns = int(log.facts.get("begun_ns", first_ns))
        length_s = float(log.facts.get("duration_s", (last_ns - origin_ns) * 1e-9))
        return cls(origin_ns, 0.0, max(length_s, 0.1))

    def around(self, middle_s: float, width_s: float) -> View:
        """A part of this, so wide, with a moment in its middle where that is possible."""
        begin_s = max(min(middle_s - 0.5 * width_s, self.end_s - width_s), self.begin_s)
        return replace(self, begin_s=begin_s, end_s=min(begin_s + width_s, self.end_s))

    @property
    def width_s(self) -> float:
        """From edge to edge."""
        return self.end_s - self.begin_s

    def seconds(self, stamps_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """(N,) Stamps as time of the episode."""
        seconds: NDArray[np.float64] = (stamps_ns - self.origin_ns).astype(np.float64) * 1e-9
        return seconds

    def shows(self, begin_s: Any, end_s: Any) -> Any:
        """Whether what lasts from one moment to another can be seen; numbers or arrays."""
        return (end_s >= self.begin_s - _BEYOND_S) & (begin_s <= self.end_s + _BEYOND_S)

    def samples(
        self, log: EpisodeLog, series: str
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N,) The time and (N, D) the values of a series, as far as it can be seen."""
        seconds, values = self.seconds(log.stamps(series)), log.values(series)
        seen = self.shows(seconds, seconds)
        return seconds[seen], values[seen]
