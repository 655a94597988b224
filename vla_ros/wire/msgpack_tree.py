# SPDX-License-Identifier: Apache-2.0
"""A tree of plain values and arrays as msgpack bytes, and back, within limits.

How an array is told is the wire's affair: in all of them it is a map, with keys of its own. Bytes
come from anybody, so every size is capped before memory is taken for it: the message, the entries
of one list or map, of all of them together, and the depth. Pure; any thread may call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

import msgpack
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.limits import check_length

MAX_ENTRIES = 1024
MAX_ENTRIES_IN_ALL = 32 * 1024
MAX_DEPTH = 16

Array = NDArray[Any]
Parts = tuple[bytes | memoryview, ...]
# An array and its place in the message, to the packed map in parts: so the array's bytes are copied
# once, when all is joined.
EncodeArray = Callable[[Array, str], Parts]
# A map and its place in the message, to the array or number that it stands for; None: a plain map.
DecodeMap = Callable[[Mapping[Any, Any], str], Any]


def pack(value: Any, encode_array: EncodeArray) -> bytes:
    """A tree of values as bytes.

    Args:
        value: None, bool, int, float, str, array, list, tuple, or map with str keys.
        encode_array: How an array is told.

    Raises:
        WireFormatError: It holds something else, or an array that is not allowed.
    """
    return b"".join(pack_pieces(value, encode_array))


def pack_pieces(value: Any, encode_array: EncodeArray) -> list[bytes | memoryview]:
    """The same in pieces that are to be joined; those of arrays are not copied.

    Raises:
        WireFormatError: As ``pack``.
    """
    writer = _Writer(encode_array)
    try:
        writer.write(value, "message")
    except (ValueError, OverflowError) as error:
        raise WireFormatError(f"message cannot be packed: {error}") from error
    return writer.parts


def unpack(data: bytes | memoryview, decode_map: DecodeMap, *, max_bytes: int) -> Any:
    """The tree of values behind bytes: None, bool, int, float, str, bytes, array, list, map.

    Args:
        data: One message.
        decode_map: Finds the maps that stand for arrays.
        max_bytes: A longer one is refused.

    Raises:
        WireFormatError: It is not msgpack, exceeds a limit, or holds something else.
    """
    check_length("message", data, max_bytes)
    budget = _Budget()
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_array_len=MAX_ENTRIES,
            max_map_len=MAX_ENTRIES,
            max_ext_len=0,
            list_hook=budget.spend,
            object_hook=budget.spend,
        )
    except (ValueError, msgpack.UnpackException) as error:
        raise WireFormatError(f"message is not msgpack within the limits: {error}") from error
    return _Reader(decode_map).read(value, "message", MAX_DEPTH)


def bin_header(length: int) -> bytes:
    """What msgpack writes before that many bytes."""
    if length < 1 << 8:
        return struct.pack(">BB", 0xC4, length)
    if length < 1 << 16:
        return struct.pack(">BH", 0xC5, length)
    return struct.pack(">BI", 0xC6, length)


class _Writer:
    def __init__(self, encode_array: EncodeArray) -> None:
        self.parts: list[bytes | memoryview] = []
        self._encode = encode_array
        self._packer = msgpack.Packer()

    def write(self, value: Any, where: str) -> None:
        if value is None or type(value) in (bool, int, float, str):
            self.parts.append(self._packer.pack(value))
        elif isinstance(value, np.ndarray):
            self.parts.extend(self._encode(value, where))
        elif isinstance(value, Mapping):
            self.parts.append(self._packer.pack_map_header(len(value)))
            for key, item in value.items():
                if type(key) is not str:
                    raise WireFormatError(f"{where}: key {key!r} must be a string")
                self.parts.append(self._packer.pack(key))
                self.write(item, f"{where}.{key}")
        elif isinstance(value, (list, tuple)):
            self.parts.append(self._packer.pack_array_header(len(value)))
            for index, item in enumerate(value):
                self.write(item, f"{where}[{index}]")
        else:
            raise WireFormatError(
                f"{where}: {type(value).__name__} cannot be sent; allowed: None, bool, int, float,"
                " str, array, list, map"
            )


class _Budget:
    """Counts list and map entries while the unpacker makes them."""

    def __init__(self) -> None:
        self._left = MAX_ENTRIES_IN_ALL

    def spend(self, container: Any) -> Any:
        self._left -= 1 + len(container)
        if self._left < 0:
            raise WireFormatError(
                f"message has more than {MAX_ENTRIES_IN_ALL} list and map entries in all"
            )
        return container


class _Reader:
    """Turns maps that stand for arrays into arrays, and refuses what no wire has."""

    def __init__(self, decode_map: DecodeMap) -> None:
        self._decode_map = decode_map

    def read(self, value: Any, where: str, depth: int) -> Any:
        if value is None or isinstance(value, (bool, int, float, str, bytes)):
            return value
        if depth == 0:
            raise WireFormatError(f"{where}: nested more than {MAX_DEPTH} deep")
        if isinstance(value, list):
            return [
                self.read(item, f"{where}[{index}]", depth - 1) for index, item in enumerate(value)
            ]
        if isinstance(value, dict):
            return self._map(value, where, depth)
        raise WireFormatError(f"{where}: {type(value).__name__} is no part of this wire")

    def _map(self, value: dict[Any, Any], where: str, depth: int) -> Any:
        decoded = self._decode_map(value, where)
        if decoded is not None:
            return decoded
        read = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise WireFormatError(f"{where}: key {key[:40]!r} must be a string")
            read[key] = self.read(item, f"{where}.{key[:80]}", depth - 1)
        return read
