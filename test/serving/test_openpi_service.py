# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import INSTRUCTION
from test.support.openpi_samples import (
    ACTIONS,
    ARM,
    HORIZON,
    POLICY,
    PROMPT,
    TIMING_MS,
    given,
    observation,
    policy,
    robot,
)
from vla_ros.core.errors import ConfigError, RemotePolicyError, WireFormatError
from vla_ros.core.policy_io import PolicyInput
from vla_ros.serving.openpi_service import RESET_JOB, OpenpiService
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.openpi.reply import decode_answer, decode_metadata, decode_reset_done
from vla_ros.wire.openpi.request import encode_observation, encode_reset


@pytest.fixture
def backend() -> GoldenBackend:
    made = GoldenBackend(robot=robot(), policy=policy())
    made.actions = ACTIONS.astype(float)
    return made


@pytest.fixture
def service(backend: GoldenBackend) -> OpenpiService:
    ticks: Iterator[float] = iter((5.0, 5.0125))
    return OpenpiService(
        Sessions(backend), max_bytes=10_000, now_ns=lambda: 77, now_s=lambda: next(ticks)
    )


def test_it_says_first_what_it_answers(service: OpenpiService):
    assert decode_metadata(service.greeting) == {
        "name": "six_joints_openpi", "action_horizon": HORIZON, "action_dim": 6,
    }  # fmt: skip


def test_an_observation_is_answered_with_a_chunk(service: OpenpiService, backend: GoldenBackend):
    job = service.begin(encode_observation(given()))
    answer = decode_answer(service.finish(job, "a"), policy())

    assert job.infers
    np.testing.assert_array_equal(np.hstack(list(answer.actions.values())), ACTIONS)
    assert answer.timing_ms == pytest.approx({"infer_ms": TIMING_MS["infer_ms"]})
    (seen,) = backend.seen
    assert (seen.stamp_ns, seen.instruction) == (77, INSTRUCTION)
    np.testing.assert_equal(dict(seen.images), dict(observation().images))
    np.testing.assert_array_equal(seen.state, observation().state)


@pytest.mark.parametrize("asked", [True, False])
def test_a_reset_reaches_the_policy(service: OpenpiService, backend: GoldenBackend, asked: bool):
    job = service.begin(encode_reset("x")) if asked else RESET_JOB
    assert not job.infers
    decode_reset_done(service.finish(job, "a"))
    assert backend.resets == 1


def test_what_is_wrong_is_raised(service: OpenpiService, backend: GoldenBackend):
    with pytest.raises(WireFormatError, match="must be a binary frame"):
        service.begin("hello")
    with pytest.raises(WireFormatError, match="at most 10000"):
        service.begin(bytes(10_001))
    whole = given()
    for part, text in (
        (PolicyInput({}, whole.state, whole.language), "video key"),
        (PolicyInput(whole.video, {ARM: whole.state[ARM]}, whole.language), "state key"),
        (PolicyInput(whole.video, whole.state, {}), f"language key '{PROMPT}' is missing"),
    ):
        job = service.begin(encode_observation(part))
        with pytest.raises(ConfigError, match=text):
            service.finish(job, "a")
    backend.error = RemotePolicyError("the model is tired")
    with pytest.raises(RemotePolicyError, match="tired"):
        service.finish(service.begin(encode_observation(whole)), "a")


def test_who_knows_the_token_is_let_in(backend: GoldenBackend, service: OpenpiService):
    assert service.admits("")
    closed = OpenpiService(Sessions(backend), api_token="geheim")
    assert closed.admits("Api-Key geheim")
    for wrong in ("", "geheim", "Api-Key geheim ", "Bearer geheim", "Api-Key ü"):
        assert not closed.admits(wrong)


def test_a_policy_that_sees_the_past_is_refused():
    past = re.sub(r"(camera: \w+)", r"\1, delta_indices: [-5, 0]", POLICY)
    with pytest.raises(ConfigError, match=r"newest images alone; found \[-5, 0\]"):
        OpenpiService(Sessions(GoldenBackend(robot=robot(), policy=policy(past))))
