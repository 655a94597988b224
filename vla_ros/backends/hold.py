# SPDX-License-Identifier: Apache-2.0
"""A policy that stays where it is: every action is the present pose. For tests of everything else.

One thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Observation, Prefix


@dataclass(frozen=True, slots=True)
class HoldConfig:
    """It has no parameters."""


class Backend(PolicyBackend):
    """Answers each observation with its own state, for the whole horizon."""

    Config = HoldConfig

    def connect(self) -> PolicyInfo:
        """Nothing to connect to."""
        return PolicyInfo(description="hold: returns the present pose")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The present pose, for each step of the horizon.

        Raises:
            ConfigError: An interface that is commanded is not in the observation.
        """
        now_ns = self.now_ns()
        pose = observation.select(self.policy.action_names)
        return self.chunk(
            observation,
            np.tile(pose, (self.policy.horizon, 1)),
            sent_ns=now_ns,
            received_ns=self.now_ns(),
        )

    def reset(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to let go of."""
