# SPDX-License-Identifier: Apache-2.0
"""What is common to all that answers over HTTP: requests in, replies out, no I/O.

Whatever comes in, one reply goes out; what was wrong stands in it as ``{"detail": text}``. Any
thread may call.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vla_ros.core.errors import BackendUnavailable, ConfigError, VlaRosError, WireFormatError
from vla_ros.serving.asked import Asked, Client
from vla_ros.wire.gr00t import http

_LOG = logging.getLogger(__name__)


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
class Route:
    """What answers at a path.

    Attributes:
        method: The one that it takes.
        answer: Gives the reply, or what must be asked of the policy first; it may raise
            ``VlaRosError``.
    """

    method: str
    answer: Callable[[HttpRequest], HttpReply | Asked[HttpReply]]


class HttpService:
    """Answers what comes in by its path.

    Attributes:
        protocol: What it speaks, for whoever counts its clients.
    """

    def __init__(
        self, protocol: str, routes: Mapping[str, Route], *, api_token: str | None
    ) -> None:
        """Keep the facts.

        Args:
            protocol: What it speaks.
            routes: Path to what answers there.
            api_token: What a client must say, whatever it wants; None: nothing.
        """
        self.protocol = protocol
        self._routes = routes
        self._api_token = api_token

    def begin(self, request: HttpRequest, client: Client) -> HttpReply | Asked[HttpReply]:
        """The reply to a request, or what must be asked of the policy first."""
        del client
        token = http.token_of(request.authorization)
        if self._api_token is not None and not hmac.compare_digest(
            token.encode(), self._api_token.encode()
        ):
            return refusal(401, "Unauthorized: Invalid API token")
        route = self._routes.get(request.path)
        if route is None:
            return refusal(
                404, f"{request.path[:80]} is not served; there are {', '.join(self._routes)}"
            )
        if request.method != route.method:
            return refusal(405, f"{request.path} takes {route.method}, found {request.method[:80]}")
        try:
            return route.answer(request)
        except VlaRosError as error:
            return self.refuse(error)

    def refuse(self, error: VlaRosError) -> HttpReply:
        """A reply that says what is wrong."""
        if isinstance(error, BackendUnavailable):
            return refusal(503, str(error))
        asked_wrong = isinstance(error, (WireFormatError, ConfigError))
        return refusal(400 if asked_wrong else 500, str(error))


def refusal(status: int, text: str) -> HttpReply:
    """A reply that says what is wrong."""
    _LOG.warning("refused a request: %d: %s", status, text)
    return HttpReply(status, http.encode_error(text))
