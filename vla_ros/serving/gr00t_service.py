# SPDX-License-Identifier: Apache-2.0
"""The endpoints of a GR00T policy server over any backends: bytes in, bytes out, no I/O.

Each client is answered in the wire, the layout and the batching that it asked in. Whatever comes
in, one reply goes out; what was wrong stands in it as ``{"error": text}``.

``begin`` may be called by any thread and answers at once what needs no policy. ``finish`` belongs
to the thread that owns the backends.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import VlaRosError, WireFormatError
from vla_ros.core.policy_io import actions_by_key, observation_from
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.gr00t import message
from vla_ros.wire.gr00t.action import encode_action
from vla_ros.wire.gr00t.message import Request, decode_request, encode_error, encode_reply
from vla_ros.wire.gr00t.modality import encode_modality, modality_of
from vla_ros.wire.gr00t.observation import decode_observation
from vla_ros.wire.gr00t.options import Options, decode_options
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown

_LOG = logging.getLogger(__name__)
_ENDPOINTS = (
    message.PING,
    message.KILL,
    message.RESET,
    message.GET_ACTION,
    message.GET_MODALITY_CONFIG,
)


@dataclass(frozen=True, slots=True)
class Job:
    """A request that needs the policy."""

    request: Request

    @property
    def infers(self) -> bool:
        """Whether the policy has to think (else: to forget)."""
        return self.request.endpoint == message.GET_ACTION


class Gr00tService:
    """Answers GR00T requests with each client's backend.

    Attributes:
        killed: Whether a client made the server end.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        api_token: str | None = None,
        modality_wire: Gr00tWire | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            sessions: The policy, as each client has it.
            api_token: What a client must say; None: nothing, and nobody may end the server.
            modality_wire: How to mark the reply of ``get_modality_config``; see
                ``encode_modality``. Clients of N1.5 need A5, and then no others can be served.
            max_bytes: A longer request is refused.
            now_ns: The clock that stamps an observation whose client does not.
        """
        self.killed = False
        self._sessions = sessions
        self._api_token = api_token
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        modality = encode_modality(modality_of(sessions.policy), modality_wire)
        self._modality_reply = encode_reply(modality, modality_wire or Gr00tWire.B)

    def handle(self, data: bytes | memoryview, client: Hashable = None) -> bytes:
        """The reply to a request, whatever it is. For the backends' thread."""
        begun = self.begin(data)
        return self.finish(begun, client) if isinstance(begun, Job) else begun

    def begin(self, data: bytes | memoryview) -> bytes | Job:
        """The reply to a request, or the work that must be done first. For any thread."""
        try:
            return self._begin(decode_request(data, max_bytes=self._max_bytes))
        except VlaRosError as error:
            return self.refusal(str(error))

    def finish(self, job: Job, client: Hashable) -> bytes:
        """The reply to a request that needs the policy. For the backends' thread."""
        try:
            if job.infers:
                return self._act(job.request, client)
            self._sessions.backend(client).reset()
            return encode_reply({}, Gr00tWire.B)
        except VlaRosError as error:
            return self.refusal(str(error))

    def refusal(self, text: str) -> bytes:
        """A reply that says what is wrong. For any thread."""
        _LOG.warning("refused a request: %s", text)
        return encode_error(text)

    def _begin(self, request: Request) -> bytes | Job:
        if self._api_token is not None and not hmac.compare_digest(
            (request.api_token or "").encode(), self._api_token.encode()
        ):
            raise WireFormatError("Unauthorized: Invalid API token")
        if request.endpoint == message.PING:
            return encode_reply({"status": "ok", "message": "Server is running"}, Gr00tWire.B)
        if request.endpoint == message.GET_MODALITY_CONFIG:
            return self._modality_reply
        if request.endpoint in (message.GET_ACTION, message.RESET):
            return Job(request)
        if request.endpoint == message.KILL:
            if self._api_token is None:
                raise WireFormatError("kill is off, because this server has no api_token")
            self.killed = True
            return encode_reply(None, Gr00tWire.B)
        raise WireFormatError(
            f"Unknown endpoint: {request.endpoint[:80]}; there are {', '.join(_ENDPOINTS)}"
        )

    def _act(self, request: Request, client: Hashable) -> bytes:
        tree, options = request.data, Options()
        if request.wire is not Gr00tWire.A5:
            options = decode_options(request.data.get("options"))
            tree = request.data.get("observation", {})
        if not isinstance(tree, Mapping) or not tree:
            raise WireFormatError(
                f"get_action: data.observation must be a map of keys; found {shown(tree)}"
            )
        backend = self._sessions.backend(client)
        return encode_reply(
            act(backend, tree, options, wire=request.wire, now_ns=self._now_ns), request.wire
        )


def act(
    backend: PolicyBackend,
    tree: Mapping[str, Any],
    options: Options,
    *,
    wire: Gr00tWire,
    now_ns: Callable[[], int],
) -> dict[str, Any] | list[Any]:
    """A backend's answer to an observation, both as trees of a wire. For the backend's thread.

    Args:
        backend: The policy, connected.
        tree: The observation.
        options: What the client said beside it.
        wire: Of the observation, and so of the answer.
        now_ns: The clock that stamps an observation whose client does not.

    Raises:
        VlaRosError: The observation is none of the policy's, or the policy gave no answer.
    """
    given, arrangement = decode_observation(tree, backend.policy, wire)
    observation = observation_from(
        backend.policy,
        given,
        stamp_ns=now_ns() if options.stamp_ns is None else options.stamp_ns,
        request=options.request,
    )
    chunk = backend.infer(observation, options.prefix)
    return encode_action(actions_by_key(backend.policy, chunk), arrangement)
