# SPDX-License-Identifier: Apache-2.0
"""Policy servers that are none: backends that do as they are told, on a clock that they move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from test.support.gr00t_samples import moves, policy, robot
from vla_ros.backends._remote import RemoteBackend, RemoteConfig
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendSilent, BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix

ROBOT, POLICY = robot(), policy()


@dataclass
class FakeServer:
    """What a server does, and what was done to it.

    Attributes:
        does: ``work``, ``vanish``, ``freeze``, ``differ`` (its policy is another) or ``object``.
        takes_s: How long an answer takes.
        wait: Lets time pass [s].
        remembers: The stamps of what it was shown since it was last told of an episode.
        calls: What was asked of it.
    """

    wait: Callable[[float], None] = lambda _: None
    does: str = "work"
    takes_s: float = 0.1
    remembers: list[int] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)


class FakeRemote(RemoteBackend):
    """Asks a fake server."""

    Config = RemoteConfig

    def __init__(self, config: RemoteConfig, *, server: FakeServer, **facts: Any) -> None:
        super().__init__(config, **facts)
        self.server = server

    def another(self) -> FakeRemote:
        return fake_remote(self.server, port=self.config.port, timeout_s=self.config.timeout_s)

    def connect(self) -> PolicyInfo:
        self._ask("connect")
        return PolicyInfo(f"fake server at {self.address}")

    def reset(self) -> None:
        self._ask("reset")
        self.server.remembers.clear()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.server.remembers.append(observation.stamp_ns)
        self._ask("infer", self.server.takes_s)
        if self.server.does == "object":
            raise RemotePolicyError("out of memory")
        return self.chunk(observation, moves(), sent_ns=1, received_ns=2)

    def check(self) -> None:
        self._ask("check")

    def close(self) -> None:
        self.server.calls.append("close")

    def _ask(self, what: str, takes_s: float = 0.0) -> None:
        self.server.calls.append(what)
        does = self.server.does
        if does == "vanish":
            raise BackendUnavailable("nobody listens there")
        if does == "freeze" or takes_s > self.timeout_s:
            self.server.wait(self.timeout_s)
            raise BackendSilent(f"{self.address} gave no answer within {self.timeout_s:.2f} s")
        if does == "differ" and what in ("connect", "reset"):
            raise ConfigError("the horizon there is 8")
        self.server.wait(takes_s)


def fake_remote(
    server: FakeServer, *, port: int = 1, timeout_s: float = 5.0, **facts: Any
) -> FakeRemote:
    """A backend of a fake server."""
    config = RemoteConfig(port=port, timeout_s=timeout_s)
    return FakeRemote(config, server=server, robot=ROBOT, policy=POLICY, **facts)


class StillWatch:
    """A watch that sees what the test says, and has no thread."""

    def __init__(self, backend: RemoteBackend, *, every_s: float, timeout_s: float) -> None:
        self.backend, self.every_s, self.timeout_s = backend, every_s, timeout_s
        self.alive = True
        self.said: list[str] = []

    def tell(self, *, alive: bool) -> None:
        self.alive = alive

    def start(self) -> None:
        assert not self.said
        self.said.append("start")

    def end(self) -> None:
        self.said.append("end")

    def join(self, within_s: float) -> None:
        assert self.said[-1] == "end"
        self.said.append("join")
