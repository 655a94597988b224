# SPDX-License-Identifier: Apache-2.0
"""What a server tells of itself over HTTP, and the order to load its policy again.

Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService, Route, refusal
from vla_ros.serving.policy_worker import State
from vla_ros.wire.gr00t import http

METRICS, RELOAD = "/metrics", "/reload"
# Where servers of openpi's wire answer whether they are there, in plain text.
HEALTHZ = "/healthz"
_IN_WORDS = {"loading": "the policy is being loaded", "ending": "the server is ending"}


@dataclass(frozen=True, slots=True)
class Health:
    """How a server is.

    Attributes:
        state: What it can do now.
        detail: The same in words: what serves, or what fails.
        reload: What became of the last order to load the policy again; empty: there was none.
    """

    state: State
    detail: str = ""
    reload: str = ""


class Rendered(Protocol):
    """Numbers for Prometheus; see ``Metrics``.

    Attributes:
        content_type: Their form.
    """

    content_type: str

    def render(self, state: State) -> bytes:
        """All of them, and what the server can do now."""


@dataclass(frozen=True, slots=True)
class Status:
    """What is told of a server.

    Attributes:
        health: How it is; any thread may call.
        metrics: What is counted; None: nothing, because prometheus_client is not installed.
        reload: Begins to load the policy again, and waits for nothing; it may raise
            ``VlaRosError``. None: that cannot be done.
    """

    health: Callable[[], Health]
    metrics: Rendered | None = None
    reload: Callable[[], None] | None = None


class StatusService(HttpService):
    """Tells how a server is, to those that watch it, and who need no token."""

    def __init__(self, status: Status) -> None:
        """Keep what is told."""
        super().__init__("status", status_routes(status), api_token=None)


def status_routes(status: Status, facts: Mapping[str, Any] | None = None) -> dict[str, Route]:
    """Path to what tells of a server there.

    Args:
        status: What is told.
        facts: What is told with the health, whatever it is.
    """

    def tell_health(_: HttpRequest) -> HttpReply:
        return _told(status.health(), facts or {})

    def tell_metrics(_: HttpRequest) -> HttpReply:
        if status.metrics is None:
            return refusal(501, "metrics need prometheus_client: pip install 'vla_ros[metrics]'")
        rendered = status.metrics.render(status.health().state)
        return HttpReply(200, rendered, status.metrics.content_type)

    return {http.HEALTH: Route("GET", tell_health), METRICS: Route("GET", tell_metrics)}


def reload_route(status: Status, *, closed: bool) -> dict[str, Route]:
    """Path to what has the policy loaded again.

    Args:
        status: What can do it.
        closed: Whether clients must say a token; else nobody may.
    """

    def begin_reload(_: HttpRequest) -> HttpReply:
        if not closed:
            return refusal(403, "reload is off, because this server has no api_token")
        if status.reload is None:
            return refusal(501, "this server cannot load its policy again")
        status.reload()
        return HttpReply(202, http.encode_tree({"status": "reloading"}, http.JSON))

    return {RELOAD: Route("POST", begin_reload)}


def _told(health: Health, facts: Mapping[str, Any]) -> HttpReply:
    """The reply that says how a server is: 200 only if it can answer observations."""
    ready = health.state == "ready"
    tree: dict[str, Any] = {
        # NVIDIA's word for it.
        "status": "healthy" if ready else health.state,
        **facts,
        "state": health.state,
        "detail": health.detail or _IN_WORDS.get(health.state, ""),
    }
    if health.reload:
        tree["reload"] = health.reload
    return HttpReply(200 if ready else 503, http.encode_tree(tree, http.JSON))
