# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from test.support import gr00t_samples, openpi_samples
from test.support.golden_backend import GoldenBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, VlaRosError
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Client, Inference
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.ray.asgi_front import AsgiFront, Served
from vla_ros.serving.status_service import Health, Status
from vla_ros.wire.gr00t.json_numpy import decode_json, encode_json
from vla_ros.wire.openpi.reply import decode_answer, decode_metadata
from vla_ros.wire.openpi.request import encode_observation, encode_reset

MAX_BYTES = 100_000
SEEN = gr00t_samples.observation()
ASK = encode_json(
    {
        "observation": {
            "video.front": SEEN.images["head"][None],
            "video.wrist": SEEN.images["hand"][None],
            "state.single_arm": SEEN.state[None, :5],
            "state.gripper": SEEN.state[None, 5:],
            gr00t_samples.INSTRUCTION_KEY: [gr00t_samples.INSTRUCTION],
        }
    }
)
SHOW = encode_observation(openpi_samples.given())
Message = dict[str, Any]


class Near:
    """A policy that is asked as if it were far, and keeps who asked what."""

    def __init__(self, policy: PolicySpec, actions: np.ndarray) -> None:
        self.backend = GoldenBackend(policy=policy)
        self.backend.actions = actions.astype(float)
        self.asked: list[tuple[str, Client]] = []
        self.state = Health("loading")
        self.forgetting: VlaRosError | None = None

    async def infer(self, asked: Inference[Any], client: Client) -> ActionChunk:
        self.asked.append(("infer", client))
        return self.backend.infer(asked.observation, asked.prefix)

    async def reset(self, client: Client) -> None:
        self.asked.append(("reset", client))
        self.backend.reset()

    async def forget(self, client: Client) -> None:
        self.asked.append(("forget", client))
        if self.forgetting is not None:
            raise self.forgetting

    async def look(self) -> None:
        self.state = Health("ready", "golden")

    def served(self, *, openpi: bool = True, api_token: str | None = None) -> Served:
        policy = self.backend.policy
        status = Status(lambda: self.state)
        http = Gr00tHttpService(policy, status, api_token=api_token, max_bytes=MAX_BYTES)
        return Served(self, http, OpenpiService(policy, api_token=api_token) if openpi else None)

    @property
    def verbs(self) -> list[str]:
        return [verb for verb, _ in self.asked]


def arm() -> Near:
    return Near(gr00t_samples.policy(), gr00t_samples.moves())


def claw() -> Near:
    return Near(openpi_samples.policy(), openpi_samples.ACTIONS)


def front(**served: Served) -> AsgiFront:
    return AsgiFront(served, max_bytes=MAX_BYTES)


def run(app: AsgiFront, scope: Message, told: Sequence[Message]) -> list[Message]:
    """What the application says to a server that tells it this, and nothing more."""
    said: list[Message] = []
    messages = iter(told)

    async def receive() -> Message:
        return next(messages)

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"headers": [], "client": ("10.0.0.7", 4242), "root_path": "", **scope}
    asyncio.run(app(scope, receive, send))
    assert next(messages, None) is None, "the application did not read everything"
    return said


def ask(
    app: AsgiFront,
    path: str,
    body: bytes = b"",
    method: str = "POST",
    headers: Message | None = None,
    **scope: Any,
) -> tuple[int, Any]:
    """Status and value of a reply; the body comes in two parts."""
    middle = len(body) // 2
    told = [
        {"type": "http.request", "body": body[:middle], "more_body": True},
        {"type": "http.request", "body": body[middle:]},
    ]
    given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    about = {"type": "http", "method": method, "path": path, "headers": given, **scope}
    start, rest = run(app, about, told)
    assert start["type"] == "http.response.start"
    assert dict(start["headers"])[b"content-length"] == str(len(rest["body"])).encode()
    return start["status"], json.loads(rest["body"])


def talk(
    app: AsgiFront, path: str, *messages: Message, headers: Message | None = None
) -> list[Message]:
    """What the application says on a WebSocket whose client says this and hangs up."""
    given = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    scope = {"type": "websocket", "path": path, "headers": given}
    received = [{"type": "websocket.receive", **message} for message in messages]
    return run(app, scope, [CONNECT, *received])


CONNECT: Message = {"type": "websocket.connect"}
GONE: Message = {"type": "websocket.disconnect", "code": 1001}


def test_an_observation_is_answered_over_http() -> None:
    near = arm()
    status, _ = ask(front(arm=near.served()), "/act", ASK)
    assert status == 200
    assert near.asked == [("infer", Client("gr00t_http", "10.0.0.7:4242"))]


def test_the_actions_are_the_policys() -> None:
    status, value = ask(front(arm=arm().served()), "/act", ASK)
    actions = decode_json(json.dumps(value).encode(), max_bytes=MAX_BYTES)
    assert status == 200
    np.testing.assert_allclose(actions["action.gripper"], gr00t_samples.moves()[:, 5:])


def test_each_policy_is_asked_below_its_name_and_the_first_one_at_the_root() -> None:
    first, second = arm(), arm()
    app = front(first=first.served(), second=second.served())

    assert ask(app, "/reset")[0] == 200
    assert ask(app, "/second/reset")[0] == 200
    assert ask(app, "/second/reset")[0] == 200
    assert ask(app, "/first/reset")[0] == 200
    assert ask(app, "/third/reset")[0] == 404

    assert (first.verbs, second.verbs) == (["reset"] * 2, ["reset"] * 2)


