# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from test.support.asked import CLIENT, answer
from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION, INSTRUCTION_KEY, moves, observation, policy
from vla_ros.core.errors import ActionError, BackendUnavailable, RemotePolicyError
from vla_ros.serving.asked import Inference, Reset
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.http_service import HttpReply, HttpRequest
from vla_ros.serving.status_service import Health, Status
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


HEALTH = Health("ready", "golden")
Ask = Callable[..., HttpReply]


@pytest.fixture
def backend() -> GoldenBackend:
    return GoldenBackend()


def made(**options: Any) -> Gr00tHttpService:
    options = {"max_bytes": 10_000, "now_ns": lambda: 77, **options}
    return Gr00tHttpService(policy(), Status(lambda: HEALTH), **options)


@pytest.fixture
def ask(backend: GoldenBackend) -> Ask:
    """Asks a service, and the policy at once."""
    service = made()

    def asked(method: str, path: str, **more: Any) -> HttpReply:
        reply: HttpReply = answer(service, backend, HttpRequest(method, path, **more))
        return reply

    return asked


def act(ask: Ask, observed: Any = OBSERVATION, content_type: str = JSON, **more: Any) -> HttpReply:
    body = encode_tree({"observation": observed, **more}, content_type)
    return ask("POST", "/act", content_type=content_type, body=body)


def detail(reply: HttpReply) -> str:
    value = json.loads(reply.body)
    assert list(value) == ["detail"]
    assert reply.content_type == JSON
    text: str = value["detail"]
    return text


def test_it_says_that_it_is_well(ask: Ask):
    reply = ask("GET", "/health")
    assert (reply.status, json.loads(reply.body)) == (
        200,
        {
            "status": "healthy",
            "model": "six_joints_policy",
            "content_types": [JSON, MSGPACK],
            "state": "ready",
            "detail": "golden",
        },
    )


@each_type
def test_an_observation_is_answered_in_its_own_type(
    ask: Ask, backend: GoldenBackend, content_type: str
):
    reply = act(ask, content_type=content_type)

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


def test_what_curl_can_write_is_taken(ask: Ask, backend: GoldenBackend):
    plain = {**OBSERVATION, "state.single_arm": [[0, 1, 2, 3, 4]], INSTRUCTION_KEY: "go"}
    assert act(ask, plain).status == 200
    np.testing.assert_array_equal(backend.seen[0].state, [0, 1, 2, 3, 4, 0.75])
    assert backend.seen[0].instruction == "go"


def test_who_asks_with_a_batch_is_answered_with_one(ask: Ask):
    batch = {key: value[None] if "." in key[:6] else value for key, value in OBSERVATION.items()}
    reply = act(ask, {**batch, INSTRUCTION_KEY: [INSTRUCTION]})
    assert decode_tree(reply.body, JSON)["action.gripper"].shape == (1, 16, 1)


def test_our_clients_stamp_is_passed_on(ask: Ask, backend: GoldenBackend):
    assert act(ask, options={"stamp_ns": 5, "request_id": 3}).status == 200
    (seen,) = backend.seen
    assert seen.stamp_ns == 5
    assert seen.request is not None
    assert seen.request.request_id == 3


def test_a_reset_reaches_the_backend(ask: Ask, backend: GoldenBackend):
    reply = ask("POST", "/reset", body=b"whatever")
    assert (reply.status, json.loads(reply.body), backend.resets) == (200, {"status": "reset"}, 1)


def test_only_what_needs_the_policy_is_put_off(backend: GoldenBackend):
    service = made()
    body = encode_tree({"observation": OBSERVATION}, JSON)
    assert isinstance(service.begin(HttpRequest("GET", "/health"), CLIENT), HttpReply)
    assert isinstance(service.begin(HttpRequest("POST", "/act", body=body), CLIENT), Inference)
    assert isinstance(service.begin(HttpRequest("POST", "/reset"), CLIENT), Reset)
    assert isinstance(service.begin(HttpRequest("POST", "/act"), CLIENT), HttpReply)


@pytest.mark.parametrize(
    ("method", "path", "status", "text"),
    [
        ("GET", "/", 404, "/ is not served; there are /act, /reset, /health, /metrics, /reload"),
        ("POST", "/act/", 404, "/act/ is not served"),
        ("GET", "/act", 405, "/act takes POST, found GET"),
        ("POST", "/health", 405, "/health takes GET, found POST"),
    ],
)
def test_what_is_not_served_is_named(ask: Ask, method: str, path: str, status: int, text: str):
    reply = ask(method, path)
    assert (reply.status, text in detail(reply)) == (status, True), reply.body


@pytest.mark.parametrize("header", ["", "Bearer ", "Bearer wrong", "secret", "Bearer sécret"])
def test_who_does_not_say_the_token_is_refused_everything(backend: GoldenBackend, header: str):
    service = made(api_token="secret")
    for method, path in (("GET", "/health"), ("POST", "/act"), ("POST", "/x"), ("POST", "/reload")):
        request = HttpRequest(method, path, authorization=header)
        reply = answer(service, backend, request)
        assert (reply.status, detail(reply)) == (401, "Unauthorized: Invalid API token")
    told = service.begin(HttpRequest("GET", "/health", authorization="Bearer secret"), CLIENT)
    assert isinstance(told, HttpReply)
    assert told.status == 200
    assert backend.seen == []


def test_a_reload_is_ordered_by_who_knows_the_token():
    orders: list[str] = []
    status = Status(lambda: HEALTH, reload=lambda: orders.append("reload"))
    closed = Gr00tHttpService(policy(), status, api_token="secret")
    request = HttpRequest("POST", "/reload", authorization="Bearer secret")
    reply = closed.begin(request, CLIENT)
    assert isinstance(reply, HttpReply)
    assert (reply.status, json.loads(reply.body)) == (202, {"status": "reloading"})
    assert orders == ["reload"]
    for token in (None, ""):
        told = Gr00tHttpService(policy(), status, api_token=token).begin(request, CLIENT)
        assert isinstance(told, HttpReply)
        assert (told.status, orders) == (403 if token is None else 401, ["reload"])


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
def test_a_bad_body_is_answered_with_what_is_wrong(ask: Ask, body: bytes, text: str):
    reply = ask("POST", "/act", body=body)
    assert (reply.status, text in detail(reply)) == (400, True), reply.body
    assert act(ask).status == 200


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("state.gripper", np.full((1, 1), np.nan), "claw/position is nan"),
        ("state.single_arm", np.zeros((1, 4)), "state key 'single_arm'"),
        ("video.front", np.zeros((1, 3, 4, 3), np.float32), "video key 'front' must be"),
        (INSTRUCTION_KEY, 3, "language key"),
    ],
)
def test_a_bad_value_is_named(ask: Ask, key: str, value: Any, text: str):
    reply = act(ask, {**OBSERVATION, key: value})
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
    ask: Ask, backend: GoldenBackend, error: Exception, status: int
):
    backend.error = error
    for reply in (act(ask), ask("POST", "/reset")):
        assert (reply.status, detail(reply)) == (status, str(error))
