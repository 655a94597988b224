# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.lerobot.torch_storage import read_storage, write_storage
from vla_ros.wire.pickle.writer import Global, Persistent, write_pickle

FLOAT = Global("torch", "FloatStorage")
NUMBERS = np.array([1.0, -2.5], np.float32)


def storage(**changed: Any) -> bytes:
    """A storage of two floats."""
    parts = {
        "magic": 0x1950A86A20F9469CFC6C,
        "version": 1001,
        "machine": {"little_endian": True},
        "id": Persistent(("storage", FLOAT, "7", "cpu", 2, None)),
        "keys": ["7"],
    }
    data = changed.pop("data", (2).to_bytes(8, "little") + NUMBERS.tobytes())
    return b"".join(map(write_pickle, {**parts, **changed}.values())) + data


@given(st.sampled_from(["<f4", "<f8"]).flatmap(lambda dtype: nps.arrays(dtype, st.integers(0, 50))))
def test_round_trip(values: np.ndarray):
    read = read_storage(write_storage(values))

    assert read.dtype == values.dtype
    assert read.tobytes() == values.tobytes()
    assert not read.flags.writeable


@pytest.mark.parametrize("values", [np.zeros(2, np.float16), np.zeros(2, np.int64)])
def test_other_numbers_are_not_sent(values: np.ndarray):
    with pytest.raises(WireFormatError, match="must be float32 or float64; found array"):
        write_storage(values)


@pytest.mark.parametrize(
    ("kind", "dtype", "data", "numbers"),
    [
        ("Float", np.float32, "0000803f000020c0", [1.0, -2.5]),
        ("Double", np.float64, "000000000000f03f00000000000004c0", [1.0, -2.5]),
        ("Half", np.float16, "003c00c1", [1.0, -2.5]),
        ("BFloat16", np.float32, "803f20c0", [1.0, -2.5]),
        ("Long", np.int64, "0100000000000000feffffffffffffff", [1, -2]),
        ("Int", np.int32, "01000000feffffff", [1, -2]),
        ("Short", np.int16, "0100feff", [1, -2]),
        ("Byte", np.uint8, "01fe", [1, 254]),
        ("Bool", np.bool_, "0100", [True, False]),
    ],
)
def test_every_kind_is_read(kind: str, dtype: Any, data: str, numbers: list[Any]):
    name = Persistent(("storage", Global("torch", f"{kind}Storage"), "7", "cuda:0", 2, None))

    values = read_storage(storage(id=name, data=(2).to_bytes(8, "little") + bytes.fromhex(data)))

    assert values.dtype == dtype
    assert values.tolist() == numbers


def name_of(*changed: Any) -> Persistent:
    return Persistent(("storage", FLOAT, "7", "cpu", 2, None)[: 6 - len(changed)] + changed)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"magic": 1}, "must be one storage of torch, little-endian"),
        ({"magic": None}, "must be one storage of torch"),
        ({"version": 1002}, "must be one storage of torch"),
        ({"machine": {"little_endian": False}}, "must be one storage of torch, little-endian"),
        ({"machine": {}}, "little-endian"),
        ({"id": "7"}, "must be one storage"),
        ({"keys": ["8"]}, "must be one storage"),
        ({"keys": ["7", "8"]}, "must be one storage"),
        ({"keys": []}, "must be one storage"),
        ({"id": Persistent(("module", FLOAT))}, "its id must be .* found tuple"),
        ({"id": name_of((0, 1))}, "its id must be"),
        ({"id": name_of("2", None)}, "its id must be"),
        ({"id": name_of(3, None)}, "it names 3 items and has 2"),
        ({"id": name_of(-1, None)}, "it names -1 items and has 2"),
        (
            {"id": Persistent(("storage", Global("torch", "QInt8Storage")))},
            "QInt8Storage.* refused",
        ),
        ({"id": Global("os", "system")}, "is named, which is refused"),
        ({"data": b""}, "it names 2 items and has 0"),
        ({"data": b"\2"}, r"storage: shape \(2,\) of float32 needs 8 bytes .* found -7 bytes"),
        ({"data": (2).to_bytes(8, "little") + bytes(7)}, "found 7 bytes"),
        ({"data": (2).to_bytes(8, "little") + bytes(9)}, "found 9 bytes"),
        ({"keys": ["7"] * 200}, "more than 64 instructions are refused"),
    ],
)
def test_what_is_no_storage_is_refused(changed: dict[str, Any], text: str):
    with pytest.raises(WireFormatError, match=text):
        read_storage(storage(**changed))


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", pickle.dumps(re.compile("x"))])
def test_other_files_of_torch_are_refused(data: bytes):
    with pytest.raises(WireFormatError):
        read_storage(data)


@pytest.mark.parametrize("length", range(0, 140, 7))
def test_a_storage_that_is_cut_short_is_refused(length: int):
    with pytest.raises(WireFormatError):
        read_storage(storage()[:length])
