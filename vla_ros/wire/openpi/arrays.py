# SPDX-License-Identifier: Apache-2.0
"""One numpy array or number as a msgpack map, and back, as openpi-client's msgpack_numpy does.

An array is ``{b"__ndarray__": true, b"data": <bytes>, b"dtype": "<f4", b"shape": [...]}``, a number
``{b"__npgeneric__": true, b"data": 1.5, b"dtype": "<f4"}``. Arrays of Python objects are refused
both ways. Decoded arrays are read-only views of the message. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgpack

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import allowed_dtype, array_bytes, array_view
from vla_ros.wire.msgpack_tree import Array, Parts, bin_header
from vla_ros.wire.shown import shown

_ARRAY, _NUMBER, _DATA = b"__ndarray__", b"__npgeneric__", b"data"
# The map up to where the bytes' own header and the bytes follow.
_START: bytes = b"\x84" + b"".join(msgpack.packb(item) for item in (_ARRAY, True, _DATA))


def encode_array(array: Array, where: str) -> Parts:
    """An array as a map, packed, in parts.

    Args:
        array: Any shape; sent in C order.
        where: Its place in the message, for errors.

    Raises:
        WireFormatError: Its dtype is not allowed.
    """
    code = array.dtype.str
    allowed_dtype(code, where)
    data = array_bytes(array)
    return _START, bin_header(data.nbytes), data, _end(code, array.shape)


def decode_map(value: Mapping[Any, Any], where: str) -> Array | bool | int | float | None:
    """The array or number that a map stands for, or None where it is a plain map.

    Raises:
        WireFormatError: A field is missing or wrong, or the dtype is not allowed.
    """
    if _ARRAY in value:
        data = value.get(_DATA)
        if not isinstance(data, bytes):
            raise WireFormatError(f"{where}: data must be bytes; found {shown(data)}")
        dtype = allowed_dtype(value.get(b"dtype"), where)
        return array_view(data, 0, dtype, _shape(value.get(b"shape"), where), where, order="C")
    if _NUMBER in value:
        number = value.get(_DATA)
        allowed_dtype(value.get(b"dtype"), where)
        if not isinstance(number, (bool, int, float)):
            raise WireFormatError(f"{where}: data must be a number; found {shown(number)}")
        return number
    return None


def _shape(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(size) is int and size >= 0 for size in value):
        raise WireFormatError(
            f"{where}: shape must be a list of integers of 0 or more; found {shown(value)}"
        )
    return tuple(value)


@lru_cache(maxsize=256)
def _end(code: str, shape: tuple[int, ...]) -> bytes:
    return b"".join(msgpack.packb(item) for item in (b"dtype", code, b"shape", shape))
