# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot import protobuf
from vla_ros.wire.lerobot.protobuf import PartsJoiner, decode_data, encode_data, observation_parts

# As LeRobot 0.4.4's own messages serialize (protobuf 6).
DATA = bytes.fromhex("0a03616263")
BEGIN, MIDDLE, END = (
    bytes.fromhex(text) for text in ("080112026162", "080212026364", "0803120165")
)


def joined(parts: list[bytes], max_bytes: int = 1 << 30) -> bytes | None:
    joiner = PartsJoiner(max_bytes)
    *rest, last = [joiner.add(part) for part in parts]
    assert rest == [None] * len(rest)
    return last


def test_golden_messages(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protobuf, "PART_BYTES", 2)

    assert encode_data(b"abc") == DATA
    assert decode_data(DATA) == b"abc"
    assert list(observation_parts(b"abcde")) == [BEGIN, MIDDLE, END]
    assert joined([BEGIN, MIDDLE, END]) == b"abcde"


def test_nothing_is_an_empty_message():
    assert encode_data(b"") == b""
    assert decode_data(b"") == b""
    assert list(observation_parts(b"")) == []


@pytest.mark.parametrize(
    ("length", "states"), [(1, [3]), (2**21, [3]), (2**21 + 1, [1, 3]), (3 * 2**21, [1, 2, 3])]
)
def test_parts_have_2_mib_and_say_which_is_the_last(length: int, states: list[int]):
    data = bytes(range(256)) * (length // 256) + bytes(length % 256)

    parts = list(observation_parts(data))

    assert [part[1] for part in parts] == states
    assert joined(parts) == data


@given(st.binary(max_size=400))
def test_round_trip(data: bytes):
    assert decode_data(encode_data(data)) == data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protobuf, "PART_BYTES", 7)
        parts = list(observation_parts(data))
    assert len(parts) == -(-len(data) // 7)
    assert not parts or joined(parts) == data


@pytest.mark.parametrize(
    "unknown",
    [
        "1001",  # a number in field 2
        "1a0178",  # bytes in field 3
        "2501020304",  # 4 bytes
        "210102030405060708",  # 8 bytes
        "2b 0a0178 1001 3334 2c",  # group 5 with a field 1 and a group 6 in it
        "f8ffffff0f 7f",  # the last field that can be
    ],
)
def test_unknown_fields_are_passed_over(unknown: str):
    field = bytes.fromhex(unknown)

    assert decode_data(field + DATA + field) == b"abc"
    assert decode_data(field) == b""


def test_of_a_field_that_comes_twice_the_last_counts():
    assert decode_data(DATA + encode_data(b"x")) == b"x"
    assert joined([b"\x08\x01" + END]) == b"e"
    assert joined([END + b"\x12\x01f"]) == b"f"


def test_a_known_field_of_another_kind_is_unknown():
    assert decode_data(b"\x08\x07") == b""
    with pytest.raises(WireFormatError, match="found 0"):
        joined([b"\x0a\x01a"])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("0a04616263", "byte 2: 4 bytes are claimed, 3 are there"),
        ("0affffffffffffffffff01", "byte 11: .* bytes are claimed, 0 are there"),
        ("0a", "byte 1: a number does not end"),
        ("80", "byte 0: a number does not end"),
        ("0affffffffffffffffffffff01", "byte 1: a number does not end"),
        ("25010203", "byte 1: 4 bytes are claimed, 3 are there"),
        ("21010203", "byte 1: 8 bytes are claimed, 3 are there"),
        ("0201", "byte 1: field 0, as number 1 of the message; allowed: 1 to 536870911"),
        ("f8ffffff1f01", "field 1073741823, as number 1"),
        ("0e01", "byte 1: a field of kind 6 cannot be"),
        ("0c", "a field of kind 4 cannot be"),
        ("0b 14", "a field of kind 4 cannot be"),
        ("0b", "group 1 does not end"),
        ("1001" * 1001, "field 2, as number 1001 of the message; .* at most 1000 of them"),
        ("0b" * 1001, "field 1, as number 1001 of the message"),
    ],
)
def test_malformed_messages_are_refused(message: str, text: str):
    for read in (decode_data, PartsJoiner().add):
        with pytest.raises(WireFormatError, match=text):
            read(bytes.fromhex(message))


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b""], r"must be 1 \(BEGIN\), 2 \(MIDDLE\) or 3 \(END\); found 0"),
        ([b"\x08\x04"], "found 4"),
        ([MIDDLE], "MIDDLE of an observation came without a part BEGIN"),
        ([BEGIN, END, MIDDLE], "came without a part BEGIN"),
    ],
)
def test_parts_that_cannot_follow_are_refused(parts: list[bytes], text: str):
    *before, last = parts
    joiner = PartsJoiner()
    for part in before:
        joiner.add(part)
    with pytest.raises(WireFormatError, match=text):
        joiner.add(last)


def test_a_new_beginning_forgets_what_came_before():
    assert joined([BEGIN, MIDDLE, BEGIN, END]) == b"abe"


def test_after_an_error_nothing_is_held():
    joiner = PartsJoiner()
    joiner.add(BEGIN)
    with pytest.raises(WireFormatError):
        joiner.add(b"")
    with pytest.raises(WireFormatError, match="without a part BEGIN"):
        joiner.add(MIDDLE)
    assert joiner.add(END) == b"e"


def test_one_joiner_joins_one_after_another():
    joiner = PartsJoiner()

    assert [joiner.add(part) for part in (BEGIN, END, END, BEGIN, MIDDLE, END)] == [
        None, b"abe", b"e", None, None, b"abcde",
    ]  # fmt: skip


def test_long_ones_are_refused():
    with pytest.raises(WireFormatError, match="message has 5 bytes; at most 4 are allowed"):
        decode_data(DATA, max_bytes=4)
    assert joined([BEGIN, MIDDLE, END], max_bytes=17) == b"abcde"
    with pytest.raises(WireFormatError, match="observation has 3 parts of 17 bytes"):
        joined([BEGIN, MIDDLE, END], max_bytes=16)
    with pytest.raises(WireFormatError, match="observation has 2 parts of 12 bytes"):
        joined([BEGIN, MIDDLE], max_bytes=11)


def test_what_is_unknown_counts_as_it_is_held():
    with pytest.raises(WireFormatError, match="observation has 1 parts of 110 bytes"):
        joined([BEGIN + b"\x1a\x66" + bytes(102)], max_bytes=100)


def test_very_many_parts_are_refused():
    with pytest.raises(WireFormatError, match=r"has 4097 parts of .* at most 4096 of"):
        joined([BEGIN] + [b"\x08\x02"] * 4096)


@given(
    st.binary(max_size=40) | st.text("0123", max_size=40).map(lambda text: bytes(map(int, text)))
)
def test_arbitrary_bytes_raise_nothing_else(message: bytes):
    joiner = PartsJoiner()
    for read in (decode_data, joiner.add, joiner.add):
        with contextlib.suppress(WireFormatError):
            read(message)
