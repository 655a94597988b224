# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from test.support.gr00t_samples import (
    INSTRUCTION,
    INSTRUCTION_KEY,
    PAST_POLICY,
    POLICY,
    observation,
    past_observation,
    policy,
)
from vla_ros.core.errors import WireFormatError
from vla_ros.core.policy_io import policy_input
from vla_ros.wire.gr00t.jpeg import JpegQuality
from vla_ros.wire.gr00t.observation import decode_observation, encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

A5, A6, B = Gr00tWire.A5, Gr00tWire.A6, Gr00tWire.B
ARRANGEMENTS = [
    Arrangement(A5, Layout.FLAT, batched=False),
    Arrangement(A5, Layout.FLAT, batched=True),
    Arrangement(A6, Layout.NESTED),
    Arrangement(A6, Layout.FLAT),
    Arrangement(B, Layout.NESTED),
    Arrangement(B, Layout.FLAT),
]
GIVEN = policy_input(policy(), observation())


def flat(wire: Gr00tWire = A5, *, batched: bool = False) -> dict[str, Any]:
    return encode_observation(GIVEN, Arrangement(wire, Layout.FLAT, batched=batched))


def nested() -> dict[str, Any]:
    return encode_observation(GIVEN, Arrangement(B, Layout.NESTED))


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_round_trip(arrangement: Arrangement):
    tree = encode_observation(GIVEN, arrangement)

    decoded, found = decode_observation(tree, policy(), arrangement.wire)

    assert found == arrangement
    assert decoded.language == {INSTRUCTION_KEY: INSTRUCTION}
    for key, image in GIVEN.video.items():
        np.testing.assert_array_equal(decoded.video[key], image)
    for key, values in GIVEN.state.items():
        np.testing.assert_array_equal(decoded.state[key], values)
        assert decoded.state[key].dtype == np.float64


@pytest.mark.parametrize("arrangement", [each for each in ARRANGEMENTS if each.wire is B])
def test_images_may_be_jpeg_files(arrangement: Arrangement):
    given = replace(GIVEN, video={key: np.full((24, 32, 3), 77, np.uint8) for key in GIVEN.video})

    tree = encode_observation(given, arrangement, jpeg=JpegQuality())
    decoded, found = decode_observation(tree, policy(), arrangement.wire)

    assert found == arrangement
    for key, image in given.video.items():
        np.testing.assert_allclose(decoded.video[key], image, atol=2)
    with pytest.raises(WireFormatError, match=r"'wrist': the decoded images would take more"):
        decode_observation(tree, policy(), arrangement.wire, max_bytes=2 * 24 * 32 * 3 - 1)


def test_jpeg_files_of_keys_that_the_policy_does_not_name_are_not_decoded():
    tree = encode_observation(GIVEN, Arrangement(B, Layout.NESTED), jpeg=JpegQuality())
    tree["video"]["more"] = {"__jpeg__": ["no file"], "shape": [1 << 40]}

    assert list(decode_observation(tree, policy(), B)[0].video) == ["front", "wrist"]


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_the_past_is_an_axis(arrangement: Arrangement):
    past = policy(PAST_POLICY)
    given = policy_input(past, past_observation())
    tree = encode_observation(given, arrangement)
    video = tree["video"] if arrangement.layout is Layout.NESTED else {
        key.removeprefix("video."): value for key, value in tree.items()
    }  # fmt: skip
    assert video["front"].shape == ((1, 2, 3, 4, 3) if arrangement.batched else (2, 3, 4, 3))
    # The oldest first.
    np.testing.assert_array_equal(
        video["front"].reshape(2, 3, 4, 3)[0], past_observation().images["head@-15"]
    )

    decoded, found = decode_observation(tree, past, arrangement.wire)

    assert found == arrangement
    np.testing.assert_array_equal(decoded.video["wrist"], given.video["wrist"])
    assert decoded.state["gripper"].shape == (1,)


@pytest.mark.parametrize("moments", [1, 3])
def test_a_past_of_another_length_is_refused(moments: int):
    tree = nested()
    tree["video"]["front"] = np.zeros((1, moments, 3, 4, 3), np.uint8)

    with pytest.raises(
        WireFormatError, match=r"'front' must be .* \(1, 2, H, W, 3\) uint8, .* with 2 moments;"
    ):
        decode_observation(tree, policy(PAST_POLICY), B)


def test_images_are_not_copied():
    tree = nested()
    decoded, _ = decode_observation(tree, policy(), B)

    assert np.shares_memory(tree["video"]["front"], GIVEN.video["front"])
    assert np.shares_memory(decoded.video["front"], GIVEN.video["front"])


