# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.act_samples import ACTION, ERROR, golden
from test.support.fuzz import fuzz
from vla_ros.core.errors import RemotePolicyError, WireFormatError
from vla_ros.wire.act.reply import DONE, decode_action, decode_done, encode_action, encode_error

PICKLED_BY = [f"numpy{major}_{protocol}" for major in (1, 2) for protocol in (4, 5)]
SEEDS = [
    golden(f"{name}_{by}")
    for name in ("done", "action", "action_double", "error")
    for by in PICKLED_BY
] + [golden(f"ours_{name}") for name in ("done", "action", "error")]


@pytest.mark.parametrize("by", PICKLED_BY)
def test_golden_replies_are_read(by: str):
    for name, theirs in (("action", ACTION), ("action_double", ACTION.astype(np.float64))):
        np.testing.assert_array_equal(decode_action(golden(f"{name}_{by}")), theirs, strict=True)
    decode_done(golden(f"done_{by}"))
    for decode in (decode_action, decode_done):
        with pytest.raises(RemotePolicyError, match=f"^the policy server says: {ERROR}$"):
            decode(golden(f"error_{by}"))


def test_what_python_was_seen_to_read_is_written():
    assert encode_action(ACTION) == golden("ours_action")
    assert encode_error(ERROR) == golden("ours_error")
    assert golden("ours_done") == DONE


def test_python_reads_what_is_written():
    np.testing.assert_equal(pickle.loads(encode_action(ACTION)), {"status": "OK", "action": ACTION})
    assert pickle.loads(encode_error("no")) == {"status": "ERROR", "message": "no"}
    assert pickle.loads(DONE) == {"status": "OK"}


actions = nps.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int64]), st.integers(0, 40)
)


@given(actions, st.integers(3, 5))
def test_round_trip(action: np.ndarray, protocol: int):
    for data in (encode_action(action), pickle.dumps({"status": "OK", "action": action}, protocol)):
        np.testing.assert_array_equal(decode_action(data), action, strict=True)


@given(st.text())
def test_errors_are_passed_on(text: str):
    with pytest.raises(RemotePolicyError) as error:
        decode_action(encode_error(text))
    assert str(error.value) == f"the policy server says: {text}"


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        ({"status": "OK"}, r"action must be an array \(D,\) of numbers; found NoneType None"),
        ({"status": "OK", "action": [1.0]}, r"action must be .* found list \[1\.0\]"),
        ({"status": "OK", "action": ACTION[None]}, r"action must be .* found array \(1, 16\)"),
        ({"status": "OK", "action": ACTION > 0}, r"action must be .* found array \(16,\) bool"),
        ({"status": "BUSY"}, "a reply must be a dict with status 'OK', or with status 'ERROR' and"),
        ({"status": "ERROR"}, r"a reply must be .* found dict"),
        ({"status": "ERROR", "message": 5}, r"a reply must be .* found dict"),
        ({"action": ACTION}, r"a reply must be .* found dict"),
        ("RESET", r"a reply must be .* found str 'RESET'"),
        ({"status": print}, "str 'builtins' str 'print' is named, which is refused"),
    ],
)
def test_what_is_no_reply_is_refused(reply: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_action(pickle.dumps(reply))


def test_a_reset_needs_no_more_than_its_status():
    decode_done(pickle.dumps({"status": "OK", "action": None}))
    with pytest.raises(WireFormatError, match="a reply must be a dict"):
        decode_done(pickle.dumps("OK"))


def test_long_replies_are_refused():
    for decode in (decode_action, decode_done):
        with pytest.raises(WireFormatError, match="at most 9 are allowed"):
            decode(golden("ours_action"), max_bytes=9)


def test_changed_replies_are_refused_or_plain():
    assert fuzz(decode_action, SEEDS, 2000, seed=3) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_changed_replies_are_refused_or_plain():
    assert fuzz(decode_action, SEEDS, 100_000, seed=4) > 1000
