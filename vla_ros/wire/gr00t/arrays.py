# SPDX-License-Identifier: Apache-2.0
"""One numpy array as a msgpack map, and back, in GR00T's two encodings.

``npy`` is ``{"__ndarray_class__": true, "as_npy": <a .npy file>}``; ``msgpack_numpy`` is
``{b"nd": true, b"type": "<f4", b"kind": b"", b"shape": [...], b"data": <bytes>}``. vla_ros alone
speaks a third: msgpack_numpy's map with ``b"part": 0`` instead of the data, which are another part
of the message. Arrays of Python objects are refused both ways, because reading one means
unpickling. Decoded arrays are read-only views of the message. Pure; any thread may call.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgpack
import numpy as np

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import ALLOWED_DTYPES, allowed_dtype, array_bytes, array_view
from vla_ros.wire.msgpack_tree import Array, Parts, bin_header
from vla_ros.wire.shown import shown

_MAX_HEADER_BYTES = 1024
_NPY_KEY = "__ndarray_class__"
_NUMPY_KEY = b"nd"
PART_KEY = b"part"
# The map up to where the bytes' own header and the bytes follow.
_NPY_START: bytes = msgpack.packb({_NPY_KEY: True, "as_npy": b""})[:-2]
_NPY_PREFIX = b"\x93NUMPY\x01\x00"
# What numpy writes. Read by pattern, because numpy's own reader evaluates the text.
_NPY_HEADER = re.compile(
    r"\{'descr': '([^']{1,16})', 'fortran_order': (False|True),"
    r" 'shape': \(((?:\d+, ?)*(?:\d+)?)\), ?\} *\n?"
)


def encode_npy(array: Array, where: str) -> Parts:
    """An array as a map that holds a .npy file.

    Args:
        array: Any shape, C or Fortran order.
        where: Its place in the message, for errors.

    Returns:
        The packed map in parts, so that the array's bytes are copied once, when all is joined.

    Raises:
        WireFormatError: Its dtype is not allowed.
    """
    _check_dtype(array.dtype, where)
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    header = _npy_header(array.dtype.str, fortran, array.shape)
    data = array_bytes(array.T if fortran else array)
    return _NPY_START, bin_header(len(header) + data.nbytes), header, data


def encode_numpy(array: Array, where: str) -> Parts:
    """An array as a msgpack_numpy map.

    Args:
        array: Any shape; sent in C order.
        where: Its place in the message, for errors.

    Returns:
        The packed map in parts, as ``encode_npy``.

    Raises:
        WireFormatError: Its dtype is not allowed.
    """
    _check_dtype(array.dtype, where)
    data = array_bytes(array)
    return _numpy_start(array.dtype.str, array.shape), bin_header(data.nbytes), data


def encode_placeholder(array: Array, where: str, part: int) -> Parts:
    """A msgpack_numpy map without the array's bytes.

    Args:
        array: Any shape; its bytes, in C order, are sent as another part of the message.
        where: Its place in the message, for errors.
        part: Which part that is, from 0 on.

    Raises:
        WireFormatError: Its dtype is not allowed.
    """
    _check_dtype(array.dtype, where)
    fields = {_NUMPY_KEY: True, b"type": array.dtype.str, b"shape": array.shape, PART_KEY: part}
    return (msgpack.packb(fields),)


def is_npy(value: Mapping[Any, Any]) -> bool:
    """Whether a map claims to be an array of the npy encoding."""
    return _NPY_KEY in value


def is_numpy(value: Mapping[Any, Any]) -> bool:
    """Whether a map claims to be an array of the msgpack_numpy encoding."""
    return _NUMPY_KEY in value


def decode_npy(value: Mapping[Any, Any], where: str) -> Array:
    """The array in a map that holds a .npy file.

    Raises:
        WireFormatError: The file is not one, is cut short, or holds a dtype that is not allowed.
    """
    file = value.get("as_npy")
    if not isinstance(file, bytes):
        raise WireFormatError(f"{where}: as_npy must be bytes, found {type(file).__name__}")
    if not file.startswith(_NPY_PREFIX) or len(file) < 10:
        raise WireFormatError(
            f"{where}: as_npy must be a .npy file of version 1.0, found {file[:8]!r}"
        )
    start = 10 + int.from_bytes(file[8:10], "little")
    if not start <= min(len(file), 10 + _MAX_HEADER_BYTES):
        raise WireFormatError(
            f"{where}: the .npy header claims {start - 10} bytes of a file of {len(file)};"
            f" at most {_MAX_HEADER_BYTES} are allowed"
        )
    header = _NPY_HEADER.fullmatch(file[10:start].decode("latin-1"))
    if header is None:
        raise WireFormatError(
            f"{where}: the .npy header must be {{'descr': '<f4', 'fortran_order': False,"
            f" 'shape': (1, 2), }} in this form, found {file[10 : min(start, 90)]!r}"
        )
    dtype = allowed_dtype(header[1], where)
    shape = tuple(int(size) for size in header[3].split(",") if size.strip())
    return array_view(file, start, dtype, shape, where, order="F" if header[2] == "True" else "C")


def decode_numpy(
    value: Mapping[Any, Any], where: str, parts: Sequence[memoryview] = ()
) -> Array | bool | int | float:
    """The array, or the single number, in a msgpack_numpy map.

    As GR00T's server does, this takes ``type`` as text or bytes, by code or by name, and any
    ``kind`` but the object one.

    Args:
        value: The map.
        where: Its place in the message, for errors.
        parts: The other parts of the message.

    Raises:
        WireFormatError: A field is missing or wrong, or the dtype is not allowed.
    """
    if value.get(b"kind") in (b"O", "O"):
        raise WireFormatError(f"{where}: an array of objects is refused; allowed: {ALLOWED_DTYPES}")
    data = _part(value, where, parts) if PART_KEY in value else value.get(b"data")
    if not isinstance(data, (bytes, memoryview)):
        raise WireFormatError(f"{where}: data must be bytes, found {type(data).__name__}")
    dtype = allowed_dtype(value.get(b"type"), where)
    if value[_NUMPY_KEY] is True:
        return array_view(data, 0, dtype, _shape(value.get(b"shape"), where), where, order="C")
    if value[_NUMPY_KEY] is False:
        number: bool | int | float = array_view(data, 0, dtype, (), where, order="C").item()
        return number
    raise WireFormatError(f"{where}: nd must be true or false, found {value[_NUMPY_KEY]!r}")


def _part(value: Mapping[Any, Any], where: str, parts: Sequence[memoryview]) -> memoryview:
    part = value[PART_KEY]
    if type(part) is not int or not 0 <= part < len(parts):
        raise WireFormatError(
            f"{where}: part must be one of the {len(parts)} that follow; found {shown(part)}"
        )
    return parts[part]


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        raise WireFormatError(
            f"{where}: shape must be a list of integers of 0 or more, found {shown(value)}"
        )
    return tuple(value)


def _check_dtype(dtype: np.dtype[Any], where: str) -> None:
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise WireFormatError(f"{where}: an array of {dtype} is refused; allowed: {ALLOWED_DTYPES}")


@lru_cache(maxsize=256)
def _npy_header(descr: str, fortran_order: bool, shape: tuple[int, ...]) -> bytes:  # noqa: FBT001
    file = io.BytesIO()
    fields = {"descr": descr, "fortran_order": fortran_order, "shape": shape}
    np.lib.format.write_array_header_1_0(file, fields)
    return file.getvalue()


@lru_cache(maxsize=256)
def _numpy_start(descr: str, shape: tuple[int, ...]) -> bytes:
    fields = {_NUMPY_KEY: True, b"type": descr, b"kind": b"", b"shape": shape, b"data": b""}
    start: bytes = msgpack.packb(fields)[:-2]
    return start
