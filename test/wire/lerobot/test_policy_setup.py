# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.support.lerobot_samples import golden, setup
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.policy_setup import PolicySetup, decode_policy_setup, encode_policy_setup
from vla_ros.wire.pickle.writer import Global, Instance, write_pickle

CONFIG = Global("lerobot.async_inference.helpers", "RemotePolicyConfig")
FIELDS = {
    "policy_type": "act",
    "pretrained_name_or_path": "someone/policy",
    "lerobot_features": {},
    "actions_per_chunk": 50,
    "device": "cpu",
    "rename_map": {},
}


@pytest.mark.parametrize("protocol", [4, 5])
def test_golden_setups_are_read(protocol: int):
    assert decode_policy_setup(golden(f"policy_setup_{protocol}")) == setup()


def test_what_lerobot_was_seen_to_read_is_written():
    assert encode_policy_setup(setup()) == golden("ours_policy_setup")


@given(st.text(), st.text(), st.integers(1, 2**40), st.dictionaries(st.text(max_size=9), st.text()))
def test_round_trip(policy_type: str, device: str, actions: int, renamed: dict[str, str]):
    setup = PolicySetup(policy_type, "x", {"a": {"shape": (1,)}}, actions, device, renamed)

    assert decode_policy_setup(encode_policy_setup(setup)) == setup


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("policy_type", None),
        ("pretrained_name_or_path", b"x"),
        ("lerobot_features", []),
        ("actions_per_chunk", 0),
        ("actions_per_chunk", 5.0),
        ("device", 0),
        ("rename_map", None),
        ("rename_map", {"a": 1}),
    ],
)
def test_other_setups_are_refused(name: str, value: Any):
    for fields in ({**FIELDS, name: value}, {k: v for k, v in FIELDS.items() if k != name}):
        with pytest.raises(WireFormatError, match=r"setup must be a RemotePolicyConfig of .* dict"):
            decode_policy_setup(write_pickle(Instance(CONFIG, fields)))


def test_other_values_are_refused():
    with pytest.raises(WireFormatError, match=r"setup must be .*; found NoneType None"):
        decode_policy_setup(write_pickle(None))
    with pytest.raises(WireFormatError, match="TimedObservation' is named, which is refused"):
        decode_policy_setup(golden("observation_4"))
    with pytest.raises(WireFormatError, match="at most 9 are allowed"):
        decode_policy_setup(golden("policy_setup_4"), max_bytes=9)
