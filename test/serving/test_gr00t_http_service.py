# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION, INSTRUCTION_KEY, moves, observation
from vla_ros.core.errors import ActionError, BackendUnavailable, RemotePolicyError
from vla_ros.serving.gr00t_http_service import (
    Gr00tHttpService,
    HttpJob,
    HttpReply,
    HttpRequest,
    refusal,
)
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.gr00t.http import JSON, MSGPACK, decode_tree, encode_tree

PIXELS = observation().images
STATE = observation().state
OBSERVATION: dict[str, Any] = {
    "video.front": PIXELS["head"][None],
    "video.wrist": PIXELS["hand"][None],
    "state.single_arm": STATE[None, :5],
    "state.gripper": STATE[None, 5:],
    INSTRUCTION_KEY: [INSTRUCTION],
}

each_type = pytest.mark.parametrize("content_type", [JSON, MSGPACK])


@pytest.fixture
def backend() -> GoldenBackend:
    return GoldenBackend()


@pytest.fixture
def service(backend: GoldenBackend) -> Gr00tHttpService:
    return Gr00tHttpService(Sessions(backend), max_bytes=10_000, now_ns=lambda: 77)


def handle(service: Gr00tHttpService, method: str, path: str, **more: Any) -> HttpReply:
    begun = service.begin(HttpRequest(method, path, **more))
    return service.finish(begun, "client") if isinstance(begun, HttpJob) else begun


def act(
    service: Gr00tHttpService, observed: Any = OBSERVATION, content_type: str = JSON, **more: Any
) -> HttpReply:
    body = encode_tree({"observation": observed, **more}, content_type)
    return handle(service, "POST", "/act", content_type=content_type, body=body)


def detail(reply: HttpReply) -> str:
    value = json.loads(reply.body)
    assert list(value) == ["detail"]
    assert reply.content_type == JSON
    text: str = value["detail"]
    return text


def test_it_says_that_it_is_well(service: Gr00tHttpService):
    reply = handle(service, "GET", "/health")
    assert (reply.status, json.loads(reply.body)) == (
        200,
        {"status": "healthy", "model": "six_joints_policy", "content_types": [JSON, MSGPACK]},
    )


@each_type
def test_an_observation_is_answered_in_its_own_type(
    service: Gr00tHttpService, backend: GoldenBackend, content_type: str
):
    reply = act(service, content_type=content_type)

    assert (reply.status, reply.content_type) == (200, content_type)
    actions = decode_tree(reply.body, content_type)
    assert list(actions) == ["action.single_arm", "action.gripper"]
    np.testing.assert_array_equal(actions["action.single_arm"], moves()[:, :5])
    np.testing.assert_array_equal(actions["action.gripper"], moves()[:, 5:])
    assert actions["action.gripper"].dtype == np.float32
    (seen,) = backend.seen
    assert (seen.stamp_ns, seen.instruction, seen.request) == (77, INSTRUCTION, None)
    np.testing.assert_array_equal(seen.state, STATE)
    for camera, image in PIXELS.items():
        np.testing.assert_array_equal(seen.images[camera], image)


def test_what_curl_can_write_is_taken(service: Gr00tHttpService, backend: GoldenBackend):
    plain = {**OBSERVATION, "state.single_arm": [[0, 1, 2, 3, 4]], INSTRUCTION_KEY: "go"}
    assert act(service, plain).status == 200
    np.testing.assert_array_equal(backend.seen[0].state, [0, 1, 2, 3, 4, 0.75])
    assert backend.seen[0].instruction == "go"


def test_who_asks_with_a_batch_is_answered_with_one(service: Gr00tHttpService):
    batch = {key: value[None] if "." in key[:6] else value for key, value in OBSERVATION.items()}
    reply = act(service, {**batch, INSTRUCTION_KEY: [INSTRUCTION]})
    assert decode_tree(reply.body, JSON)["action.gripper"].shape == (1, 16, 1)