def test_the_prefix_at_which_the_application_is_mounted_is_not_its_own() -> None:
    near = arm()
    app = front(arm=near.served())
    assert ask(app, "/robots/reset", root_path="/robots")[0] == 200
    assert ask(app, "/robots/arm/reset", root_path="/robots/")[0] == 200
    assert near.verbs == ["reset", "reset"]


def test_who_names_a_session_stays_the_same_client() -> None:
    near = arm()
    ask(front(arm=near.served()), "/reset", headers={"x-session-id": "robot 7"})
    assert near.asked == [("reset", Client("gr00t_http", "robot 7"))]


def test_a_server_that_does_not_know_who_asks_is_answered_too() -> None:
    assert ask(front(arm=arm().served()), "/reset", client=None)[0] == 200


@pytest.mark.parametrize("path", ["/health", "/healthz"])
def test_the_policy_is_looked_at_before_its_health_is_told(path: str) -> None:
    status, value = ask(front(arm=arm().served()), path, method="GET")
    assert (status, value["state"], value["detail"]) == (200, "ready", "golden")


@pytest.mark.parametrize(
    ("error", "status"),
    [(BackendUnavailable("no replica"), 503), (RemotePolicyError("it is ill"), 500)],
)
def test_an_error_of_the_policy_is_told(error: VlaRosError, status: int) -> None:
    near = arm()
    near.backend.error = error
    told, value = ask(front(arm=near.served()), "/act", ASK)
    assert (told, value) == (status, {"detail": str(error)})


def test_a_bad_request_does_not_reach_the_policy() -> None:
    near = arm()
    status, value = ask(front(arm=near.served()), "/act", b"{}")
    assert status == 400
    assert "observation" in value["detail"]
    assert near.asked == []


def test_who_does_not_say_the_token_is_not_answered() -> None:
    near = arm()
    app = front(arm=near.served(api_token="s3cret"))
    assert ask(app, "/reset")[0] == 401
    assert ask(app, "/reset", headers={"authorization": "Bearer s3cret"})[0] == 200
    assert near.verbs == ["reset"]


def test_a_body_that_is_too_long_is_not_read_to_its_end() -> None:
    app = front(arm=arm().served())
    scope = {"type": "http", "method": "POST", "path": "/act"}
    part = {"type": "http.request", "body": b"x" * 60_000, "more_body": True}
    start, _ = run(app, scope, [part, part])
    assert start["status"] == 413


def test_a_websocket_is_greeted_reset_and_answered() -> None:
    near = claw()
    app = front(claw=near.served())

    said = talk(app, "/", {"bytes": SHOW}, {"bytes": encode_reset("s")}, GONE)

    assert [message["type"] for message in said] == ["websocket.accept"] + ["websocket.send"] * 3
    greeting, answer, done = (message["bytes"] for message in said[1:])
    assert decode_metadata(greeting, max_bytes=MAX_BYTES)
    decoded = decode_answer(answer, near.backend.policy, max_bytes=MAX_BYTES)
    np.testing.assert_allclose(decoded.actions["arm"], openpi_samples.ACTIONS[:, :5])
    assert done
    assert near.verbs == ["reset", "infer", "reset", "forget"]
    assert len({client for _, client in near.asked}) == 1


def test_an_error_is_a_text_and_the_end() -> None:
    near = claw()
    app = front(claw=near.served())

    said = talk(app, "/claw", {"text": "hello"})

    assert [message["type"] for message in said[2:]] == ["websocket.send", "websocket.close"]
    assert "text" in said[2]
    assert said[3]["code"] == 1011
    assert near.verbs == ["reset", "forget"]


def test_a_policy_that_cannot_be_reset_ends_the_connection_at_once() -> None:
    near = claw()
    near.backend.error = BackendUnavailable("no replica")
    said = talk(front(claw=near.served()), "/")
    assert said[2]["text"] == "no replica"
    assert said[3]["code"] == 1011


def test_a_client_that_is_gone_matters_to_nobody_else() -> None:
    near = claw()
    near.forgetting = BackendUnavailable("its replica is gone too")
    said = talk(front(claw=near.served()), "/", GONE)
    assert len(said) == 2
    assert near.verbs == ["reset", "forget"]


@pytest.mark.parametrize(
    ("path", "headers"), [("/nobody", {"authorization": "Api-Key s3cret"}), ("/", {})]
)
def test_who_is_not_let_in_is_told_before_the_websocket_is_one(path: str, headers: Message) -> None:
    near = claw()
    app = front(claw=near.served(api_token="s3cret"))
    scope = {"type": "websocket", "path": path}
    given = [(name.encode(), value.encode()) for name, value in headers.items()]
    said = run(app, {**scope, "headers": given}, [CONNECT])
    assert said == [{"type": "websocket.close", "code": 1008}]
    assert near.asked == []


def test_a_policy_that_looks_back_has_no_websocket() -> None:
    said = run(front(arm=arm().served(openpi=False)), {"type": "websocket", "path": "/"}, [CONNECT])
    assert said == [{"type": "websocket.close", "code": 1008}]


def test_a_server_hears_that_nothing_is_to_be_started_or_ended() -> None:
    told = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said = run(front(arm=arm().served()), {"type": "lifespan"}, told)
    assert [message["type"] for message in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