def test_state_is_sent_as_float32():
    assert nested()["state"]["single_arm"].dtype == np.float32
    assert nested()["state"]["single_arm"].shape == (1, 1, 5)
    assert flat()["state.single_arm"].shape == (1, 5)


def test_keys_that_the_policy_does_not_name_are_ignored():
    tree = nested()
    tree["video"]["other"] = "no image"
    tree["timestamps"] = 3
    tree["language"]["task"] = 5

    decoded, _ = decode_observation(tree, policy(), B)

    assert list(decoded.video) == ["front", "wrist"]


def test_missing_keys_are_left_out():
    decoded, arrangement = decode_observation({"video": {}}, policy(), B)

    assert (decoded.video, decoded.state, decoded.language) == ({}, {}, {})
    assert arrangement == Arrangement(B, Layout.NESTED)


def test_an_instruction_may_stand_alone_in_a_flat_observation():
    decoded, _ = decode_observation({**flat(), INSTRUCTION_KEY: "go"}, policy(), A5)

    assert decoded.language == {INSTRUCTION_KEY: "go"}


def test_a_key_of_wire_a5_may_be_called_like_a_modality():
    task = policy(
        POLICY.replace(f"instruction_key: {INSTRUCTION_KEY}", "instruction_key: language")
    )

    decoded, found = decode_observation({**flat(), "language": ["go"]}, task, A5)

    assert decoded.language == {"language": "go"}
    assert found.layout is Layout.FLAT


IMAGE = r"video key 'front' must be \(B, T, H, W, C\) = \(1, 1, H, W, 3\) uint8"
STATE = r"state key 'single_arm' must be \(B, T, D\) = \(1, 1, D\) float32 or float64"


@pytest.mark.parametrize(
    ("part", "key", "value", "text"),
    [
        (
            "video",
            "front",
            np.zeros((1, 1, 3, 4, 3), np.float32),
            f"{IMAGE}; found array .*float32",
        ),
        ("video", "front", np.zeros((1, 1, 3, 4, 1), np.uint8), f"{IMAGE}; found .*4, 1\\) uint8"),
        ("video", "front", np.zeros((1, 1, 0, 4, 3), np.uint8), IMAGE),
        ("video", "front", np.zeros((1, 3, 4, 3), np.uint8), IMAGE),
        ("video", "front", np.zeros((2, 1, 3, 4, 3), np.uint8), f"{IMAGE}, one observation"),
        ("video", "front", np.zeros((1, 2, 3, 4, 3), np.uint8), "without history; found"),
        ("video", "front", {"nd": True, "data": "x"}, f"{IMAGE}; found dict"),
        ("state", "single_arm", np.zeros((1, 1, 5), np.int32), f"{STATE}; found .*int32"),
        ("state", "single_arm", np.zeros((1, 5), np.float32), STATE),
        ("state", "single_arm", np.zeros((1, 3, 5), np.float32), f"{STATE}, one observation"),
        ("state", "single_arm", [[[0.0] * 5]], f"{STATE}; found list"),
        ("language", INSTRUCTION_KEY, "go", r"must be \[\[text\]\], one .*; found str 'go'"),
        ("language", INSTRUCTION_KEY, ["go"], r"must be \[\[text\]\]"),
        ("language", INSTRUCTION_KEY, [["go"], ["on"]], r"must be \[\[text\]\]"),
        ("language", INSTRUCTION_KEY, [[3]], r"must be \[\[text\]\]"),
    ],
)
def test_a_bad_value_is_named(part: str, key: str, value: Any, text: str):
    tree = nested()
    tree[part][key] = value

    with pytest.raises(WireFormatError, match=text):
        decode_observation(tree, policy(), B)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("video.front", np.zeros((3, 4, 3), np.uint8), IMAGE),
        ("video.front", np.zeros((2, 3, 4, 3), np.uint8), "without history"),
        ("state.single_arm", np.zeros(5), STATE),
        ("state.single_arm", np.zeros((2, 1, 5)), "one observation at a time"),
        (INSTRUCTION_KEY, ["a", "b"], r"must be \[text\], one observation at a time"),
        (INSTRUCTION_KEY, [["a"]], r"must be \[text\]"),
    ],
)
def test_a_bad_value_of_wire_a5_is_named(key: str, value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_observation({**flat(), key: value}, policy(), A5)


@pytest.mark.parametrize("part", ["video", "state", "language"])
def test_a_part_must_be_a_map(part: str):
    with pytest.raises(WireFormatError, match=f"observation.{part} must be a map; found int"):
        decode_observation({**nested(), part: 3}, policy(), B)
