# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from test.support.asked import CLIENT
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
from vla_ros.core.action_chunk import ChunkTiming
from vla_ros.core.errors import ConfigError, RemotePolicyError, WireFormatError
from vla_ros.core.policy_io import PolicyInput
from vla_ros.serving.asked import Inference, Reset
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.wire.openpi.reply import decode_answer, decode_metadata, decode_reset_done
from vla_ros.wire.openpi.request import encode_observation, encode_reset


@pytest.fixture
def backend() -> GoldenBackend:
    made = GoldenBackend(robot=robot(), policy=policy())
    made.actions = ACTIONS.astype(float)
    return made


@pytest.fixture
def service() -> OpenpiService:
    return OpenpiService(policy(), max_bytes=10_000, now_ns=lambda: 77)


def test_it_says_first_what_it_answers(service: OpenpiService):
    assert decode_metadata(service.greeting) == {
        "name": "six_joints_openpi", "action_horizon": HORIZON, "action_dim": 6,
    }  # fmt: skip


def test_an_observation_is_answered_with_a_chunk(service: OpenpiService, backend: GoldenBackend):
    asked = service.begin(encode_observation(given()), CLIENT)
    assert isinstance(asked, Inference)
    chunk = backend.infer(asked.observation, asked.prefix)
    # How long the policy took is the time between asking it and its answer.
    took = ChunkTiming(sent_ns=5_000_000_000, received_ns=5_012_500_000)
    reply = asked.answer(dataclasses.replace(chunk, timing=took))

    answer = decode_answer(reply, policy())
    np.testing.assert_array_equal(np.hstack(list(answer.actions.values())), ACTIONS)
    assert answer.timing_ms == pytest.approx({"infer_ms": TIMING_MS["infer_ms"]})
    (seen,) = backend.seen
    assert (seen.stamp_ns, seen.instruction) == (77, INSTRUCTION)
    np.testing.assert_equal(dict(seen.images), dict(observation().images))
    np.testing.assert_array_equal(seen.state, observation().state)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_reset_reaches_the_policy(service: OpenpiService, wanted: bool):
    asked = service.begin(encode_reset("x"), CLIENT) if wanted else service.connected()
    assert isinstance(asked, Reset)
    decode_reset_done(asked.done())


def test_what_is_wrong_is_raised(service: OpenpiService):
    with pytest.raises(WireFormatError, match="must be a binary frame"):
        service.begin("hello", CLIENT)
    with pytest.raises(WireFormatError, match="at most 10000"):
        service.begin(bytes(10_001), CLIENT)
    whole = given()
    for part, text in (
        (PolicyInput({}, whole.state, whole.language), "video key"),
        (PolicyInput(whole.video, {ARM: whole.state[ARM]}, whole.language), "state key"),
        (PolicyInput(whole.video, whole.state, {}), f"language key '{PROMPT}' is missing"),
    ):
        with pytest.raises(ConfigError, match=text):
            service.begin(encode_observation(part), CLIENT)


def test_what_the_policy_fails_with_is_said_as_a_text(
    service: OpenpiService, caplog: pytest.LogCaptureFixture
):
    assert service.refuse(RemotePolicyError("the model is tired")) == "the model is tired"
    assert "refused a request: the model is tired" in caplog.text


def test_who_knows_the_token_is_let_in(service: OpenpiService):
    assert service.admits("")
    closed = OpenpiService(policy(), api_token="geheim")
    assert closed.admits("Api-Key geheim")
    for wrong in ("", "geheim", "Api-Key geheim ", "Bearer geheim", "Api-Key ü"):
        assert not closed.admits(wrong)


def test_a_policy_that_sees_the_past_is_refused():
    past = re.sub(r"(camera: \w+)", r"\1, delta_indices: [-5, 0]", POLICY)
    with pytest.raises(ConfigError, match=r"newest images alone; found \[-5, 0\]"):
        OpenpiService(policy(past))
