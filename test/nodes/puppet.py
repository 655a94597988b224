# SPDX-License-Identifier: Apache-2.0
"""A backend that does what a test tells it to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param


@dataclass(frozen=True, slots=True)
class PuppetConfig:
    """What the puppet can be told at its making."""

    host: str = param("here", "Where the policy is.")
    timeout_s: float = param(1.0, "How long to wait [s].", ge=0.1)


class Strings:
    """What the test holds in its hands; outlives the backends that hang on it.

    Attributes:
        calls: What was called, in order.
        connect_errors: Raised by ``connect``, one after the other.
        infer_errors: Raised by ``infer``, one after the other.
        reset_errors: Raised by ``reset``, one after the other.
        gate: ``infer`` waits until this is set.
        prefixes: What ``infer`` was given.
        threads: Who called.
        in_use: Which of several servers is asked.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.connect_errors: list[Exception] = []
        self.infer_errors: list[Exception] = []
        self.reset_errors: list[Exception] = []
        self.gate = threading.Event()
        self.gate.set()
        self.prefixes: list[Prefix | None] = []
        self.threads: set[int] = set()
        self.in_use = ""
        self.edit: Callable[[ActionChunk], ActionChunk] = lambda chunk: chunk


def puppet_class(strings: Strings) -> type[PolicyBackend]:
    """A backend that hangs on these strings."""

    class Backend(PolicyBackend):
        Config = PuppetConfig

        @property
        def in_use(self) -> str:
            return strings.in_use

        def _called(self, what: str, errors: list[Exception]) -> None:
            strings.calls.append(what)
            strings.threads.add(threading.get_ident())
            if errors:
                raise errors.pop(0)

        def connect(self) -> PolicyInfo:
            self._called(f"connect {self.config.host}", strings.connect_errors)
            return PolicyInfo("a puppet")

        def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
            strings.prefixes.append(prefix)
            self._called(f"infer {observation.stamp_ns}", strings.infer_errors)
            assert strings.gate.wait(10.0)
            names = self.policy.action_names
            pose = observation.select(names)
            actions = np.tile(pose, (self.policy.horizon, 1))
            return strings.edit(
                ActionChunk(observation.stamp_ns, self.policy.step_ns, names, actions)
            )

        def reset(self) -> None:
            self._called("reset", strings.reset_errors)

        def close(self) -> None:
            self._called("close", [])

    return Backend
