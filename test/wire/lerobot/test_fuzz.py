# SPDX-License-Identifier: Apache-2.0
"""Whatever LeRobot's clients and servers are sent is refused, or read as plain values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from test.support.fuzz import fuzz
from test.support.lerobot_samples import golden
from vla_ros.wire.lerobot.actions import decode_actions
from vla_ros.wire.lerobot.features import features_from
from vla_ros.wire.lerobot.observation import decode_observation
from vla_ros.wire.lerobot.policy_setup import decode_policy_setup
from vla_ros.wire.lerobot.protobuf import PartsJoiner, decode_data, encode_data, observation_parts


def setup(message: bytes) -> Any:
    read = decode_policy_setup(decode_data(message))
    features = features_from(read.features)
    told = [read.policy_type, read.checkpoint, read.actions_per_chunk, read.device]
    return [*told, features.state, features.cameras]


def observation(part: bytes) -> Any:
    read = decode_observation(PartsJoiner().add(part) or b"")
    return [read.timestamp, read.timestep, read.values, read.must_go]


def actions(message: bytes) -> Any:
    read = decode_actions(decode_data(message))
    return [read.timestamps, read.timesteps, read.actions]


def messages(*names: str) -> list[bytes]:
    return [encode_data(golden(name)) for name in names]


CASES: list[tuple[Callable[[bytes], Any], list[bytes]]] = [
    (setup, messages("policy_setup_4", "policy_setup_5", "ours_policy_setup")),
    (
        observation,
        [
            part
            for name in ("observation_4", "observation_numpy1_5", "ours_observation")
            for part in observation_parts(golden(name))
        ],
    ),
    (actions, messages("actions_4", "actions_float32", "actions_bfloat16", "ours_actions_float64")),
]
cases = pytest.mark.parametrize(("decode", "seeds"), CASES)


@cases
def test_changed_messages_are_refused_or_plain(decode: Callable[[bytes], Any], seeds: list[bytes]):
    assert fuzz(decode, seeds, 2000, seed=11) > 2


@pytest.mark.slow
@pytest.mark.timeout(900)
@cases
def test_many_changed_messages_are_refused_or_plain(
    decode: Callable[[bytes], Any], seeds: list[bytes]
):
    assert fuzz(decode, seeds, 100_000, seed=12) > 200
