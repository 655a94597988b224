# SPDX-License-Identifier: Apache-2.0
"""A policy behind NVIDIA's GR00T HTTP server of N1.5, or behind one of ours.

The server says nothing of its policy's keys, so a wrong one is noticed by the first answer. Ours
tells in ``GET /health`` that it takes msgpack, which is then spoken instead of JSON. One thread; no
call blocks longer than ``timeout_s``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vla_ros.backends._http_channel import HttpAnswer, HttpChannel
from vla_ros.backends._remote import PatientConfig, RemoteBackend
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, WireFormatError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import actions_from
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.action import decode_action
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.options import encode_options
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown

_OK = 200
_NOT_NOW = 503
# What a server says that has no such endpoint.
_NOT_THERE = (404, 405)


@dataclass(frozen=True, slots=True)
class HttpConfig(PatientConfig):
    """Where the policy server is, and how patient to be with it."""

    port: int = param(http.PORT, "The policy server's port.", ge=1, le=65535)
    api_token: str = param("", "What the server wants to hear to let anybody in; empty: nothing.")
    encoding: Literal["auto", "json", "msgpack"] = param(
        "auto", "How observations are written; auto is msgpack where the server knows it."
    )


class Backend(RemoteBackend):
    """Asks a GR00T HTTP server."""

    Config = HttpConfig

    def __init__(self, config: HttpConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._config = config
        self._channel = self._new_channel()
        self._connection = 0
        self._content_type = http.JSON

    def connect(self) -> PolicyInfo:
        """Ask whether the server is well, and what it can read.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error, a wrong token for instance.
            WireFormatError: What answers is no GR00T HTTP server.
        """
        self.close()
        model = self._handshake(self._deadline()).get("model", "GR00T")
        return PolicyInfo(
            description=f"GR00T HTTP server at {self._channel.address}, model {str(model)[:80]},"
            f" {self._content_type}"
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        A prefix is sent along. NVIDIA's server ignores it.
        """
        deadline_s = self._deadline()
        tree = encode_observation(self._given(observation), http.ARRANGEMENT)
        self._handshake(deadline_s)
        options = encode_options(observation, prefix, now_ns=self.now_ns())
        request = http.ActRequest(tree, options)
        body = http.encode_act(request, self._content_type)
        sent_ns = self.now_ns()
        answer = self._ask("POST", http.ACT, deadline_s, body)
        received_ns = self.now_ns()
        actions = http.decode_actions(
            _body(answer), answer.content_type, max_bytes=DEFAULT_MAX_BYTES
        )
        by_key = decode_action(actions, http.ARRANGEMENT, self.policy.action)
        return self.chunk(
            observation,
            actions_from(self.policy, by_key),
            sent_ns=sent_ns,
            received_ns=received_ns,
        )

    def reset(self) -> None:
        """Tell the server that an episode begins. NVIDIA's knows no such thing, and is left alone.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        deadline_s = self._deadline()
        self._handshake(deadline_s)
        answer = self._ask("POST", http.RESET, deadline_s)
        if answer.status not in _NOT_THERE:
            _body(answer)

    def check(self) -> None:
        """Ask whether the server is well; one that loads or ends is not. See ``RemoteBackend``."""
        _body(self._ask("GET", http.HEALTH, self._deadline()))

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()
        self._channel = self._new_channel()
        self._connection = 0

    def _new_channel(self) -> HttpChannel:
        config = self._config
        return HttpChannel(
            config.host, config.port, times=config.times, max_bytes=DEFAULT_MAX_BYTES
        )

    def _handshake(self, deadline_s: float) -> Mapping[str, Any]:
        """Asks what the server can read, once for each connection; what it said."""
        connection = self._channel.open(deadline_s)
        if connection == self._connection:
            return {}
        answer = self._ask("GET", http.HEALTH, deadline_s)
        health = http.decode_tree(_body(answer), answer.content_type)
        if not isinstance(health, Mapping):
            raise WireFormatError(
                f"{self._channel.address}{http.HEALTH} must give a map, found {shown(health)}"
            )
        known = health.get("content_types")
        reads_msgpack = isinstance(known, list) and http.MSGPACK in known
        wanted = self._config.encoding
        binary = wanted == "msgpack" or (wanted == "auto" and reads_msgpack)
        self._content_type = http.MSGPACK if binary else http.JSON
        self._connection = connection
        return health

    def _ask(self, method: str, path: str, deadline_s: float, body: bytes = b"") -> HttpAnswer:
        headers = {"Content-Type": self._content_type}
        if self._config.api_token:
            headers["Authorization"] = http.authorization(self._config.api_token)
        return self._channel.call(method, path, deadline_s=deadline_s, body=body, headers=headers)


def _body(answer: HttpAnswer) -> bytes:
    """What a server answered with.

    Raises:
        BackendUnavailable: It is not to be had now: it loads, ends, or has too much to do.
        RemotePolicyError: It is another error.
    """
    if answer.status == _OK:
        return answer.body
    error = http.remote_error(answer.status, answer.body)
    raise BackendUnavailable(str(error)) if answer.status == _NOT_NOW else error