def test_our_clients_stamp_is_passed_on(service: Gr00tHttpService, backend: GoldenBackend):
    assert act(service, options={"stamp_ns": 5, "request_id": 3}).status == 200
    (seen,) = backend.seen
    assert seen.stamp_ns == 5
    assert seen.request is not None
    assert seen.request.request_id == 3


def test_a_reset_reaches_the_backend(service: Gr00tHttpService, backend: GoldenBackend):
    reply = handle(service, "POST", "/reset", body=b"whatever")
    assert (reply.status, json.loads(reply.body), backend.resets) == (200, {"status": "reset"}, 1)


def test_only_what_needs_the_policy_is_put_off(service: Gr00tHttpService):
    assert isinstance(service.begin(HttpRequest("GET", "/health")), HttpReply)
    for path, infers in (("/act", True), ("/reset", False)):
        job = service.begin(HttpRequest("POST", path))
        assert isinstance(job, HttpJob)
        assert job.infers is infers


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/", 404, "/ is not served; there are /act, /health, /reset"),
        ("POST", "/act/", 404, "/act/ is not served"),
        ("GET", "/act", 405, "/act takes POST, found GET"),
        ("POST", "/health", 405, "/health takes GET, found POST"),
    ],
)
def test_what_is_not_served_is_named(
    service: Gr00tHttpService, method: str, path: str, status: int, text: str
):
    reply = handle(service, method, path)
    assert (reply.status, text in detail(reply)) == (status, True), reply.body


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "secret", "Bearer sécret"])
def test_who_does_not_say_the_token_is_refused_everything(backend: GoldenBackend, header: str):
    service = Gr00tHttpService(Sessions(backend), api_token="secret")
    for method, path in (("GET", "/health"), ("POST", "/act"), ("POST", "/x")):
        reply = handle(service, method, path, authorization=header)
        assert (reply.status, detail(reply)) == (401, "Unauthorized: Invalid API token")
    assert handle(service, "GET", "/health", authorization="Bearer secret").status == 200
    assert backend.seen == []


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "message is not JSON"),
        (b"[]", "the body must be a map with a map observation"),
        (b'{"observation": {}}', "video key 'front' is missing"),
        (b'{"observation": {}, "options": {"stamp_ns": -1}}', "options.stamp_ns must be"),
        (bytes(10_001), "message has 10001 bytes; at most 10000 are allowed"),
    ],
)
def test_a_bad_body_is_answered_with_what_is_wrong(
    service: Gr00tHttpService, body: bytes, text: str
):
    reply = handle(service, "POST", "/act", body=body)
    assert (reply.status, text in detail(reply)) == (400, True), reply.body
    assert act(service).status == 200


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("state.gripper", np.full((1, 1), np.nan), "claw/position is nan"),
        ("state.single_arm", np.zeros((1, 4)), "state key 'single_arm'"),
        ("video.front", np.zeros((1, 3, 4, 3), np.float32), "video key 'front' must be"),
        (INSTRUCTION_KEY, 3, "language key"),
    ],
)
def test_a_bad_value_is_named(service: Gr00tHttpService, key: str, value: Any, text: str):
    reply = act(service, {**OBSERVATION, key: value})
    assert (reply.status, text in detail(reply)) == (400, True), reply.body


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BackendUnavailable("nobody is there"), 503),
        (RemotePolicyError("it is asleep"), 500),
        (ActionError("it must not be"), 500),
    ],
)
def test_the_policys_errors_are_passed_on(
    service: Gr00tHttpService, backend: GoldenBackend, error: Exception, status: int
):
    backend.error = error
    for reply in (act(service), handle(service, "POST", "/reset")):
        assert (reply.status, detail(reply)) == (status, str(error))


def test_faults_of_the_backend_are_not_hidden(service: Gr00tHttpService, backend: GoldenBackend):
    backend.error = ZeroDivisionError("a bug")
    with pytest.raises(ZeroDivisionError):
        act(service)


def test_a_refusal_is_told_and_logged(caplog: pytest.LogCaptureFixture):
    assert detail(refusal(418, "a teapot")) == "a teapot"
    assert "refused a request: 418: a teapot" in caplog.text
