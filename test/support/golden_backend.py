# SPDX-License-Identifier: Apache-2.0
"""The policy behind the golden GR00T messages, as a backend."""

from __future__ import annotations

from typing import Any

import msgpack

from test.support.gr00t_samples import moves, policy, robot
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.backends.hold import HoldConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.observation import Observation, Prefix


class GoldenBackend(PolicyBackend):
    """Answers with the golden actions, and keeps what it was shown."""

    Config = HoldConfig

    def __init__(self, **facts: Any) -> None:
        super().__init__(HoldConfig(), **{"robot": robot(), "policy": policy(), **facts})
        self.seen: list[Observation] = []
        self.prefixes: list[Prefix | None] = []
        self.resets = 0
        self.actions = moves().astype(float)
        self.error: Exception | None = None

    def connect(self) -> PolicyInfo:
        return PolicyInfo("golden")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        if self.error is not None:
            raise self.error
        self.seen.append(observation)
        self.prefixes.append(prefix)
        return self.chunk(observation, self.actions, sent_ns=1, received_ns=2)

    def reset(self) -> None:
        if self.error is not None:
            raise self.error
        self.resets += 1

    def close(self) -> None:
        pass


class OwnBackend(GoldenBackend):
    """One of which each client gets one; they all know of each other."""

    per_client = True

    def __init__(self, family: list[OwnBackend] | None = None, **facts: Any) -> None:
        super().__init__(**facts)
        self.family = [] if family is None else family
        self.family.append(self)
        self.connects = self.closes = 0
        self.fails = False

    def connect(self) -> PolicyInfo:
        self.connects += 1
        if self.family[0].fails:
            raise BackendUnavailable("the model is not there")
        return super().connect()

    def close(self) -> None:
        self.closes += 1

    def another(self) -> OwnBackend:
        return OwnBackend(self.family, policy=self.policy)


def error_of(reply: bytes) -> str:
    """The text of a reply that is an error and nothing else."""
    value = msgpack.unpackb(reply)
    assert {*value} - {"unavailable"} == {"error"}
    text: str = value["error"]
    return text
