# SPDX-License-Identifier: Apache-2.0
"""A tree of plain values and arrays as msgpack bytes, and back, in GR00T's two encodings.

Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.core.errors import WireFormatError
from vla_ros.wire import msgpack_tree
from vla_ros.wire.gr00t import arrays
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

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
    return msgpack_tree.pack(
        value, arrays.encode_npy if wire.has_npy_arrays else arrays.encode_numpy
    )


def unpack(data: bytes | memoryview, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Unpacked:
    """The tree of values behind bytes. Arrays are read-only.

    Args:
        data: One message.
        max_bytes: A longer one is refused.

    Raises:
        WireFormatError: It is not msgpack, exceeds a limit, or holds what no GR00T wire has.
    """
    if data == _TORCH_REPLY or data[:4] == _ZIP_FILE:
        raise WireFormatError(
            "this is GR00T's wire T, torch pickles, as N1 and early N1.5 spoke it until 2025-09;"
            " it runs code of the sender's choice and is not spoken: update the other side"
        )
    found = _Arrays()
    value = msgpack_tree.unpack(data, found.decode, max_bytes=max_bytes)
    return Unpacked(value, found.are_npy)


class _Arrays:
    """Finds the maps that stand for arrays, and remembers their encoding."""

    def __init__(self) -> None:
        self.are_npy: bool | None = None

    def decode(self, value: Mapping[Any, Any], where: str) -> Any:
        if arrays.is_npy(value):
            self.are_npy = True
            return arrays.decode_npy(value, where)
        if arrays.is_numpy(value):
            self.are_npy = False
            return arrays.decode_numpy(value, where)
        return None
