# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from test.support.asked import CLIENT
from vla_ros.core.errors import BackendUnavailable
from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService
from vla_ros.serving.metrics import Metrics
from vla_ros.serving.status_service import (
    Health,
    Status,
    StatusService,
    reload_route,
    status_routes,
)


def ask(service: HttpService, method: str, path: str) -> HttpReply:
    reply = service.begin(HttpRequest(method, path), CLIENT)
    assert isinstance(reply, HttpReply)
    return reply


def test_it_is_well_only_if_it_can_answer_observations():
    healths = {
        Health("ready", "hold"): (200, {"status": "healthy", "state": "ready", "detail": "hold"}),
        Health("loading"): (
            503,
            {"status": "loading", "state": "loading", "detail": "the policy is being loaded"},
        ),
        Health("failed", "no such file"): (
            503,
            {"status": "failed", "state": "failed", "detail": "no such file"},
        ),
        Health("ending"): (
            503,
            {"status": "ending", "state": "ending", "detail": "the server is ending"},
        ),
    }
    for health, expected in healths.items():
        reply = ask(StatusService(Status(lambda health=health: health)), "GET", "/health")
        assert (reply.status, json.loads(reply.body)) == expected


def test_the_last_reload_shows():
    health = Health("ready", "new", "failed, the old policy goes on: no such file")
    reply = ask(StatusService(Status(lambda: health)), "GET", "/health")
    assert (reply.status, json.loads(reply.body)["reload"]) == (200, health.reload)


def test_facts_are_told_with_the_health():
    routes = status_routes(Status(lambda: Health("ready")), {"model": "six"})
    reply = ask(HttpService("test", routes, api_token=None), "GET", "/health")
    assert json.loads(reply.body) == {
        "status": "healthy", "model": "six", "state": "ready", "detail": "",
    }  # fmt: skip


def test_metrics_come_with_the_state():
    metrics = Metrics()
    metrics.answered("act", "ok", 0.1)
    reply = ask(StatusService(Status(lambda: Health("failed"), metrics)), "GET", "/metrics")
    assert (reply.status, reply.content_type) == (200, metrics.content_type)
    assert b'vla_ros_state{state="failed"} 1.0' in reply.body
    assert b'vla_ros_requests_total{outcome="ok",protocol="act"} 1.0' in reply.body


def test_who_cannot_have_metrics_is_told_why():
    reply = ask(StatusService(Status(lambda: Health("ready"))), "GET", "/metrics")
    assert (reply.status, json.loads(reply.body)) == (
        501, {"detail": "metrics need prometheus_client: pip install 'vla_ros[metrics]'"},
    )  # fmt: skip


def test_those_that_watch_can_order_nothing():
    service = StatusService(Status(lambda: Health("ready"), reload=lambda: None))
    reply = ask(service, "POST", "/reload")
    assert reply.status == 404
    assert "there are /health, /metrics" in json.loads(reply.body)["detail"]


def reload(*, closed: bool, **given: Any) -> HttpReply:
    routes = reload_route(Status(lambda: Health("ready"), **given), closed=closed)
    return ask(HttpService("test", routes, api_token=None), "POST", "/reload")


def test_a_reload_is_begun_once_for_each_order():
    orders: list[None] = []
    reply = reload(closed=True, reload=lambda: orders.append(None))
    assert (reply.status, json.loads(reply.body), len(orders)) == (202, {"status": "reloading"}, 1)


def busy() -> None:
    raise BackendUnavailable("the server is ending")


@pytest.mark.parametrize(
    ("closed", "order", "status", "text"),
    [
        (False, lambda: None, 403, "reload is off, because this server has no api_token"),
        (True, None, 501, "this server cannot load its policy again"),
        (True, busy, 503, "the server is ending"),
    ],
)
def test_why_there_is_no_reload_is_told(closed: bool, order: Any, status: int, text: str):
    reply = reload(closed=closed, reload=order)
    assert (reply.status, json.loads(reply.body)) == (status, {"detail": text})
