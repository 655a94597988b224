# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from test.support.fuzz import fuzz
from test.support.gr00t_samples import INSTRUCTION
from test.support.openpi_samples import (
    ARM,
    CLAW,
    OUTSIDE,
    PIXELS,
    PROMPT,
    STATE,
    WRIST,
    given,
    golden,
    policy,
)
from vla_ros.core.errors import WireFormatError
from vla_ros.core.policy_io import PolicyInput
from vla_ros.wire.msgpack_tree import pack
from vla_ros.wire.openpi.arrays import encode_array
from vla_ros.wire.openpi.request import decode_request, encode_observation, encode_reset

SEEDS = [golden(name) for name in ("request", "request_session", "reset")]
POLICY = policy()


def packed(**changed: Any) -> bytes:
    whole = {OUTSIDE: PIXELS[0], WRIST: PIXELS[1], ARM: STATE[:5], CLAW: STATE[5:], PROMPT: "go"}
    return pack({**whole, **changed}, encode_array)


def plain(data: bytes) -> Any:
    request = decode_request(data, POLICY)
    return request and [request.video, request.state, request.language]


def test_observations_are_written_as_openpi_does():
    assert encode_observation(given()) == golden("request")
    assert encode_observation(given(), session_id="a1") == golden("request_session")
    assert encode_reset("a1") == golden("reset")


@pytest.mark.parametrize("name", ["request", "request_session"])
def test_golden_observations_are_read(name: str):
    seen = decode_request(golden(name), POLICY)

    assert seen is not None
    np.testing.assert_equal(dict(seen.video), {OUTSIDE: PIXELS[0], WRIST: PIXELS[1]})
    np.testing.assert_equal(dict(seen.state), {ARM: STATE[:5], CLAW: STATE[5:]})
    assert seen.language == {PROMPT: INSTRUCTION}


def test_a_reset_is_read():
    assert decode_request(golden("reset"), POLICY) is None


def test_what_the_policy_does_not_know_is_passed_over():
    seen = decode_request(packed(more=[1], CLAW=2), POLICY)

    assert isinstance(seen, PolicyInput)
    assert [*seen.video, *seen.state, *seen.language] == [OUTSIDE, WRIST, ARM, CLAW, PROMPT]
    nothing = decode_request(pack({}, encode_array), POLICY)
    assert isinstance(nothing, PolicyInput)
    assert (nothing.video, nothing.state, nothing.language) == ({}, {}, {})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("text", "a request must be a binary frame; found the text str 'text'"),
        (pack([1], encode_array), r"a request must be a map; found list \[1\]"),
        (packed(endpoint="kill"), "endpoint must be infer or reset; found str 'kill'"),
        (packed(endpoint=STATE), "endpoint must be infer or reset; found array"),
        (packed(**{OUTSIDE: PIXELS}), r"left' must be an array \(H, W, 3\); found array \(2, 3, 4"),
        (packed(**{WRIST: 1}), r"'observation/wrist_image_left' must be an array \(H, W, 3\)"),
        (packed(**{CLAW: 0.5}), r"'observation/gripper_position' must be an array \(D,\); found f"),
        (packed(**{ARM: STATE[None]}), r"'observation/joint_position' must be an array \(D,\)"),
        (packed(**{PROMPT: ["go"]}), r"'prompt' must be a text; found list \['go'\]"),
    ],
)
def test_what_is_no_request_is_refused(data: bytes | str, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_request(data, POLICY)


def test_a_long_request_is_refused():
    with pytest.raises(WireFormatError, match="at most 99 are allowed"):
        decode_request(golden("request"), POLICY, max_bytes=99)


def test_keys_must_differ():
    twice = dataclasses.replace(given(), language={ARM: "go"})

    with pytest.raises(WireFormatError, match=f"keys of an observation must differ; .*{ARM}"):
        encode_observation(twice)
    with pytest.raises(WireFormatError, match=r"must differ; found .*endpoint, session_id"):
        encode_observation(dataclasses.replace(given(), language={"endpoint": ""}), session_id="a")


def test_changed_requests_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 2000, seed=5) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_changed_requests_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 100_000, seed=6) > 1000
