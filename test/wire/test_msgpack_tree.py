# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.msgpack_tree import (
    MAX_DEPTH,
    MAX_ENTRIES,
    MAX_ENTRIES_IN_ALL,
    Array,
    Parts,
    bin_header,
    pack,
    pack_pieces,
    unpack,
)

trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def encode(array: Array, where: str) -> Parts:
    """An array of bytes as a map with one key."""
    return msgpack.packb({b"at": where})[:-1], b"", array.tobytes()[:1]


def decode(value: Mapping[Any, Any], where: str) -> Any:
    return np.array([1, 2]) if b"array" in value else None


def read(value: Any, max_bytes: int = 1 << 20) -> Any:
    return unpack(msgpack.packb(value), decode, max_bytes=max_bytes)


@given(trees)
def test_what_is_written_is_read_as_msgpack_does(tree: Any):
    assert pack(tree, encode) == msgpack.packb(tree)
    assert read(tree) == tree


def test_tuples_are_lists_and_bytes_are_read():
    assert pack((1, (2,)), encode) == msgpack.packb([1, [2]])
    assert read({"a": b"x"}) == {"a": b"x"}


def test_arrays_are_the_wires_affair():
    assert pack([np.zeros(2, np.uint8)], encode) == b"\x91\x81\xc4\x02at\xaamessage[0]"[:-1] + b"\0"
    np.testing.assert_array_equal(read([{b"array": 1}])[0], [1, 2])


def test_pieces_are_what_is_joined():
    array = np.arange(3, dtype=np.uint8)

    pieces = pack_pieces({"a": [1, array], "b": None}, encode)
    assert b"".join(pieces) == pack({"a": [1, array], "b": None}, encode)
    assert pieces[-3] == b"\0"


@pytest.mark.parametrize("length", [0, 255, 256, 65535, 65536, 1 << 20])
def test_the_header_of_bytes_is_msgpacks(length: int):
    assert msgpack.packb(bytes(length)).startswith(bin_header(length))
    assert len(msgpack.packb(bytes(length))) == len(bin_header(length)) + length


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": {1: 2}}, r"message\.a: key 1 must be a string"),
        ([print], r"message\[0\]: builtin_function_or_method cannot be sent; allowed: None, bool"),
        ([b"x"], r"message\[0\]: bytes cannot be sent"),
        ([np.float32(1)], r"message\[0\]: float32 cannot be sent"),
        ({"a": 1 << 64}, "message cannot be packed: "),
        (["\ud800"], "message cannot be packed: "),
    ],
)
def test_what_cannot_be_sent_is_named(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        pack(value, encode)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xc1", "message is not msgpack within the limits"),
        (b"", "message is not msgpack within the limits"),
        (msgpack.packb([1]) + b"x", "message is not msgpack within the limits"),
        (msgpack.packb({1: 2}), "message is not msgpack within the limits: int is not allowed for"),
        (msgpack.packb({"a": {b"b": 1}}), r"message\.a: key b'b' must be a string"),
        (msgpack.packb(msgpack.ExtType(5, b"")), "message: ExtType is no part of this wire"),
        (msgpack.packb(msgpack.ExtType(5, b"x")), "within the limits: .*max_ext_len"),
        (msgpack.packb([0] * (MAX_ENTRIES + 1)), "within the limits: .*max_array_len"),
        (
            msgpack.packb([[0] * MAX_ENTRIES] * (MAX_ENTRIES_IN_ALL // MAX_ENTRIES)),
            "more than 32768 list and map entries in all",
        ),
        (b"\xdd\xff\xff\xff\xff", "within the limits: .*max_array_len"),
        (b"\xc6\xff\xff\xff\xff", "message is not msgpack within the limits"),
        (msgpack.packb(nested(MAX_DEPTH + 1)), r"message(\[0\]){16}: nested more than 16 deep"),
        (msgpack.packb(nested(600)), "nested more than 16 deep|within the limits"),
        (bytes(2000), "message has 2000 bytes; at most 1999 are allowed"),
    ],
)
def test_what_exceeds_a_limit_is_refused(data: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        unpack(data, decode, max_bytes=len(data) - 1 if len(data) == 2000 else 1 << 20)


def test_what_is_at_the_limits_is_read():
    assert read(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    assert len(read([0] * MAX_ENTRIES)) == MAX_ENTRIES
