# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import random
import time
import tracemalloc
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.codec import Unpacked, pack, pack_parts, unpack
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.msgpack_tree import MAX_DEPTH, MAX_ENTRIES

GOLDEN = {
    path: path.read_bytes() for path in sorted((Path(__file__).parent / "golden").glob("*/*"))
}

wires = st.sampled_from(list(Gr00tWire))
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    nps.arrays(np.float32, nps.array_shapes(min_side=0, max_side=3)),
    nps.arrays(np.uint8, nps.array_shapes(max_side=3)),
)
# Keys of a map that stand for an array are the wire's own.
keys = st.text(max_size=8).filter(lambda key: key != "__ndarray_class__")
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, np.ndarray):
        equal = bool(np.array_equal(ours, theirs, equal_nan=ours.dtype.kind == "f"))
        return isinstance(theirs, np.ndarray) and ours.dtype == theirs.dtype and equal
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(same, ours, theirs))
    return type(ours) is type(theirs) and ours == theirs


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


@given(trees, wires)
def test_round_trip(tree: Any, wire: Gr00tWire):
    assert same(tree, unpack(pack(tree, wire)).value)


@given(trees)
def test_plain_values_are_packed_as_msgpack_does(tree: Any):
    try:
        expected = msgpack.packb(tree)
    except TypeError:  # It holds an array.
        return
    assert pack(tree, Gr00tWire.B) == expected


@pytest.mark.parametrize(
    ("wire", "npy"), [(Gr00tWire.A5, True), (Gr00tWire.A6, True), (Gr00tWire.B, False)]
)
def test_the_encoding_of_the_arrays_is_told(wire: Gr00tWire, npy: bool):
    assert unpack(pack({"a": [np.zeros(2)]}, wire)).has_npy_arrays is npy
    assert unpack(pack({"a": [1, (2, "b")]}, wire)) == Unpacked({"a": [1, [2, "b"]]}, None)


def test_bytes_are_read():
    assert unpack(b"\xc4\x03abc").value == b"abc"


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_golden_messages_are_reproduced(path: Path):
    wire = Gr00tWire[path.parent.name]

    assert pack(unpack(GOLDEN[path]).value, wire) == GOLDEN[path]


@pytest.mark.parametrize(
    ("tree", "text"),
    [
        ({"a": {1: 2}}, "message.a: key 1 must be a string"),
        ({"a": [b"x"]}, r"message.a\[0\]: bytes cannot be sent; allowed: None, bool"),
        ({"a": np.float32(1)}, "message.a: float32 cannot be sent"),
        ({"a": object()}, "message.a: object cannot be sent"),
        ({"a": np.array([None])}, "message.a: an array of object is refused"),
        ({"a": 2**64}, "message cannot be packed: .*out of range"),
        ({"a": "\ud800"}, "message cannot be packed: .*surrogates"),
    ],
)
def test_what_no_wire_has_is_not_sent(tree: Any, text: str):
    for wire in Gr00tWire:
        with pytest.raises(WireFormatError, match=text):
            pack(tree, wire)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "not msgpack within the limits: .*incomplete"),
        (b"\x82\xa1a", "not msgpack within the limits: .*incomplete"),
        (b"\xc1", "not msgpack within the limits"),
        (b"\xc0\xc0", "not msgpack within the limits: .*extra data"),
        (b"\xa2\xff\xfe", "not msgpack within the limits: .*utf-8"),
        (b"\x81\x01\x02", "not msgpack within the limits: .*map key"),
        (b"\x81\xc4\x01a\x02", r"message: key b'a' must be a string"),
        (b"\x81\xa1a\x81\xc4\x01b\x02", r"message.a: key b'b' must be a string"),
        (b"\xd6\xff" + bytes(4), "not msgpack within the limits: .*ext"),
        (b"\xc7\x00\x05", r"message: ExtType is no part of this wire"),
        (b"\xdd\xff\xff\xff\xff", "not msgpack within the limits"),
        (b"\xdf\xff\xff\xff\xff", "not msgpack within the limits"),
        (b"\xc6\xff\xff\xff\xffabc", "not msgpack within the limits"),
        (b"\xdc\x04\x01" + b"\xc0" * 1025, "not msgpack within the limits: .*1025"),
        (nested(MAX_DEPTH + 1), r"nested more than 16 deep"),
        (nested(100_000), "not msgpack within the limits"),
        (b"ERROR", "wire T, torch pickles.*update the other side"),
        (b"PK\x03\x04 torch.save", "wire T, torch pickles"),
    ],
)
def test_bad_bytes_are_refused(data: bytes, text: str):
    with pytest.raises(WireFormatError, match=f"(?i){text}"):
        unpack(data)


