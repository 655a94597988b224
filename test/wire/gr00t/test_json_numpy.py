# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t.json_numpy import MAX_VALUES, decode_json, encode_json

# As json_numpy writes an array: its bytes, dtype and shape.
GOLDEN = b'{"__numpy__":"AAAAAAAAgD8AAABA","dtype":"<f4","shape":[3]}'


def array(**changed: Any) -> bytes:
    """An array's map with something else in it; None: without."""
    fields = {**json.loads(GOLDEN), **changed}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


def test_an_array_is_written_as_json_numpy_does():
    assert encode_json(np.arange(3, dtype=np.float32)) == GOLDEN


def test_an_array_is_read_as_json_numpy_does():
    read = decode_json(GOLDEN)
    np.testing.assert_array_equal(read, np.arange(3, dtype=np.float32))
    assert read.dtype == np.float32
    assert not read.flags.writeable


@given(
    hnp.arrays(
        st.sampled_from(["|u1", "<i8", "<f4", "<f8", ">f4", "|b1"]), hnp.array_shapes(min_dims=1)
    )
)
def test_arrays_come_back(sent: np.ndarray):
    read = decode_json(encode_json({"x": [sent]}))["x"][0]
    np.testing.assert_array_equal(read, sent)
    assert read.shape == sent.shape
    assert read.dtype == sent.dtype.newbyteorder("=")


def test_what_is_not_in_c_order_comes_back():
    sent = np.arange(24, dtype=np.uint8).reshape(2, 3, 4).transpose(2, 0, 1)[:, ::-1]
    np.testing.assert_array_equal(decode_json(encode_json(sent)), sent)


def test_plain_values_come_back():
    tree = {"a": [1, 2.5, None, True, "é"], "b": {"c": []}}
    assert decode_json(encode_json(tree)) == tree
    assert decode_json(encode_json((1, 2)).decode()) == [1, 2]


@pytest.mark.parametrize("number", [np.float32(1.5), np.int64(3), np.array(2.5), np.bool_(True)])
def test_numbers_of_numpys_come_back_as_plain_ones(number: Any):
    read = decode_json(encode_json(number))
    assert (read, type(read)) == (number.item(), type(number.item()))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"x": b"bytes"}, "bytes cannot be sent"),
        ({"x": np.nan}, "not JSON compliant"),
        (np.array(["a"]), "an array of <U1 is refused; allowed: bool, and int"),
        (np.array([object()]), "an array of object is refused"),
        (np.zeros(1, complex), "an array of complex128 is refused"),
        (np.zeros(1, np.longdouble), "is refused"),
    ],
)
def test_what_cannot_be_sent_is_named(value: Any, text: str):
    with pytest.raises(WireFormatError, match=text):
        encode_json(value)


def test_what_holds_itself_cannot_be_sent():
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(WireFormatError, match="cannot be written as JSON"):
        encode_json(endless)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "message is not JSON"),
        (b"{", "message is not JSON"),
        (b"\xff\xfe\x00", "message is not JSON"),
        (b"[" * 20_000, "message is not JSON"),
        (b"[" * (MAX_VALUES + 1), f"more than {MAX_VALUES} values"),
        (b"[" + b"0," * MAX_VALUES + b"0]", f"more than {MAX_VALUES} values"),
        (array(shape=[4]), r"shape \(4,\) of float32 needs 16 bytes .* found 12 bytes"),
        (array(shape=[2**62, 2**62]), "needs"),
        (array(shape=[0] * 9), "at most 8 dimensions"),
        (array(shape=None), "shape must be a list of integers of 0 or more, found NoneType"),
        (array(shape=3), "shape must be a list"),
        (array(shape=[-3]), "shape must be a list"),
        (array(shape=[True]), "shape must be a list"),
        (array(shape=["3"]), "shape must be a list"),
        (array(dtype=None), "dtype NoneType None is refused"),
        (array(dtype="O"), "dtype str 'O' is refused; allowed: bool, and int"),
        (array(dtype=[["a", "<f4"]]), "dtype list .* is refused"),
        (array(dtype="<f3"), "dtype str '<f3' is refused"),
        (array(__numpy__="AAA"), "must be base64, found str 'AAA'"),
        (array(__numpy__="A*AA"), "must be base64"),
        (array(__numpy__="é"), "must be base64"),
        (array(__numpy__=3), "must be base64, found int 3"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, text: str):
    with pytest.raises(WireFormatError, match=text):
        decode_json(data)


def test_a_message_beyond_the_limit_is_not_read():
    with pytest.raises(WireFormatError, match="message has 12 bytes; at most 11 are allowed"):
        decode_json(b'"0123456789"', max_bytes=11)
    assert decode_json(b'"0123456789"', max_bytes=12) == "0123456789"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes):
    try:
        decode_json(data)
    except WireFormatError:
        return


@given(st.integers(0, len(GOLDEN) - 1), st.integers(0, 255))
def test_a_changed_array_is_read_or_refused(place: int, byte: int):
    changed = bytearray(GOLDEN)
    changed[place] = byte
    try:
        decode_json(bytes(changed))
    except WireFormatError:
        return


def test_images_cost_a_third_more():
    image = np.zeros((480, 640, 3), np.uint8)
    sent = encode_json(image)
    assert len(sent) < 1.34 * image.nbytes
    assert base64.b64decode(json.loads(sent)["__numpy__"]) == image.tobytes()
