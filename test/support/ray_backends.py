# SPDX-License-Identifier: Apache-2.0
"""Policies that tell how Ray treats them; made in its processes, which import them from here."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from test.core.helpers import policy, robot
from vla_ros.backends.base import BatchItem, PolicyBackend, PolicyInfo
from vla_ros.backends.hold import HoldConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving.ray.options import PolicyChoice

NAMES = policy().action_names
PATIENCE_S = 30.0


class Telling(PolicyBackend):
    """Its actions are numbers about itself, in the policy's first column."""

    Config = HoldConfig

    def __init__(self, config: Any = None, **facts: Any) -> None:
        super().__init__(config, **{"robot": robot(), "policy": policy(), **facts})
        self.count = 0

    def connect(self) -> PolicyInfo:
        return PolicyInfo(f"telling, in process {os.getpid()}")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        if observation.instruction == "fail":
            raise RemotePolicyError("it does not want to")
        if observation.instruction == "hang":
            threading.Event().wait(PATIENCE_S)
        self.count += 1
        [image] = observation.images.values()
        return self.told(observation, self.count, os.getpid(), image.flags.writeable)

    def told(self, observation: Observation, *numbers: float) -> ActionChunk:
        actions = np.zeros((len(numbers), len(NAMES)))
        actions[:, 0] = numbers
        return self.chunk(observation, actions, sent_ns=0, received_ns=0)

    def reset(self) -> None:
        self.count = 0

    def close(self) -> None:
        pass


class Remembering(Telling):
    """Each client has one of its own."""

    per_client: ClassVar[bool] = True


class Batching(Telling):
    """Tells with how many others an observation was inferred."""

    def connect(self) -> PolicyInfo:
        return PolicyInfo("batching", max_batch=4)

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        time.sleep(0.1)
        return self.told(observation, 1, os.getpid())

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        time.sleep(0.1)
        return [self.told(item.observation, len(items), os.getpid()) for item in items]


class Missing(Telling):
    """Cannot be connected."""

    def connect(self) -> PolicyInfo:
        raise BackendUnavailable("the model is not there")


_KINDS = {kind.__name__: kind for kind in (Telling, Remembering, Batching, Missing)}


@dataclass(frozen=True, slots=True)
class TellingChoice(PolicyChoice):
    """One of these policies, by the name of its class."""

    def make(self) -> PolicyBackend:
        return _KINDS[self.policy]()


def choice(kind: type[Telling]) -> TellingChoice:
    """Choose one."""
    return TellingChoice("two_joint", kind.__name__)