def test_a_message_may_be_as_deep_as_is_allowed():
    assert unpack(nested(MAX_DEPTH)).value


def test_a_view_of_bytes_is_as_good():
    data = pack({"a": np.arange(3.0)}, Gr00tWire.B)

    np.testing.assert_array_equal(unpack(memoryview(data)).value["a"], [0.0, 1.0, 2.0])
    with pytest.raises(WireFormatError, match="wire T"):
        unpack(memoryview(b"ERROR"))


def test_a_long_message_is_refused_before_it_is_read():
    with pytest.raises(WireFormatError, match="message has 101 bytes; at most 100 are allowed"):
        unpack(b"\xc1" * 101, max_bytes=100)


@pytest.mark.parametrize("inner", [b"\x90", b"\x80", b"\x91\x90", b"\x81\xa0\x80"])
def test_a_bomb_of_small_containers_takes_neither_memory_nor_time(inner: bytes):
    row = b"\xdc" + MAX_ENTRIES.to_bytes(2, "big") + inner * MAX_ENTRIES
    bomb = b"\xdc\x04\x00" + row * 1024
    tracemalloc.start()
    started_s = time.perf_counter()

    with pytest.raises(WireFormatError, match="more than 32768 list and map entries"):
        unpack(bomb)

    assert tracemalloc.get_traced_memory()[1] < 16 * 1024 * 1024
    assert time.perf_counter() - started_s < 5.0
    tracemalloc.stop()


def test_a_hundred_megabytes_of_nothing_are_refused():
    with pytest.raises(WireFormatError, match="message has 100000000 bytes; at most 67108864"):
        unpack(bytes(100_000_000))


LARGE = {"image": np.arange(3 * 80 * 80, dtype=np.uint8).reshape(80, 80, 3), "state": np.ones(5)}


@given(trees)
def test_round_trip_in_parts(tree: Any):
    first, rest = pack_parts({"tree": tree, **LARGE})

    read = unpack(first, rest)
    assert same({"tree": tree, **LARGE}, read.value)
    assert read.has_npy_arrays is False
    assert [bytes(part) for part in rest] == [LARGE["image"].tobytes()]


def test_small_arrays_need_no_parts():
    tree = {"a": np.zeros(2000), "b": [1, "x"]}

    assert pack_parts(tree) == (pack(tree, Gr00tWire.B), [])


def test_parts_are_not_copied_and_cannot_be_written_to():
    image = LARGE["image"].copy()
    first, rest = pack_parts({"image": image})
    assert np.shares_memory(np.frombuffer(rest[0], np.uint8), image)

    received = bytearray(rest[0])
    read = unpack(first, [memoryview(received)]).value["image"]
    assert np.shares_memory(read, np.frombuffer(received, np.uint8))
    assert not read.flags.writeable
    np.testing.assert_array_equal(read, image)


def test_an_array_in_another_order_is_sent_in_c_order():
    image = np.asfortranarray(LARGE["image"])

    np.testing.assert_array_equal(unpack(*pack_parts({"image": image})).value["image"], image)


def test_objects_are_no_part():
    with pytest.raises(WireFormatError, match=r"message.a: an array of object is refused"):
        pack_parts({"a": np.full(20_000, None)})


def placeholder(part: Any, **changed: Any) -> bytes:
    fields = {b"nd": True, b"type": "|u1", b"shape": [2, 3], b"part": part}
    return msgpack.packb({"a": {**fields, **{key.encode(): v for key, v in changed.items()}}})


