# SPDX-License-Identifier: Apache-2.0
"""A policy behind openpi's policy server, or one that speaks as it does, over WebSocket.

The policy's file says openpi's own keys: of images, of the state and of the instruction. One
thread; no call blocks longer than ``timeout_s``, but for the time that a name takes to be resolved.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from vla_ros.backends._http_channel import HttpChannel
from vla_ros.backends._remote import PatientConfig, RemoteBackend
from vla_ros.backends._websocket_channel import WebsocketChannel
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import actions_from
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.openpi.reply import (
    check_metadata,
    decode_answer,
    decode_metadata,
    decode_reset_done,
)
from vla_ros.wire.openpi.request import encode_observation, encode_reset

_HEALTH = "/healthz"
_NOT_NOW = 503


@dataclass(frozen=True, slots=True)
class OpenpiConfig(PatientConfig):
    """Where the policy server is, how it is told of episodes, and how patient to be with it."""

    port: int = param(8000, "The policy server's port.", ge=1, le=65535)
    path: str = param("/", "Where at it; vLLM-Omni has it at /v1/realtime/robot/openpi.")
    api_key: str = param("", "What the server wants to hear to let anybody in; empty: nothing.")
    episodes: Literal["connection", "endpoint"] = param(
        "connection",
        "How a reset is told: by a new connection, as to openpi's server, or by an endpoint beside"
        " the observation, as to RoboArena's servers and vLLM-Omni.",
    )
    connect_timeout_s: float = param(
        5.0,
        "Longest time that a connection may take to be made; a server that infers greets nobody"
        " meanwhile [s].",
        ge=0.01,
        le=60.0,
    )
    drain_timeout_s: float = param(
        120.0,
        "How long a late answer is waited for, before another request is sent; the first one may"
        " take long, while the model is compiled [s].",
        ge=0.1,
        le=600.0,
    )


class Backend(RemoteBackend):
    """Asks an openpi policy server."""

    Config = OpenpiConfig

    def __init__(self, config: OpenpiConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._config = config
        self._channel = self._new_channel()
        self._connection = 0
        self._session = _new_session()

    def connect(self) -> PolicyInfo:
        """Read what the server says first, and check it against the description.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error.
            WireFormatError: What answered is no openpi server.
            ConfigError: The policy there has another horizon or width, or the one here is shown
                more than the newest images.
        """
        if self.policy.video_deltas != NOW:
            raise ConfigError(
                f"{self.policy.source}: video: delta_indices: an openpi server is shown the newest"
                f" images alone; found {list(self.policy.video_deltas)}"
            )
        self.close()
        self._handshake(self._deadline())
        return PolicyInfo(description=f"openpi policy server at {self._channel.address}")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``. No prefix is sent."""
        deadline_s = self._deadline()
        given = self._given(observation)
        request = encode_observation(given, session_id=self._session if self._asks else None)
        self._handshake(deadline_s)
        sent_ns = self.now_ns()
        reply = self._channel.call(request, deadline_s)
        received_ns = self.now_ns()
        with self._hanging_up():
            answer = decode_answer(reply, self.policy, max_bytes=DEFAULT_MAX_BYTES)
        return self.chunk(
            observation,
            actions_from(self.policy, answer.actions),
            sent_ns=sent_ns,
            received_ns=received_ns,
            inference_ns=answer.inference_ns,
        )

    def reset(self) -> None:
        """Tell the server that an episode begins: by a new connection, or by its endpoint.

        openpi's own policies remember nothing. Servers that do, do so for each connection.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        deadline_s = self._deadline()
        self._session = _new_session()
        if not self._asks:
            self._channel.close()
        self._handshake(deadline_s)
        if self._asks:
            done = self._channel.call(encode_reset(self._session), deadline_s)
            with self._hanging_up():
                decode_reset_done(done, max_bytes=DEFAULT_MAX_BYTES)

    def check(self) -> None:
        """Ask whether the server is well; see ``RemoteBackend``.

        It is greeted by nobody for that, and an answer of any kind will do: not all have such an
        endpoint.
        """
        channel = HttpChannel(
            self._config.host,
            self._config.port,
            times=self._config.times,
            max_bytes=DEFAULT_MAX_BYTES,
        )
        try:
            answer = channel.call("GET", _HEALTH, deadline_s=self._deadline(), headers={})
        finally:
            channel.close()
        if answer.status == _NOT_NOW:
            raise BackendUnavailable(f"{self.address} is not to be had now")

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()
        self._channel = self._new_channel()
        self._connection = 0

    @property
    def _asks(self) -> bool:
        """Whether the server knows endpoints."""
        return self._config.episodes == "endpoint"

    def _new_channel(self) -> WebsocketChannel:
        key = self._config.api_key
        return WebsocketChannel(
            f"ws://{self.address}/{self._config.path.lstrip('/')}",
            times=self._config.times,
            max_bytes=DEFAULT_MAX_BYTES,
            headers={"Authorization": f"Api-Key {key}"} if key else {},
        )

    def _handshake(self, deadline_s: float) -> None:
        """Looks at what the server says first, once for each connection."""
        connection = self._channel.open(deadline_s)
        if connection == self._connection:
            return
        with self._hanging_up():
            metadata = decode_metadata(self._channel.greeting, max_bytes=DEFAULT_MAX_BYTES)
        check_metadata(self.policy, metadata, server=self._channel.address)
        self._connection = connection

    @contextmanager
    def _hanging_up(self) -> Iterator[None]:
        """Hangs up after an error, as the server does, to whom the next request would be lost."""
        try:
            yield
        except RemotePolicyError:
            self._channel.close()
            raise


def _new_session() -> str:
    return uuid.uuid4().hex
