# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from typing import Any

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t import arrays
from vla_ros.wire.gr00t.arrays import decode_npy, decode_numpy, encode_npy, encode_numpy

COUNT = np.arange(5, dtype=np.float32).reshape(1, 1, 5)
# Float32 (1, 1, 5) = 0, 1, 2, 3, 4, as NVIDIA's own serializers write it.
DATA_HEX = "00000000 0000803f 00000040 00004040 00008040"
NUMPY_HEX = f"""85 c4026e64 c3 c40474797065 a33c6634 c4046b696e64 c400 c4057368617065 93010105
    c40464617461 c414 {DATA_HEX}"""
NPY_HEX = f"""82 b15f5f6e6461727261795f636c6173735f5f c3 a661735f6e7079 c494
    934e554d5059 0100 7600 7b276465736372273a20273c6634272c2027666f727472616e5f6f72646572273a20
    46616c73652c20277368617065273a2028312c20312c2035292c207d {"20" * 55} 0a {DATA_HEX}"""

shapes = st.one_of(nps.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
dtypes = st.sampled_from(
    ["?", "|u1", "|i1", "<u2", ">i2", "<i4", ">u4", "<i8", "<f2", ">f2", "<f4", ">f4", "<f8"]
)
samples = dtypes.flatmap(lambda dtype: nps.arrays(dtype, shapes))


def npy_map(file: Any) -> dict[str, Any]:
    return {"__ndarray_class__": True, "as_npy": file}


def npy_file(header: str, data: bytes = b"", *, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1")
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def numpy_map(**changed: Any) -> dict[bytes, Any]:
    fields = {"nd": True, "type": "<f4", "kind": b"", "shape": [2], "data": bytes(8), **changed}
    return {key.encode(): value for key, value in fields.items() if value is not ...}


def unpacked(parts: arrays.Parts) -> Any:
    return msgpack.unpackb(b"".join(parts), raw=False, strict_map_key=False)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def test_golden_bytes():
    assert b"".join(encode_npy(COUNT, "x")) == bytes.fromhex(NPY_HEX)
    assert b"".join(encode_numpy(COUNT, "x")) == bytes.fromhex(NUMPY_HEX)


@given(samples)
def test_the_npy_encoding_is_what_numpy_saves(array: np.ndarray):
    assert unpacked(encode_npy(array, "x")) == npy_map(saved(array))


@given(samples)
def test_the_numpy_encoding_is_a_msgpack_map_of_binary_keys(array: np.ndarray):
    assert unpacked(encode_numpy(array, "x")) == {
        b"nd": True,
        b"type": array.dtype.str,
        b"kind": b"",
        b"shape": list(array.shape),
        b"data": array.tobytes(),
    }


@given(samples, st.booleans(), st.booleans())
def test_round_trip(array: np.ndarray, npy: bool, transposed: bool):
    array = array.T if transposed else array
    encode, decode = (encode_npy, decode_npy) if npy else (encode_numpy, decode_numpy)

    decoded = decode(unpacked(encode(array, "x")), "x")

    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == array.dtype.newbyteorder("=")
    assert decoded.dtype.isnative
    np.testing.assert_array_equal(decoded, array)
    assert not decoded.flags.writeable


@pytest.mark.parametrize("size", [0, 255, 256, 65535, 65536, 300_000])
def test_bytes_of_any_length_are_headed_as_msgpack_does(size: int):
    array = np.zeros(size, np.uint8)

    assert unpacked(encode_numpy(array, "x"))[b"data"] == bytes(size)
    assert unpacked(encode_npy(array, "x"))["as_npy"] == saved(array)


def test_a_strided_view_is_sent_as_it_reads():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[::2, ::-1]

    for encode, decode in ((encode_npy, decode_npy), (encode_numpy, decode_numpy)):
        np.testing.assert_array_equal(decode(unpacked(encode(image, "x")), "x"), image)


@pytest.mark.parametrize("encode", [encode_npy, encode_numpy])
@pytest.mark.parametrize(
    "array",
    [
        np.array([{}], dtype=object),
        np.array(["text"]),
        np.array([1j]),
        np.zeros(2, "f4,f4"),
        np.zeros(2, np.longdouble),
        np.zeros(2, "M8[s]"),
    ],
)
def test_arrays_of_other_things_are_not_sent(encode: Any, array: np.ndarray):
    with pytest.raises(WireFormatError, match=r"state\.arm: an array of .* is refused; allowed"):
        encode(array, "state.arm")


def test_a_map_is_recognised_by_its_marker():
    assert arrays.is_npy(npy_map(b""))
    assert not arrays.is_npy(numpy_map())
    assert arrays.is_numpy(numpy_map())
    assert not arrays.is_numpy({"nd": True})


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n"


def test_a_npy_file_may_be_written_without_padding():
    np.testing.assert_array_equal(decode_npy(npy_map(npy_file(HEADER, bytes(8))), "x"), [0, 0])


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (None, "as_npy must be bytes, found NoneType"),
        ("text", "as_npy must be bytes, found str"),
        (b"", r"must be a \.npy file of version 1\.0, found b''"),
        (b"\x93NUMPY\x01\x00\x10", r"must be a \.npy file"),
        (b"\x80\x04\x95pickle", r"must be a \.npy file"),
        (npy_file(HEADER, bytes(8), version=b"\x02\x00"), r"version 1\.0"),
        (npy_file(HEADER)[:40], "claims 58 bytes of a file of 40"),
        (npy_file(" " * 2000), "at most 1024 are allowed"),
        (npy_file("__import__('os').system('true')"), r"\.npy header must be"),
        (npy_file(HEADER.replace("'<f4'", "[('a', '<f4')]")), r"\.npy header must be"),
        (npy_file(HEADER.replace("(2,)", "(-2,)")), r"\.npy header must be"),
        (npy_file("(" * 900), r"\.npy header must be"),
        (npy_file(HEADER.replace("<f4", "|O")), r"dtype str '\|O' is refused"),
        (npy_file(HEADER.replace("<f4", "<f1")), "dtype str '<f1' does not exist"),
        (npy_file(HEADER.replace("(2,)", "(10000000000,)"), bytes(8)), "needs 40000000000 bytes"),
        (npy_file(HEADER, bytes(7)), "needs 8 bytes and at most 8 dimensions, found 7 bytes"),
        (npy_file(HEADER, bytes(9)), "found 9 bytes"),
        (npy_file(HEADER.replace("(2,)", f"({'1, ' * 9})"), bytes(4)), "at most 8 dimensions"),
        (npy_file(HEADER.replace("(2,)", f"(0, {2**70})")), "cannot be"),
    ],
)
def test_a_bad_npy_file_is_refused(file: Any, text: str):
    with pytest.raises(WireFormatError, match=f"^video.front: .*{text}"):
        decode_npy(npy_map(file), "video.front")


