# SPDX-License-Identifier: Apache-2.0
"""When things happen in a simulated episode, and how long a policy seems to think. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True, slots=True)
class Timing:
    """How the loop is timed, in simulated time.

    Attributes:
        state_rate_hz: Joint states per second.
        camera_rate_hz: Images per second.
        latency_s: From an observation request to its chunk.
        latency_jitter_s: How far that varies to both sides, evenly.
        spike_share: The share of answers that take ``spike_s`` longer.
        spike_s: How much longer.
        lost_share: The share of answers that never come.
        max_duration_s: An episode that is not done by then is over.
    """

    state_rate_hz: float = 100.0
    camera_rate_hz: float = 30.0
    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    spike_share: float = 0.0
    spike_s: float = 2.0
    lost_share: float = 0.0
    max_duration_s: float = 20.0

    def draw_latency_s(self, chance: random.Random) -> float:
        """How long one answer takes; inf if it is lost."""
        late_s = self.latency_jitter_s * chance.uniform(-1.0, 1.0)
        spike_s = self.spike_s if chance.random() < self.spike_share else 0.0
        if chance.random() < self.lost_share:
            return inf
        return max(self.latency_s + late_s, 0.0) + spike_s


@dataclass(slots=True)
class Timer:
    """Says when something is due that happens at a rate.

    Attributes:
        rate_hz: The rate.
        count: How often it was due.
    """

    rate_hz: float
    count: int = 0

    def due(self, time_s: float) -> bool:
        """Whether it is due now; then it is not until the next time."""
        if time_s * self.rate_hz < self.count - 1e-6:
            return False
        self.count += 1
        return True
