# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.fuzz import fuzz
from test.support.openpi_samples import ACTIONS, POLICY, STATE, TIMING_MS, golden, policy
from vla_ros.core.errors import ConfigError, RemotePolicyError, WireFormatError
from vla_ros.wire.msgpack_tree import pack
from vla_ros.wire.openpi.arrays import encode_array
from vla_ros.wire.openpi.reply import (
    check_metadata,
    decode_answer,
    decode_metadata,
    decode_reset_done,
    encode_answer,
    encode_metadata,
    encode_reset_done,
)

SPEC = policy()
ANSWERS = ("answer", "answer_odd", "answer_array", "answer_by_key")
SEEDS = [golden(name) for name in (*ANSWERS, "metadata", "metadata_odd", "reset_done", "error")]


def answer(**changed: Any) -> bytes:
    return pack({"actions": ACTIONS, "server_timing": TIMING_MS, **changed}, encode_array)


def plain(data: bytes) -> Any:
    try:
        decoded = decode_answer(data, SPEC)
    except WireFormatError:
        metadata = decode_metadata(data)
        decode_reset_done(data)
        return metadata
    return [decoded.actions, decoded.timing_ms]


def test_messages_are_written_as_openpi_does():
    assert encode_answer(ACTIONS, TIMING_MS) == golden("answer")
    assert encode_metadata(SPEC) == golden("metadata")
    assert encode_reset_done() == golden("reset_done")


@pytest.mark.parametrize("name", ANSWERS)
def test_golden_answers_are_read(name: str):
    ours = decode_answer(golden(name), SPEC)

    expected = ACTIONS.astype(np.float64 if name == "answer_odd" else np.float32)
    assert list(ours.actions) == ["arm", "claw"]
    np.testing.assert_array_equal(ours.actions["arm"], expected[:, :5], strict=True)
    np.testing.assert_array_equal(ours.actions["claw"], expected[:, 5:], strict=True)


def test_the_servers_times_are_read():
    assert decode_answer(golden("answer"), SPEC).timing_ms == TIMING_MS
    assert decode_answer(golden("answer_odd"), SPEC).timing_ms == {"infer_ms": 12.5}
    assert decode_answer(golden("answer_array"), SPEC).timing_ms == {}
    assert decode_answer(answer(server_timing={"a": 1}), SPEC).timing_ms == {"a": 1.0}


chunks = nps.arrays(st.sampled_from([np.float32, np.float64]), st.tuples(st.integers(1, 9), st.just(6)))  # fmt: skip  # noqa: E501


@given(chunks, st.dictionaries(st.text(), st.floats(allow_nan=False)))
def test_round_trip(actions: np.ndarray, timing_ms: dict[str, float]):
    ours = decode_answer(encode_answer(actions, timing_ms), SPEC)

    np.testing.assert_array_equal(np.concatenate(list(ours.actions.values()), axis=1), actions)
    assert ours.timing_ms == timing_ms


@pytest.mark.parametrize("message", [golden("error"), "  Traceback\nInternal inference error\n"])
def test_the_servers_own_words_are_passed_on(message: bytes | str):
    for decode in (decode_metadata, decode_reset_done, lambda data: decode_answer(data, SPEC)):
        with pytest.raises(RemotePolicyError, match=r"server says: (Tr.*\n)?Internal inference"):
            decode(message)


def test_of_a_long_error_the_end_is_shown():
    with pytest.raises(RemotePolicyError, match="a" * 8189 + "end$") as error:
        decode_metadata("a" * 100_000 + "end")
    assert len(str(error.value)) < 8300


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (pack("x", encode_array), "an answer must be a map or an array; found str 'x'"),
        (pack({}, encode_array), r"actions must be an array \(H, D\) of numbers; found NoneType"),
        (pack({"arm": ACTIONS}, encode_array), r"actions must be an array .* found NoneType None"),
        (answer(actions=[[1.0]]), r"actions must be .* found list \[\[1\.0\]\]"),
        (answer(actions=STATE), r"actions must be .* found array \(6,\) float32"),
        (answer(actions=np.stack([ACTIONS] * 2)), r"actions must be .* array \(2, 5, 6\)"),
        (answer(actions=ACTIONS > 0), r"actions must be .* found array \(5, 6\) bool"),
        (
            pack({"arm": ACTIONS, "claw": 1}, encode_array),
            r"claw must be an array \(H, D\) of numb",
        ),
        (answer(server_timing=1), "server_timing must be a map of numbers; found int 1"),
        (answer(server_timing={"a": "b"}), "server_timing must be a map of numbers; found dict"),
        (answer(server_timing={"a": True}), "server_timing must be a map of numbers"),
        (b"\xc1", "message is not msgpack"),
    ],
)
def test_what_is_no_answer_is_refused(message: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_answer(message, SPEC)


def test_metadata_is_read_and_checked():
    metadata = decode_metadata(golden("metadata"))
    check_metadata(SPEC, metadata, server="here")
    check_metadata(SPEC, decode_metadata(golden("metadata_odd")), server="here")
    check_metadata(SPEC, {"action_dim": None, "action_horizon": STATE}, server="here")
    other = policy(POLICY.replace("horizon: 5", "horizon: 9"))
    with pytest.raises(ConfigError, match=r"openpi\.yaml: action_horizon is 9; .* here says int 5"):
        check_metadata(other, metadata, server="here")
    with pytest.raises(ConfigError, match="action_dim is 6; the server at here says int 7"):
        check_metadata(SPEC, {"action_dim": 7}, server="here")
    with pytest.raises(WireFormatError, match="metadata must be a map; found array"):
        decode_metadata(golden("answer_array"))


def test_a_reset_that_was_done_is_seen():
    decode_reset_done(golden("reset_done"))
    # As RoboArena's servers say it.
    decode_reset_done("reset successful")
    for message in (pack({"status": "no"}, encode_array), pack({"status": STATE}, encode_array)):
        with pytest.raises(WireFormatError, match="a reset is answered with status 'reset succ"):
            decode_reset_done(message)


def test_long_messages_are_refused():
    for decode in (decode_metadata, decode_reset_done):
        with pytest.raises(WireFormatError, match="at most 9 are allowed"):
            decode(golden("answer"), max_bytes=9)
    with pytest.raises(WireFormatError, match="at most 9 are allowed"):
        decode_answer(golden("answer"), SPEC, max_bytes=9)


def test_changed_messages_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 2000, seed=7) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_changed_messages_are_refused_or_plain():
    assert fuzz(plain, SEEDS, 100_000, seed=8) > 1000


@pytest.mark.parametrize(
    ("timing_ms", "expected_ns"),
    [
        ({"infer_ms": 12.5}, 12_500_000), ({"prev_total_ms": 3.0}, 0), ({}, 0),
        ({"infer_ms": -1.0}, 0), ({"infer_ms": float("nan")}, 0), ({"infer_ms": float("inf")}, 0),
    ],
)  # fmt: skip
def test_the_policys_own_time_is_taken_where_it_makes_sense(
    timing_ms: dict[str, float], expected_ns: int
):
    assert decode_answer(answer(server_timing=timing_ms), SPEC).inference_ns == expected_ns
