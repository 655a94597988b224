# SPDX-License-Identifier: Apache-2.0
"""A policy that takes as long as it is told, as a model on a device of its own does: it sleeps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param


@dataclass(frozen=True, slots=True)
class SleepModelConfig:
    """What an inference costs: ``fixed_ms`` and, for each observation, ``each_ms``."""

    fixed_ms: float = param(20.0, "Cost of any inference [ms].", ge=0.0)
    each_ms: float = param(1.0, "What each observation adds [ms].", ge=0.0)
    max_batch: int = param(16, "Observations inferred at once at most.", ge=1)


class Backend(PolicyBackend):
    """Holds still, after a while."""

    Config = SleepModelConfig

    def connect(self) -> PolicyInfo:
        """Do nothing."""
        return PolicyInfo("sleeps", max_batch=self.config.max_batch)

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """Where the robot is."""
        return self.infer_batch([BatchItem(self, observation, prefix)])[0]

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        """Where the robots are."""
        sent_ns = self.now_ns()
        time.sleep((self.config.fixed_ms + self.config.each_ms * len(items)) / 1000)
        received_ns = self.now_ns()
        return [
            self.chunk(
                item.observation,
                np.tile(
                    item.observation.select(self.policy.action_names), (self.policy.horizon, 1)
                ),
                sent_ns=sent_ns,
                received_ns=received_ns,
            )
            for item in items
        ]

    def reset(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""
