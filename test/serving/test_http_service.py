# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from test.support.asked import CLIENT
from vla_ros.core.errors import (
    ActionError,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.serving.asked import Asked, Reset
from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService, Route, refusal

OK = HttpReply(200, b"{}")
RESET = Reset(lambda: OK)


def service(error: VlaRosError | None = None, token: str | None = None) -> HttpService:
    def tell(request: HttpRequest) -> HttpReply:
        if error is not None:
            raise error
        return HttpReply(200, request.body)

    routes = {"/here": Route("GET", tell), "/forget": Route("POST", lambda _: RESET)}
    return HttpService("test", routes, api_token=token)


def told(reply: HttpReply | Asked[HttpReply]) -> tuple[int, str]:
    assert isinstance(reply, HttpReply)
    value = json.loads(reply.body)
    assert list(value) == ["detail"]
    return reply.status, value["detail"]


def test_what_stands_at_a_path_answers():
    ours = service()
    assert ours.protocol == "test"
    assert ours.begin(HttpRequest("GET", "/here", body=b"x"), CLIENT) == HttpReply(200, b"x")
    assert ours.begin(HttpRequest("POST", "/forget"), CLIENT) is RESET


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "/ is not served; there are /here, /forget")),
        ("GET", "/" + 100 * "x", (404, f"/{79 * 'x'} is not served; there are /here, /forget")),
        ("POST", "/here", (405, "/here takes GET, found POST")),
        (100 * "X", "/here", (405, f"/here takes GET, found {80 * 'X'}")),
    ],
)
def test_what_is_not_served_is_named(method: str, path: str, expected: tuple[int, str]):
    assert told(service().begin(HttpRequest(method, path), CLIENT)) == expected


def test_who_does_not_say_the_token_learns_nothing():
    ours = service(token="s3cret")
    for header in ("", "Bearer", "Bearer s3cre", "Basic s3cret", "Bearer s3crét"):
        for path in ("/here", "/nothing"):
            request = HttpRequest("GET", path, authorization=header)
            assert told(ours.begin(request, CLIENT)) == (401, "Unauthorized: Invalid API token")
    right = HttpRequest("GET", "/here", authorization="Bearer s3cret")
    assert ours.begin(right, CLIENT) == HttpReply(200, b"")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendUnavailable("the server is overloaded"), 503),
        (WireFormatError("no JSON"), 400),
        (ConfigError("no camera"), 400),
        (RemotePolicyError("the policy failed"), 500),
        (ActionError("a bad chunk"), 500),
    ],
)
def test_what_is_wrong_is_told(error: VlaRosError, status: int):
    assert told(service().refuse(error)) == (status, str(error))
    assert told(service(error).begin(HttpRequest("GET", "/here"), CLIENT)) == (status, str(error))


def test_a_refusal_is_told_and_logged(caplog: pytest.LogCaptureFixture):
    assert told(refusal(418, "a teapot")) == (418, "a teapot")
    assert "refused a request: 418: a teapot" in caplog.text
