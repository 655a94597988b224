# SPDX-License-Identifier: Apache-2.0
"""What all backends have in common whose policy is behind a server.

One thread for each backend. Times are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._resize import resized
from vla_ros.backends.base import PolicyBackend
from vla_ros.core.addresses import join_address, parse_address
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_io import PolicyInput, policy_input


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """Where the policy server is, or where several of one policy are."""

    # Each protocol's own has a default.
    port: int = param(REQUIRED, "The policy server's port.", ge=1, le=65535)
    host: str = param("127.0.0.1", "The policy server's host.")
    addresses: tuple[str, ...] = param(
        (),
        "HOST:PORT of each of several servers of the same policy; where one fails, the next is"
        " asked. Empty: there is one, at host and port.",
    )
    timeout_s: float = param(5.0, "Longest time that a request may take [s].", ge=0.01, le=60.0)
    connect_timeout_s: float = param(
        1.0, "Longest time that a connection may take to be made [s].", ge=0.01, le=60.0
    )
    drain_timeout_s: float = param(
        30.0,
        "How long a late answer is waited for, before another request is sent [s].",
        ge=0.1,
        le=600.0,
    )

    def __post_init__(self) -> None:
        """Refuse addresses that are none.

        Raises:
            ConfigError: One is malformed, or stands twice.
        """
        where = "parameter 'addresses'"
        parsed = [parse_address(text, where=where) for text in self.addresses]
        if len(set(parsed)) < len(parsed):
            raise ConfigError(f"{where}: each must stand once, found {', '.join(self.addresses)}")


@dataclass(frozen=True, slots=True)
class PatientConfig(RemoteConfig):
    """The same, and when a connection that failed is tried again."""

    backoff_s: float = param(
        0.25,
        "Time to the next attempt after a failure; it doubles with each [s].",
        ge=0.01,
        le=60.0,
    )
    backoff_max_s: float = param(4.0, "The longest such time [s].", ge=0.01, le=600.0)

    @property
    def times(self) -> ChannelTimes:
        """What the channel is told of it."""
        return ChannelTimes(
            connect_s=self.connect_timeout_s,
            drain_s=self.drain_timeout_s,
            backoff_s=self.backoff_s,
            backoff_max_s=self.backoff_max_s,
        )


class RemoteBackend(PolicyBackend):
    """Asks a policy server.

    Attributes:
        timeout_s: How long ``infer``, ``reset`` and ``check`` may take [s]; may be changed between
            calls.
        address: ``host:port`` of the server.
    """

    Config: ClassVar[type[RemoteConfig]]

    def __init__(self, config: RemoteConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self.timeout_s = config.timeout_s
        self.address = join_address(config.host, config.port)

    def another(self) -> RemoteBackend:
        """A second one with the same facts; see ``PolicyBackend``."""
        return type(self)(self.config, robot=self.robot, policy=self.policy, now_ns=self.now_ns)

    def check(self) -> None:
        """Look for a sign of life of the server, as cheaply as can be; here that it listens.

        It says nothing of what the policy does, and disturbs nobody who is asking it. A backend
        that checks does nothing else.

        Raises:
            BackendError: There is none.
        """
        host, port = self.config.host, self.config.port
        within_s = min(self.timeout_s, self.config.connect_timeout_s)
        try:
            with socket.create_connection((host, port), within_s):
                pass
        except OSError as error:
            raise BackendUnavailable(f"{self.address}: cannot be connected to: {error}") from error

    def _deadline(self) -> float:
        return time.monotonic() + self.timeout_s

    def _given(self, observation: Observation) -> PolicyInput:
        """An observation in the policy's own keys and units, its images of the size to send."""
        return resized(self.policy, policy_input(self.policy, observation))
