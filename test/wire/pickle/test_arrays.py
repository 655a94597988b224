# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.pickle.arrays import NUMPY, pickled_array, unpickled
from vla_ros.wire.pickle.reader import read_pickle
from vla_ros.wire.pickle.writer import Call, Global, write_pickle

DTYPE = Global("numpy", "dtype")
NDARRAY = Global("numpy", "ndarray")
BYTE_ORDER = (3, "|", None, None, None, -1, -1, 0)
BYTES = Call(DTYPE, ("u1", False, True), BYTE_ORDER)

dtypes = st.sampled_from(
    ["?", "|u1", "|i1", "<u2", "<i2", "<i4", "<u4", "<i8", "<f2", "<f4", "<f8"]
)
shapes = nps.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)
samples = dtypes.flatmap(lambda dtype: nps.arrays(dtype, shapes))


def read(data: bytes) -> Any:
    return unpickled(read_pickle(data, NUMPY, max_bytes=1 << 20))


def made(of: str, *arguments: Any, state: Any = None, module: str = "multiarray") -> bytes:
    return write_pickle(Call(Global(f"numpy.core.{module}", of), arguments, state))


def reconstructed(*state: Any) -> bytes:
    return made("_reconstruct", NDARRAY, (0,), b"b", state=state)


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.dtype == theirs.dtype and ours.tobytes() == theirs.tobytes()


@given(samples, st.booleans(), st.integers(4, 5))
def test_what_numpy_pickles_is_read(array: np.ndarray, transposed: bool, protocol: int):
    array = array.T if transposed else array

    read_array = read(pickle.dumps(array, protocol))

    assert read_array.shape == array.shape
    assert same(read_array, array)
    assert not read_array.flags.writeable


@given(samples, st.booleans())
def test_numpy_reads_what_is_written(array: np.ndarray, transposed: bool):
    array = array.T if transposed else array

    theirs = pickle.loads(write_pickle(pickled_array(array)))

    assert theirs.shape == array.shape
    assert same(theirs, array)
    assert same(read(write_pickle(pickled_array(array))), array)


@given(samples.filter(lambda array: array.size > 0), st.integers(4, 5))
def test_numbers_are_plain(array: np.ndarray, protocol: int):
    number = array.flat[0]

    ours = read(pickle.dumps(number, protocol))

    assert type(ours) is type(number.item())
    np.testing.assert_equal(ours, number.item())


def test_swapped_bytes_are_sent_in_order_and_not_read():
    swapped = np.array([1, 2], ">u2")

    assert same(pickle.loads(write_pickle(pickled_array(swapped))), np.array([1, 2], "<u2"))
    with pytest.raises(WireFormatError, match="is refused; allowed: little-endian bool, and"):
        read(pickle.dumps(swapped))
    with pytest.raises(WireFormatError, match="dtype str '<>u2' is refused"):
        read(write_pickle(Call(DTYPE, (">u2", False, True))))


def test_other_values_are_left_alone():
    assert read(pickle.dumps(["x", 1])) == ["x", 1]


@pytest.mark.parametrize(
    "array", [np.array([{}]), np.array(["text"]), np.array([1j]), np.zeros(2, "M8[s]")]
)
def test_arrays_of_other_things_are_refused(array: np.ndarray):
    for protocol in (4, 5):
        with pytest.raises(
            WireFormatError, match=r"array: dtype .* is refused; allowed: bool, and"
        ):
            read(pickle.dumps(array, protocol))
    with pytest.raises(WireFormatError, match=r"array: dtype .* is refused; allowed: bool, and"):
        pickled_array(array)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (made("_reconstruct", NDARRAY, (0,), b"b"), "array: it has no shape and no data"),
        (made("_reconstruct", NDARRAY, (10**12,), b"b"), "array: cannot be made of tuple"),
        (made("_reconstruct", DTYPE, (0,), b"b"), "array: cannot be made of tuple"),
        (made("_reconstruct"), r"array: cannot be made of tuple \(\)"),
        (reconstructed(), r"the state must be \(1, shape, dtype, is_fortran, bytes\); found tuple"),
        (reconstructed(1, (2,), BYTES, False, [1, 2]), "the state must be"),
        (reconstructed(1, (3,), BYTES, False, b"ab"), "needs 3 bytes .* found 2 bytes"),
        (reconstructed(1, (2**40,) * 2, BYTES, False, b""), "needs .* bytes"),
        (reconstructed(1, (0, 2**70), BYTES, False, b""), "cannot be"),
        (reconstructed(1, (1,) * 9, BYTES, False, b"a"), "at most 8 dimensions"),
        (reconstructed(1, (-1, -1), BYTES, False, b"a"), "a shape must be integers of 0 or more"),
        (reconstructed(1, (True,), BYTES, False, b"a"), "a shape must be integers of 0 or more"),
        (reconstructed(1, ("1",), BYTES, False, b"a"), "a shape must be integers"),
        (made("_frombuffer", b"ab", BYTES, (3,), "C", module="numeric"), "needs 3 bytes"),
        (made("_frombuffer", b"a", BYTES, (1,), "K", module="numeric"), r"made of \(bytes, dtype"),
        (made("_frombuffer", b"a", BYTES, (1.0,), "C", module="numeric"), "a shape must be"),
        (made("scalar", BYTES, b"ab"), r"shape \(\) of uint8 needs 1 bytes"),
        (made("scalar", BYTES), r"number: it must be made of \(dtype, bytes\)"),
        (write_pickle(Call(DTYPE, ("O", False, True))), "dtype str '<O' is refused"),
        (write_pickle(Call(DTYPE, ("f1", False, True))), "dtype str '<f1' does not exist"),
        (write_pickle(Call(DTYPE, ("f4,O", False, True))), "dtype str '<f4,O' is refused"),
        (write_pickle(Call(DTYPE, ([("a", "O")], False, True))), "dtype of tuple .* is refused"),
        (write_pickle(Call(DTYPE, ("V8", False, True), (3,))), "dtype str '<V8' is refused"),
        (
            write_pickle(Call(DTYPE, ("u1", False, True), (3, "|", None, ("a",), {}, 8, 1, 27))),
            "a dtype with tuple .* is refused",
        ),
        (
            write_pickle(Call(DTYPE, ("u1", False, True), (3, "u", *BYTE_ORDER[2:]))),
            "a dtype with tuple .* is refused",
        ),
    ],
)
def test_what_is_no_array_is_refused(data: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        read(data)
