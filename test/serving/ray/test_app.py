# SPDX-License-Identifier: Apache-2.0
"""With the real Ray's errors, but none that runs; run by ``make test-ray``. See ``test/peers``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.core.helpers import POLICY
from test.core.refusals import changed, refused
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.serving.asked import Client, Inference
from vla_ros.serving.ray.options import read_options

pytestmark = pytest.mark.peer
_REASON = "no Ray here; make test-ray installs it"
exceptions = pytest.importorskip("ray.exceptions", reason=_REASON)
serving = pytest.importorskip("ray.serve.exceptions", reason=_REASON)
ray_app = pytest.importorskip("vla_ros.serving.ray.app", reason=_REASON)

ROBOT = Client("any", "robot 7")
CHUNK = ActionChunk(0, 1, ("a",), np.zeros((1, 1)))
SEEN = Observation(1, "lift", {}, (), np.zeros(0))
PREFIX = Prefix(("a",), np.zeros((1, 1)), 0.1, 0)


class Handle:
    """Stands in for a deployment's handle: keeps what was sent, and answers as told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.sent: list[tuple[Any, ...]] = []
        self.chosen: dict[str, str] = {}

    def options(self, **chosen: str) -> Handle:
        self.chosen = chosen
        return self

    async def remote(self, *given: Any) -> Any:
        self.sent.append(given)
        if isinstance(self.answer, Exception) and not isinstance(self.answer, RemotePolicyError):
            raise self.answer
        if self.answer is ...:
            await asyncio.Event().wait()
        return self.answer


def infer(handle: Handle) -> ActionChunk:
    policy = ray_app.Replicas(handle, "arm")
    asked: Inference[None] = Inference(SEEN, lambda _: None, prefix=PREFIX)
    return asyncio.run(policy.infer(asked, ROBOT))


def test_a_question_goes_to_the_session_and_the_policy_that_are_meant() -> None:
    handle = Handle(CHUNK)

    assert infer(handle) is CHUNK

    [(question,)] = handle.sent
    assert (question.client, question.observation, question.prefix) == (ROBOT, SEEN, PREFIX)
    assert handle.chosen == {
        "method_name": "infer",
        "multiplexed_model_id": "arm",
        "session_id": "robot 7",
    }


@pytest.mark.parametrize("verb", ["reset", "forget"])
def test_a_client_is_reset_and_forgotten_where_it_is_known(verb: str) -> None:
    handle = Handle(None)
    asyncio.run(getattr(ray_app.Replicas(handle, "arm"), verb)(ROBOT))
    assert handle.sent == [(ROBOT,)]
    assert (handle.chosen["method_name"], handle.chosen["session_id"]) == (verb, "robot 7")


def test_what_the_policy_says_is_raised() -> None:
    with refused(RemotePolicyError, "it is ill"):
        infer(Handle(RemotePolicyError("it is ill")))


def test_what_fails_in_a_replica_is_told_without_its_traceback() -> None:
    cause = ZeroDivisionError("oh")
    error = exceptions.RayTaskError("infer", "Traceback: a long story", cause)
    with refused(RemotePolicyError, "the replica failed: oh"):
        infer(Handle(error.as_instanceof_cause()))


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ActorDiedError(),
        exceptions.ActorUnavailableError("away", None),
        serving.BackPressureError(num_queued_requests=9, max_queued_requests=8),
    ],
)
def test_a_replica_that_is_gone_or_full_may_be_asked_again(error: Exception) -> None:
    with refused(BackendUnavailable, "no replica answered"):
        infer(Handle(error))


@pytest.mark.parametrize(
    ("answer", "state", "detail"),
    [
        ("scripted", "ready", "scripted"),
        (exceptions.ActorDiedError(), "failed", "no replica answered"),
        (..., "failed", "no replica answered within 0.01 s"),
    ],
)
def test_health_is_what_was_seen_last(
    monkeypatch: pytest.MonkeyPatch, answer: Any, state: str, detail: str
) -> None:
    monkeypatch.setattr(ray_app, "_LOOK_S", 0.01)
    policy = ray_app.Replicas(Handle(answer), "arm")
    assert policy.health().state == "loading"

    asyncio.run(policy.look())

    assert policy.health().state == state
    assert detail in policy.health().detail


def test_each_policy_is_served_in_the_protocols_that_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "now.yaml").write_text(POLICY)
    past = changed(POLICY, "{camera: left}", "{camera: left, delta_indices: [-20, 0]}")
    (tmp_path / "back.yaml").write_text(past)
    given = {
        name: {"robot": "any", "policy": str(tmp_path / f"{name}.yaml")} for name in ("now", "back")
    }
    options = read_options({"policies": given})
    monkeypatch.setenv("VLA_ROS_API_TOKEN", "s3cret")

    front = ray_app.front(options, Handle(CHUNK))

    now, back = front.served.values()
    assert now.openpi.admits("Api-Key s3cret")
    assert not now.openpi.admits("")
    # It looks at past frames, which openpi's clients do not show.
    assert back.openpi is None


def test_the_application_has_a_front_and_a_policy() -> None:
    args = {"policies": {"so101_scripted": {"robot": "so101_sim"}}}
    application = ray_app.build(args)
    bound = application._bound_deployment
    assert bound.name == "Front"
    [policy] = [each._bound_deployment.name for each in bound.init_args]
    assert policy == "Policy"


def test_wrong_arguments_are_refused() -> None:
    with refused(ConfigError, "args: unknown parameter 'replicas'"):
        ray_app.build({"policies": {"so101_scripted": {"robot": "so101_sim"}}, "replicas": 2})


def test_where_the_metrics_are_is_told() -> None:
    assert ray_app.RaysOwn().render("ready").startswith(b"# ")
