# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import allowed_dtype, array_bytes, array_view

dtypes = st.sampled_from(["?", "|u1", ">i2", "<i4", "<i8", ">f2", "<f4", "<f8"])
shapes = nps.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4)


@given(dtypes.flatmap(lambda dtype: nps.arrays(dtype, shapes)), st.booleans(), st.binary())
def test_an_array_is_its_bytes(array: np.ndarray, fortran: bool, before: bytes):
    laid_out = array.T if fortran else array
    data = before + bytes(array_bytes(array))

    view = array_view(
        data, len(before), array.dtype, laid_out.shape, "x", order="F" if fortran else "C"
    )

    assert data[len(before) :] == array.tobytes()
    assert view.dtype.isnative
    assert not view.flags.writeable
    np.testing.assert_array_equal(view, laid_out)


def test_bytes_are_seen_in_place():
    array = np.zeros((2, 3), np.float32)
    seen = array_bytes(array)
    array[0, 0] = 1.0

    assert bytes(seen[:4]) == b"\0\0\x80?"


@pytest.mark.parametrize("code", ["<f4", b"<f4", "f4", "=f4", "float32", b"float32"])
def test_a_dtype_has_several_names(code: Any):
    assert allowed_dtype(code, "x") == np.float32


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("O", "dtype str 'O' is refused; allowed: bool, and int"),
        ("f4,f4", "is refused"),
        ("float128", "is refused"),
        ("c8", "is refused"),
        (None, "dtype NoneType None is refused"),
        ("f1", "dtype str 'f1' does not exist; allowed"),
    ],
)
def test_other_dtypes_are_refused(code: Any, text: str):
    with pytest.raises(WireFormatError, match=f"^front: .*{text}"):
        allowed_dtype(code, "front")


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((3,), "needs 12 bytes and at most 8 dimensions, found 8 bytes"),
        ((1,), "needs 4 bytes"),
        ((2**40, 2**40), "needs .* bytes"),
        ((1,) * 8 + (2,), "at most 8 dimensions"),
    ],
)
def test_the_shape_must_fit(shape: tuple[int, ...], text: str):
    with pytest.raises(WireFormatError, match=f"^front: shape .*{text}"):
        array_view(bytes(10), 2, np.dtype("<f4"), shape, "front", order="C")


def test_a_shape_that_cannot_be_is_refused():
    with pytest.raises(WireFormatError, match=r"^front: shape .* cannot be"):
        array_view(b"", 0, np.dtype("<f4"), (0, 2**70), "front", order="C")