@pytest.mark.parametrize(
    "changed",
    [
        {"kind": ...}, {"kind": ""}, {"kind": None}, {"type": b"<f4"}, {"type": "float32"},
        {"type": "f4"}, {"type": b"float32"},
    ],
)  # fmt: skip
def test_what_other_clients_write_is_taken(changed: dict[str, Any]):
    decoded = decode_numpy(numpy_map(**changed), "x")

    assert isinstance(decoded, np.ndarray)
    assert decoded.dtype == np.float32
    assert decoded.shape == (2,)


@pytest.mark.parametrize(
    ("code", "data", "number"),
    [("<f4", bytes.fromhex("0000803f"), 1.0), (">i2", b"\0\7", 7), ("|b1", b"\1", True)],
)
def test_single_numbers_are_numbers(code: str, data: bytes, number: Any):
    decoded = decode_numpy({b"nd": False, b"type": code, b"data": data}, "x")

    assert decoded == number
    assert type(decoded) is type(number)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"kind": b"O"}, "an array of objects is refused"),
        ({"kind": "O"}, "an array of objects is refused"),
        ({"type": "|O"}, r"dtype str '\|O' is refused"),
        ({"type": b"O8"}, "dtype bytes b'O8' is refused"),
        ({"type": [["a", "<f4"]], "kind": b"V"}, "dtype list .* is refused"),
        ({"type": ...}, "dtype NoneType None is refused"),
        ({"type": "f4,f4"}, "is refused"),
        ({"data": "text"}, "data must be bytes, found str"),
        ({"data": ...}, "data must be bytes, found NoneType"),
        ({"nd": 1}, "nd must be true or false, found 1"),
        ({"nd": b"yes"}, "nd must be true or false"),
        ({"shape": ...}, "shape must be a list of integers"),
        ({"shape": 2}, "shape must be a list of integers"),
        ({"shape": [2.0]}, "shape must be a list of integers"),
        ({"shape": [True, 2]}, "shape must be a list of integers"),
        ({"shape": [-1]}, "shape must be a list of integers"),
        ({"shape": [2**40, 2**40]}, "needs .* bytes"),
        ({"shape": [3]}, "needs 12 bytes and at most 8 dimensions, found 8 bytes"),
        ({"shape": [1] * 8 + [2]}, "at most 8 dimensions"),
        ({"shape": [0, 2**70], "data": b""}, "cannot be"),
        ({"nd": False, "data": bytes(8)}, r"shape \(\) of float32 needs 4 bytes"),
    ],
)
def test_a_bad_numpy_map_is_refused(changed: dict[str, Any], text: str):
    with pytest.raises(WireFormatError, match=f"^video.front: .*{text}"):
        decode_numpy(numpy_map(**changed), "video.front")
