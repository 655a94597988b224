# SPDX-License-Identifier: Apache-2.0
"""The endpoints of a GR00T HTTP server: requests in, replies out, no I/O.

A client is answered in the type, JSON or msgpack, and the batching that it asked in. Any thread may
call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Inference, Reset
from vla_ros.serving.gr00t_inference import gr00t_inference
from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService, Route
from vla_ros.serving.status_service import Status, reload_route, status_routes
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.options import decode_options
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_RESET_DONE = HttpReply(200, http.encode_tree({"status": "reset"}, http.JSON))


class Gr00tHttpService(HttpService):
    """Answers GR00T's HTTP requests, and tells how the server is."""

    def __init__(
        self,
        policy: PolicySpec,
        status: Status,
        *,
        api_token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            policy: What is served.
            status: What is told of the server itself.
            api_token: What a client must say; None: nothing, and nobody may order a reload.
            max_bytes: A longer body is refused.
            now_ns: The clock that stamps an observation whose client does not.
        """
        facts = {"model": policy.name, "content_types": [http.JSON, http.MSGPACK]}
        routes = {
            http.ACT: Route("POST", self._act),
            http.RESET: Route("POST", lambda _: Reset(lambda: _RESET_DONE)),
            **status_routes(status, facts),
            **reload_route(status, closed=bool(api_token)),
        }
        super().__init__("gr00t_http", routes, api_token=api_token)
        self._policy = policy
        self._max_bytes = max_bytes
        self._now_ns = now_ns

    def _act(self, request: HttpRequest) -> Inference[HttpReply]:
        content_type = request.content_type
        answered = http.MSGPACK if http.is_msgpack(content_type) else http.JSON
        shown = http.decode_act(request.body, content_type, max_bytes=self._max_bytes)

        def encode(actions: dict[str, Any] | list[Any]) -> HttpReply:
            return HttpReply(200, http.encode_tree(actions, answered), answered)

        return gr00t_inference(
            self._policy,
            shown.observation,
            decode_options(shown.options),
            wire=http.ARRANGEMENT.wire,
            now_ns=self._now_ns,
            encode=encode,
            max_bytes=self._max_bytes,
        )
