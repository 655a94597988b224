# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.gr00t_samples import HORIZON, INSTRUCTION_KEY, PAST_POLICY, POLICY, policy
from vla_ros.core.errors import ConfigError, WireFormatError
from vla_ros.wire.gr00t.codec import pack, unpack
from vla_ros.wire.gr00t.modality import (
    ModalityConfig,
    check_modality,
    decode_modality,
    encode_modality,
    modality_of,
)
from vla_ros.wire.gr00t.wires import Gr00tWire

GOLDEN = Path(__file__).parent / "golden"
GIVEN = {
    "video": ModalityConfig((0,), ("front", "wrist")),
    "state": ModalityConfig((0,), ("single_arm", "gripper")),
    "action": ModalityConfig(tuple(range(HORIZON)), ("single_arm", "gripper")),
    "language": ModalityConfig((0,), (INSTRUCTION_KEY,)),
}
CAMERAS = "video: {front: {camera: head}, wrist: {camera: hand}}"


def one(name: str = "video", **changed: Any) -> dict[str, Any]:
    fields = {"delta_indices": [0], "modality_keys": ["front"], **changed}
    return {name: {"__ModalityConfig__": True, "as_json": fields}}


def test_a_policy_tells_its_modalities():
    assert modality_of(policy()) == GIVEN


def test_a_modality_without_keys_is_left_out():
    assert "video" not in modality_of(policy(POLICY.replace(CAMERAS, "video: {}")))


@pytest.mark.parametrize("wire", list(Gr00tWire))
def test_golden_replies(wire: Gr00tWire):
    golden = (GOLDEN / wire.value / "get_modality_config_reply.msgpack").read_bytes()

    assert pack(encode_modality(GIVEN, wire), wire) == golden
    assert decode_modality(unpack(golden).value) == (GIVEN, wire)


def test_one_reply_serves_the_clients_of_n16_and_n17():
    tree = encode_modality(GIVEN, None)

    assert {"__ModalityConfig_class__", "__ModalityConfig__"} < tree["video"].keys()
    assert tree["video"]["as_json"] == encode_modality(GIVEN, Gr00tWire.A6)["video"]["as_json"]
    assert decode_modality(tree) == (GIVEN, Gr00tWire.B)


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        (None, "must give a map of modalities, found NoneType"),
        ({}, "must give a map of modalities, found dict .*nothing tells the server's wire"),
        ([], "must give a map"),
        ({"video": {}}, "modality video: must be a map marked"),
        ({"video": "front"}, "modality video: must be a map marked .* found str 'front'"),
        ({"video": {"__ModalityConfig__": True}}, "modality video: as_json must be a map"),
        ({"video": {"__ModalityConfig__": True, "as_json": "{}"}}, "as_json must be a map"),
        ({"video": {"__ModalityConfig_class__": True, "as_json": "{"}}, "as_json is not JSON"),
        ({"video": {"__ModalityConfig_class__": True, "as_json": "[1]"}}, "as_json must be a map"),
        (
            {"video": {"__ModalityConfig_class__": True, "as_json": "[" * 200_000}},
            "as_json is not JSON",
        ),
        (one(delta_indices=None), "delta_indices must be a list of integers, found NoneType"),
        (one(delta_indices=[0.5]), "delta_indices must be a list of integers"),
        (one(delta_indices=[True]), "delta_indices must be a list of integers"),
        (one(modality_keys="front"), "modality_keys must be a list of strings, found str 'front'"),
        (one(modality_keys=[1]), "modality_keys must be a list of strings"),
        (
            {**one(), **encode_modality({"state": GIVEN["state"]}, Gr00tWire.A5)},
            "gives modalities of wires A5, B at once",
        ),
    ],
)
def test_a_reply_that_says_something_else_is_refused(tree: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_modality(tree)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["__ModalityConfig__", "__ModalityConfig_class__", "as_json", "delta_indices"]
                ),
                inner,
            )
        ),
    )
)
def test_arbitrary_replies_raise_nothing_else(value: Any):
    with contextlib.suppress(WireFormatError):
        decode_modality({"video": value})


def test_fields_that_matter_only_in_training_are_ignored():
    configs = [{"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}]

    decoded, _ = decode_modality(one(action_configs=configs, new_field={"a": 1}))

    assert decoded == {"video": ModalityConfig((0,), ("front",))}


def test_a_server_with_the_same_policy_is_taken():
    check_modality(policy(), GIVEN, server="tcp://x:1")


def test_actions_beyond_those_described_are_taken():
    more = ModalityConfig(GIVEN["action"].delta_indices, ("single_arm", "gripper", "base"))
    check_modality(policy(), {**GIVEN, "action": more}, server="tcp://x:1")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        (
            {"video": ModalityConfig((0,), ("front",))},
            "video keys differ: six_joints_policy.yaml has front, wrist, .* tcp://x:1 has front",
        ),
        ({"video": None}, "video keys differ: .* has none"),
        ({"state": ModalityConfig((0,), ("arm",))}, "state keys differ: .* has arm"),
        ({"language": ModalityConfig((0,), ("task",))}, "language keys differ: .* has task"),
        (
            {"video": ModalityConfig((-15, 0), ("front", "wrist"))},
            r"video delta_indices \[steps\] differ: .* has 0, .* has -15, 0",
        ),
        (
            {"action": ModalityConfig(tuple(range(16)), ("single_arm",))},
            "action keys differ: .* has gripper, single_arm, .* has single_arm",
        ),
        ({"action": None}, "action keys differ: .* has none"),
        (
            {"action": ModalityConfig(tuple(range(40)), ("single_arm", "gripper"))},
            r"action offsets .* has 0, 1, 2, \.\.\., 15 \(16 of them\), .* 39 \(40 of them\)",
        ),
    ],
)
def test_a_server_with_another_policy_is_refused(changed: dict[str, Any], text: str):
    given = {name: item for name, item in {**GIVEN, **changed}.items() if item is not None}

    with pytest.raises(ConfigError, match=text):
        check_modality(policy(), given, server="tcp://x:1")


def test_history_must_be_the_one_described():
    past = policy(PAST_POLICY)
    told = modality_of(past)

    assert told["video"] == ModalityConfig((-15, 0), ("front", "wrist"))
    assert told["state"].delta_indices == told["language"].delta_indices == (0,)
    check_modality(past, told, server="tcp://x:1")
    with pytest.raises(ConfigError, match=r"video delta_indices .* has -15, 0, .* has 0$"):
        check_modality(past, GIVEN, server="tcp://x:1")
    state = ModalityConfig((-1, 0), told["state"].modality_keys)
    with pytest.raises(ConfigError, match=r"state delta_indices .* has 0, .* has -1, 0"):
        check_modality(past, {**told, "state": state}, server="tcp://x:1")


def test_a_policy_without_cameras_needs_none():
    blind = policy(POLICY.replace(CAMERAS, "video: {}"))
    without = {name: item for name, item in GIVEN.items() if name != "video"}

    check_modality(blind, without, server="tcp://x:1")


def test_the_prefix_is_in_wire_a5_alone():
    tree = encode_modality(GIVEN, Gr00tWire.A5)

    assert json.loads(tree["state"]["as_json"])["modality_keys"] == [
        "state.single_arm", "state.gripper",
    ]  # fmt: skip
    assert json.loads(tree["language"]["as_json"])["modality_keys"] == [INSTRUCTION_KEY]
