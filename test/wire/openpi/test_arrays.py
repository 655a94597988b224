# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from test.support.openpi_samples import ACTIONS, STATE, golden
from vla_ros.core.errors import WireFormatError
from vla_ros.wire.msgpack_tree import pack, unpack
from vla_ros.wire.openpi.arrays import decode_map, encode_array

ARRAY = {b"__ndarray__": True, b"data": bytes(8), b"dtype": "<f4", b"shape": [2]}
NUMBER = {b"__npgeneric__": True, b"data": 1.5, b"dtype": "<f4"}
dtypes = st.sampled_from(["?", "|u1", "|i1", "<u2", "<i4", "<i8", "<f2", "<f4", "<f8", ">f4"])
shapes = nps.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)


def read(value: Any) -> Any:
    return unpack(msgpack.packb(value), decode_map, max_bytes=1 << 20)


@given(dtypes.flatmap(lambda dtype: nps.arrays(dtype, shapes)), st.booleans())
def test_round_trip(array: np.ndarray, transposed: bool):
    array = array.T if transposed else array
    native = array.astype(array.dtype.newbyteorder("="))

    ours = unpack(pack(array, encode_array), decode_map, max_bytes=1 << 20)

    assert (ours.shape, ours.dtype) == (native.shape, native.dtype)
    assert ours.tobytes() == native.tobytes()
    assert not ours.flags.writeable


def test_arrays_are_written_as_openpi_does():
    assert pack(ACTIONS[None], encode_array) == golden("answer_array")


def test_arrays_and_numbers_of_openpi_are_read():
    metadata = unpack(golden("metadata_odd"), decode_map, max_bytes=1 << 20)
    answer = unpack(golden("answer_odd"), decode_map, max_bytes=1 << 20)

    assert metadata == {"reset_pose": [0, -1.5, 1.5], "bound": 0.5, "flag": True}
    assert {type(metadata[key]) for key in ("bound", "flag")} == {float, bool}
    np.testing.assert_array_equal(answer["state"], STATE.astype(np.float64), strict=True)
    assert answer["policy_timing"] == {"infer_ms": 11.5}
    np.testing.assert_array_equal(
        unpack(golden("answer_array"), decode_map, max_bytes=1 << 20), ACTIONS[None], strict=True
    )


def test_an_array_is_seen_in_place():
    array = unpack(golden("answer_array"), decode_map, max_bytes=1 << 20)

    assert not array.flags.owndata


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({**ARRAY, b"data": "x"}, r"message: data must be bytes; found str 'x'"),
        ({b"__ndarray__": True}, r"data must be bytes; found NoneType None"),
        ({**ARRAY, b"dtype": "|O"}, r"dtype str '\|O' is refused; allowed: bool, and int"),
        ({**ARRAY, b"dtype": "<c8"}, r"dtype str '<c8' is refused"),
        ({**ARRAY, b"dtype": "V4"}, r"dtype str 'V4' is refused"),
        ({**ARRAY, b"dtype": None}, r"dtype NoneType None is refused"),
        ({**ARRAY, b"shape": [3]}, r"shape \(3,\) of float32 needs 12 bytes .* found 8 bytes"),
        ({**ARRAY, b"shape": [-2, -1]}, r"shape must be a list of integers of 0 or more; found"),
        ({**ARRAY, b"shape": 2}, r"shape must be a list of integers"),
        ({**ARRAY, b"shape": [True, 2]}, r"shape must be a list of integers"),
        ({**ARRAY, b"shape": [2] + [1] * 8}, r"at most 8 dimensions"),
        ({**NUMBER, b"data": "x"}, r"data must be a number; found str 'x'"),
        ({**NUMBER, b"dtype": "<U4"}, r"dtype str '<U4' is refused"),
    ],
)
def test_what_is_no_array_is_refused(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        read(value)
    with pytest.raises(WireFormatError, match=r"message\.a\[0\]: "):
        read({"a": [value]})


def test_dtypes_may_be_bytes():
    np.testing.assert_array_equal(read({**ARRAY, b"dtype": b"<f4"}), np.zeros(2, np.float32))


@pytest.mark.parametrize("array", [np.array([{}]), np.array(["a"]), np.array([1j])])
def test_arrays_of_other_things_cannot_be_sent(array: np.ndarray):
    with pytest.raises(WireFormatError, match=r"message\.a: dtype .* is refused"):
        pack({"a": array}, encode_array)