@pytest.mark.parametrize(
    ("data", "parts", "text"),
    [
        (placeholder(0), [], "message.a: part must be one of the 0 that follow; found int 0"),
        (placeholder(1), [bytes(6)], "part must be one of the 1 that follow; found int 1"),
        (placeholder(-1), [bytes(6)], "part must be one of the 1 that follow; found int -1"),
        (placeholder(True), [bytes(6)], "part must be one of the 1 that follow; found bool"),
        (placeholder(None), [bytes(6)], "part must be one of the 1 that follow; found NoneType"),
        (placeholder(0), [bytes(5)], r"shape \(2, 3\) of uint8 needs 6 bytes .* found 5 bytes"),
        (placeholder(0, type="O"), [bytes(6)], "dtype .* is refused"),
        (placeholder(0, kind="O"), [bytes(6)], "an array of objects is refused"),
        (placeholder(0), [bytes(6)] * 3, "3 parts beside it, 1 of which belong to its arrays"),
        (b"\xc0", [b""], "1 parts beside it, 0 of which belong to its arrays"),
        (bytes(60), [bytes(30), bytes(11)], "message has 101 bytes; at most 100 are allowed"),
    ],
)
def test_parts_that_do_not_fit_are_refused(data: bytes, parts: list[bytes], text: str):
    with pytest.raises(WireFormatError, match=text):
        unpack(data, parts, max_bytes=100)


@given(st.data())
def test_mutated_messages_in_parts_raise_nothing_else(data: st.DataObject):
    first, rest = pack_parts({"nested": {"tree": [1, "x"], **LARGE}})
    mutated = bytearray(first)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    parts = data.draw(st.lists(st.sampled_from([*map(bytes, rest), b"", bytes(9)]), max_size=3))
    with contextlib.suppress(WireFormatError):
        unpack(bytes(mutated), parts)


def test_two_arrays_may_be_views_of_one_part():
    both = {key: msgpack.unpackb(placeholder(0))["a"] for key in ("a", "b")}

    read = unpack(msgpack.packb(both), [b"123456"]).value
    assert read["a"].tobytes() == read["b"].tobytes() == b"123456"


def test_parts_of_other_lengths_are_refused():
    rng = random.Random(3)
    first, rest = pack_parts({"a": LARGE["image"], "b": np.zeros(40_000)})

    def cut(parts: Iterable[memoryview]) -> list[bytes]:
        return [bytes(part)[: rng.randrange(len(part))] for part in parts]

    for _ in range(20):
        with pytest.raises(WireFormatError, match=r"needs .* bytes"):
            unpack(first, cut(rest))


@pytest.mark.parametrize("path", sorted(GOLDEN), ids=lambda path: path.name)
def test_a_truncated_message_is_refused_and_says_so(path: Path):
    message = GOLDEN[path]
    for end in {1, len(message) // 2, len(message) - 1}:
        if end < len(message):
            with pytest.raises(WireFormatError, match="not msgpack within the limits"):
                unpack(message[:end])


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_else(data: bytes):
    _unpack_or_refuse(data)


@given(st.sampled_from(list(GOLDEN.values())), st.data())
def test_mutated_messages_raise_nothing_else(message: bytes, data: st.DataObject):
    mutated = bytearray(message)
    for _ in range(data.draw(st.integers(1, 4))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(mutated)))
    _unpack_or_refuse(bytes(mutated[:end] if data.draw(st.booleans()) else mutated))


@given(st.dictionaries(st.sampled_from([b"nd", b"type", b"kind", b"shape", b"data"]), leaves))
def test_forged_numpy_maps_raise_nothing_else(fields: dict[bytes, Any]):
    plain = {
        key: value.tobytes() if isinstance(value, np.ndarray) else value
        for key, value in fields.items()
    }
    _unpack_or_refuse(msgpack.packb(plain))


@given(st.binary(max_size=120))
def test_forged_npy_files_raise_nothing_else(rest: bytes):
    file = b"\x93NUMPY\x01\x00" + rest
    _unpack_or_refuse(msgpack.packb({"__ndarray_class__": True, "as_npy": file}))


def _unpack_or_refuse(data: bytes) -> None:
    with contextlib.suppress(WireFormatError):
        unpack(data)
