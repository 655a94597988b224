# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from test.support.gr00t_samples import STAMP_NS, observation
from vla_ros.core.errors import WireFormatError
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.wire.gr00t.codec import pack, unpack
from vla_ros.wire.gr00t.options import Options, decode_options, encode_options
from vla_ros.wire.gr00t.wires import Gr00tWire

NOW_NS = 9_000_000_000
REQUEST = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=True)
PREFIX = Prefix(("a", "b"), np.array([[0.5, 1.0], [1.5, 2.0], [2.5, 3.0]]), 0.25, 8)


def test_what_is_sent():
    options = encode_options(observation(request=REQUEST), PREFIX, now_ns=NOW_NS)

    assert {key: value for key, value in options.items() if key != "prefix"} == {
        "stamp_ns": STAMP_NS, "request_id": 7, "epoch": 2, "inference_delay_s": 0.25,
        "execution_horizon": 8,
    }  # fmt: skip
    assert encode_options(observation(), None, now_ns=NOW_NS) == {"stamp_ns": STAMP_NS}


@pytest.mark.parametrize("wire", [Gr00tWire.A6, Gr00tWire.B])
def test_round_trip(wire: Gr00tWire):
    sent = encode_options(observation(request=REQUEST), PREFIX, now_ns=NOW_NS)

    options = decode_options(unpack(pack(sent, wire)).value)

    assert options.stamp_ns == STAMP_NS
    assert options.request == ObservationRequest(
        request_id=7, epoch=2, stamp_ns=STAMP_NS, must_go=False
    )
    assert options.prefix is not None
    assert options.prefix.names == PREFIX.names
    assert (options.prefix.inference_delay_s, options.prefix.execution_horizon) == (0.25, 8)
    np.testing.assert_array_equal(options.prefix.actions, PREFIX.actions)


@pytest.mark.parametrize("tree", [None, {}, {"episode_index": 3}, {"request_id": 4, "epoch": "x"}])
def test_nothing_of_ours_is_nothing(tree: Any):
    assert decode_options(tree) == Options()


@pytest.mark.parametrize(
    ("runs_out_ns", "seconds"),
    [
        (NOW_NS + 250_000_000, 0.25),
        (NOW_NS, 0.0),
        (NOW_NS - 5, 0.0),
        (NOW_NS + 90_000_000_000, 60.0),
    ],
)
def test_for_how_long_the_robot_has_something_to_execute(runs_out_ns: int, seconds: float):
    request = dataclasses.replace(REQUEST, runs_out_ns=runs_out_ns)

    sent = encode_options(observation(request=request), None, now_ns=NOW_NS)

    assert sent["runs_out_in_s"] == pytest.approx(seconds)
    options = decode_options(unpack(pack(sent, Gr00tWire.B)).value)
    assert options.runs_out_in_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("told", "seconds"), [(None, None), (3, 3.0), (-1.5, 0.0), (1e9, 60.0), (10**400, 60.0)]
)
def test_what_others_tell_of_that_is_brought_into_its_range(told: Any, seconds: float | None):
    assert decode_options({"runs_out_in_s": told}).runs_out_in_s == seconds


def test_the_epoch_may_be_missing():
    assert decode_options({"stamp_ns": 9, "request_id": 3}).request == ObservationRequest(
        request_id=3, epoch=0, stamp_ns=9, must_go=False
    )


PREFIX_TEXT = (
    r"options.prefix must be a map of names \(D,\) and actions \(P, D\) of finite floats; found"
)


def prefix(**changed: Any) -> dict[str, Any]:
    return {"prefix": {"names": ["a"], "actions": np.zeros((2, 1)), **changed}}


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (3, "options must be a map or nil; found int 3"),
        ({"stamp_ns": -1}, "options.stamp_ns must be an integer of 0 to .*; found int -1"),
        ({"stamp_ns": 1.5}, "options.stamp_ns must be an integer"),
        ({"stamp_ns": 2**63}, "options.stamp_ns must be an integer"),
        ({"stamp_ns": 1, "request_id": True}, "options.request_id must be an integer"),
        ({"stamp_ns": 1, "request_id": 1, "epoch": None}, "options.epoch must be an integer"),
        ({"prefix": [1]}, PREFIX_TEXT),
        (prefix(names="a"), PREFIX_TEXT),
        (prefix(names=[3]), PREFIX_TEXT),
        (prefix(names=["a", "b"]), PREFIX_TEXT),
        (prefix(actions=[[0.0]]), PREFIX_TEXT),
        (prefix(actions=np.zeros((), np.float32)), PREFIX_TEXT),
        (prefix(actions=np.zeros((2, 1), np.int32)), PREFIX_TEXT),
        (prefix(actions=np.full((2, 1), np.nan)), PREFIX_TEXT),
        (
            {**prefix(), "inference_delay_s": -1.0},
            "options.inference_delay_s must be 0 to 60; found",
        ),
        ({"runs_out_in_s": "soon"}, "options.runs_out_in_s must be a finite number; found str"),
        ({"runs_out_in_s": True}, "options.runs_out_in_s must be a finite number; found bool"),
        ({"runs_out_in_s": float("nan")}, "options.runs_out_in_s must be a finite number"),
        ({"runs_out_in_s": float("inf")}, "options.runs_out_in_s must be a finite number"),
        ({**prefix(), "inference_delay_s": "soon"}, "inference_delay_s must be .* found str"),
        ({**prefix(), "execution_horizon": 1.0}, "options.execution_horizon must be an integer"),
    ],
)
def test_bad_options_are_refused(tree: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_options(tree)
