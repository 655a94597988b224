# SPDX-License-Identifier: Apache-2.0
"""A GR00T HTTP server's endpoints over any backends: requests in, replies out, no I/O.

A client is answered in the type, JSON or msgpack, and the batching that it asked in. Whatever comes
in, one reply goes out; what was wrong stands in it as ``{"detail": text}``.

``begin`` may be called by any thread and answers at once what needs no policy. ``finish`` belongs
to the thread that owns the backends.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from vla_ros.core.errors import BackendUnavailable, ConfigError, VlaRosError, WireFormatError
from vla_ros.serving.gr00t_service import act
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.options import decode_options
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_LOG = logging.getLogger(__name__)
_METHODS = {http.ACT: "POST", http.HEALTH: "GET", http.RESET: "POST"}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What a client asks.

    Attributes:
        method: Such as ``POST``.
        path: Without a query.
        content_type: What the body is, as the client says.
        authorization: The header of that name; empty: none.
        body: It, whole.
    """

    method: str
    path: str
    content_type: str = ""
    authorization: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What a client is answered.

    Attributes:
        status: Such as 200.
        body: It, whole.
        content_type: What the body is.
    """

    status: int
    body: bytes
    content_type: str = http.JSON


@dataclass(frozen=True, slots=True)
class HttpJob:
    """A request that needs the policy."""

    request: HttpRequest

    @property
    def infers(self) -> bool:
        """Whether the policy has to think (else: to forget)."""
        return self.request.path == http.ACT


class Gr00tHttpService:
    """Answers GR00T's HTTP requests with each client's backend."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        api_token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            sessions: The policy, as each client has it.
            api_token: What a client must say; None: nothing.
            max_bytes: A longer body is refused.
            now_ns: The clock that stamps an observation whose client does not.
        """
        self._sessions = sessions
        self._api_token = api_token
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        health = {
            "status": "healthy",
            "model": sessions.policy.name,
            "content_types": [http.JSON, http.MSGPACK],
        }
        self._health = HttpReply(200, http.encode_tree(health, http.JSON))

    def begin(self, request: HttpRequest) -> HttpReply | HttpJob:
        """The reply to a request, or the work that must be done first. For any thread."""
        token = http.token_of(request.authorization)
        if self._api_token is not None and not hmac.compare_digest(
            token.encode(), self._api_token.encode()
        ):
            return refusal(401, "Unauthorized: Invalid API token")
        method = _METHODS.get(request.path)
        if method is None:
            return refusal(
                404, f"{request.path[:80]} is not served; there are {', '.join(_METHODS)}"
            )
        if request.method != method:
            return refusal(405, f"{request.path} takes {method}, found {request.method[:80]}")
        return self._health if request.path == http.HEALTH else HttpJob(request)

    def finish(self, job: HttpJob, client: Hashable) -> HttpReply:
        """The reply to a request that needs the policy. For the backends' thread."""
        try:
            if job.infers:
                return self._act(job.request, client)
            self._sessions.backend(client).reset()
            return HttpReply(200, http.encode_tree({"status": "reset"}, http.JSON))
        except BackendUnavailable as error:
            return refusal(503, str(error))
        except (WireFormatError, ConfigError) as error:
            return refusal(400, str(error))
        except VlaRosError as error:
            return refusal(500, str(error))

    def _act(self, request: HttpRequest, client: Hashable) -> HttpReply:
        content_type = request.content_type
        shown = http.decode_act(request.body, content_type, max_bytes=self._max_bytes)
        actions = act(
            self._sessions.backend(client),
            shown.observation,
            decode_options(shown.options),
            wire=http.ARRANGEMENT.wire,
            now_ns=self._now_ns,
        )
        answered = http.MSGPACK if http.is_msgpack(content_type) else http.JSON
        return HttpReply(200, http.encode_tree(actions, answered), answered)


def refusal(status: int, text: str) -> HttpReply:
    """A reply that says what is wrong."""
    _LOG.warning("refused a request: %d: %s", status, text)
    return HttpReply(status, http.encode_error(text))
