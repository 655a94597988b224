# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.action import decode_action, encode_action, server_seconds
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

KEYS = ("arm", "claw")
ACTIONS = {"arm": np.arange(8.0).reshape(4, 2), "claw": np.arange(4.0).reshape(4, 1)}
A5 = Arrangement(Gr00tWire.A5, Layout.FLAT, batched=False)
A5_BATCHED = Arrangement(Gr00tWire.A5, Layout.FLAT, batched=True)
B = Arrangement(Gr00tWire.B, Layout.NESTED)
WRAPPED = Arrangement(Gr00tWire.A6, Layout.FLAT)


@pytest.mark.parametrize("arrangement", [A5, A5_BATCHED, B, WRAPPED])
def test_round_trip(arrangement: Arrangement):
    decoded = decode_action(encode_action(ACTIONS, arrangement), arrangement, KEYS)

    assert decoded.keys() == ACTIONS.keys()
    for key, values in ACTIONS.items():
        np.testing.assert_array_equal(decoded[key], values)


def test_the_answer_is_arranged_as_the_observation_was():
    tree = encode_action(ACTIONS, A5)
    assert isinstance(tree, dict)
    assert {key: value.shape for key, value in tree.items()} == {
        "action.arm": (4, 2), "action.claw": (4, 1),
    }  # fmt: skip
    assert tree["action.arm"].dtype == np.float32

    actions, info = encode_action(ACTIONS, B)
    assert {key: value.shape for key, value in actions.items()} == {
        "arm": (1, 4, 2), "claw": (1, 4, 1),
    }  # fmt: skip
    assert info == {}

    actions, _ = encode_action(ACTIONS, WRAPPED)
    assert list(actions) == ["action.arm", "action.claw"]


@pytest.mark.parametrize("arrangement", [B, WRAPPED])
def test_how_long_the_server_took_is_told_beside_the_actions(arrangement: Arrangement):
    tree = encode_action(ACTIONS, arrangement, server_s=0.25)
    assert server_seconds(tree) == 0.25
    assert decode_action(tree, arrangement, KEYS).keys() == ACTIONS.keys()
    assert server_seconds(encode_action(ACTIONS, arrangement)) == 0.0
    assert server_seconds(encode_action(ACTIONS, A5, server_s=0.25)) == 0.0


@pytest.mark.parametrize(
    "info", [None, 3, {"server_s": "1"}, {"server_s": -1.0}, {"server_s": float("nan")}, {"x": 1.0}]
)
def test_what_other_servers_say_there_tells_nothing(info: Any):
    assert server_seconds([{}, info]) == 0.0


def test_the_axis_that_old_servers_drop_is_put_back():
    decoded = decode_action({"action.claw": np.arange(4, dtype=np.float32)}, A5, KEYS)

    np.testing.assert_array_equal(decoded["claw"], [[0], [1], [2], [3]])


def test_keys_that_were_not_asked_for_are_left_out():
    assert decode_action([{"base": "anything"}, {"step": 3}], B, KEYS) == {}


FLOATS = np.zeros((1, 4, 2), np.float32)


@pytest.mark.parametrize(
    ("tree", "arrangement", "text"),
    [
        ({"arm": FLOATS}, B, r"answer must be \[actions, info\]; found dict"),
        ([{"arm": FLOATS}], B, r"answer must be \[actions, info\]; found list"),
        (None, B, r"answer must be \[actions, info\]; found NoneType"),
        ([FLOATS, {}], B, r"actions must be a map; found array \(1, 4, 2\) float32"),
        ([], A5, "actions must be a map; found list"),
        (
            [{"arm": FLOATS[0]}, {}],
            B,
            r"key 'arm' must be \(1, H, D\); found array \(4, 2\)",
        ),
        ([{"arm": np.zeros((2, 4, 2))}, {}], B, r"must be \(1, H, D\); found array \(2, 4, 2\)"),
        ([{"arm": np.zeros(4)}, {}], B, r"must be \(1, H, D\); found array \(4,\)"),
        ({"action.arm": FLOATS}, A5, r"must be \(H, D\); found array \(1, 4, 2\)"),
        ({"action.arm": np.zeros((1, 1, 4, 2))}, A5_BATCHED, r"must be \(1, H, D\); found"),
        ([{"arm": [[0.0]]}, {}], B, r"must be \(1, H, D\) float32 or float64; found list"),
        ([{"arm": np.zeros((1, 4, 2), int)}, {}], B, "float32 or float64; found array .* int64"),
    ],
)
def test_a_bad_answer_is_refused(tree: Any, arrangement: Arrangement, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_action(tree, arrangement, KEYS)
