# SPDX-License-Identifier: Apache-2.0
"""A tree of plain values and arrays as msgpack bytes, and back, in GR00T's two encodings.

Between two programs of this package a message may have several parts: the tree, in wire B, and the
bytes of its large arrays, which are not copied. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire import msgpack_tree
from vla_ros.wire.array_view import array_bytes
from vla_ros.wire.gr00t import arrays
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES, check_length
from vla_ros.wire.msgpack_tree import Array, Parts

# A smaller array is copied in less time than a part of its own takes.
_SMALLEST_PART = 16 * 1024
_TORCH_REPLY = b"ERROR"
_ZIP_FILE = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a message held.

    Attributes:
        value: None, bool, int, float, str, bytes, array, list, or map with str keys.
        has_npy_arrays: Whether its arrays were npy files; None where it held no array.
    """

    value: Any
    has_npy_arrays: bool | None


def pack(value: Any, wire: Gr00tWire) -> bytes:
    """A tree of values as bytes.

    Args:
        value: None, bool, int, float, str, array, list, tuple, or map with str keys.
        wire: How arrays are encoded.

    Raises:
        WireFormatError: It holds something else, or an array that is not allowed.
    """
    return b"".join(pack_pieces(value, wire))


def pack_pieces(value: Any, wire: Gr00tWire) -> list[bytes | memoryview]:
    """The same in pieces that are to be joined; those of arrays are not copied.

    Raises:
        WireFormatError: As ``pack``.
    """
    return msgpack_tree.pack_pieces(
        value, arrays.encode_npy if wire.has_npy_arrays else arrays.encode_numpy
    )


def pack_parts(value: Any) -> tuple[bytes, list[memoryview]]:
    """The same in wire B, with the bytes of large arrays as parts of their own.

    Returns:
        The tree, and views of the arrays, which must not change until they are sent.

    Raises:
        WireFormatError: As ``pack``.
    """
    views: list[memoryview] = []

    def encode(array: Array, where: str) -> Parts:
        if array.nbytes < _SMALLEST_PART:
            return arrays.encode_numpy(array, where)
        placeholder = arrays.encode_placeholder(array, where, len(views))
        views.append(array_bytes(array))
        return placeholder

    return msgpack_tree.pack(value, encode), views


def unpack(
    data: bytes | memoryview,
    parts: Sequence[bytes | memoryview] = (),
    *,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> Unpacked:
    """The tree of values behind bytes. Arrays are read-only.

    Args:
        data: One message, or its first part.
        parts: Its other parts. Arrays are views of them; they must not change.
        max_bytes: A longer one is refused, all parts together.

    Raises:
        WireFormatError: It is not msgpack, exceeds a limit, or holds what no GR00T wire has.
    """
    if data == _TORCH_REPLY or data[:4] == _ZIP_FILE:
        raise WireFormatError(
            "this is GR00T's wire T, torch pickles, as N1 and early N1.5 spoke it until 2025-09;"
            " it runs code of the sender's choice and is not spoken: update the other side"
        )
    check_length("message", data, max_bytes, rest=parts)
    found = _Arrays([memoryview(part).toreadonly() for part in parts])
    value = msgpack_tree.unpack(data, found.decode, max_bytes=max_bytes)
    if len(found.taken) != len(parts):
        raise WireFormatError(
            f"the message has {len(parts)} parts beside it, {len(found.taken)} of which belong to"
            " its arrays; allowed: each of them"
        )
    return Unpacked(value, found.are_npy)


class _Arrays:
    """Finds the maps that stand for arrays, remembers their encoding, and which parts they took."""

    def __init__(self, parts: Sequence[memoryview]) -> None:
        self.are_npy: bool | None = None
        self.taken: set[int] = set()
        self._parts = parts

    def decode(self, value: Mapping[Any, Any], where: str) -> Any:
        if arrays.is_npy(value):
            self.are_npy = True
            return arrays.decode_npy(value, where)
        if arrays.is_numpy(value):
            self.are_npy = False
            array = arrays.decode_numpy(value, where, self._parts)
            if arrays.PART_KEY in value:
                self.taken.add(value[arrays.PART_KEY])
            return array
        return None
