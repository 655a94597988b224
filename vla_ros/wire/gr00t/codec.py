# SPDX-License-Identifier: Apache-2.0
"""A tree of plain values and arrays as msgpack bytes, and back, within limits.

Bytes come from anybody, so every size is capped before memory is taken for it: the message, the
entries of one list or map, of all of them together, and the depth. Pure; any thread may call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.gr00t import arrays
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES, check_length

MAX_ENTRIES = 1024
MAX_ENTRIES_IN_ALL = 32 * 1024
MAX_DEPTH = 16
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
    writer = _Writer(wire)
    try:
        writer.write(value, "message")
    except (ValueError, OverflowError) as error:
        raise WireFormatError(f"message cannot be packed: {error}") from error
    return b"".join(writer.parts)


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
    reader = _Reader()
    return Unpacked(reader.read(value, "message", MAX_DEPTH), reader.has_npy_arrays)


class _Writer:
    """Packs a tree into parts, so that an array's bytes are copied once, when all is joined."""

    def __init__(self, wire: Gr00tWire) -> None:
        self.parts: list[bytes | memoryview] = []
        self._encode = arrays.encode_npy if wire.has_npy_arrays else arrays.encode_numpy
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

    def __init__(self) -> None:
        self.has_npy_arrays: bool | None = None

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
        if arrays.is_npy(value):
            self.has_npy_arrays = True
            return arrays.decode_npy(value, where)
        if arrays.is_numpy(value):
            self.has_npy_arrays = False
            return arrays.decode_numpy(value, where)
        read = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise WireFormatError(f"{where}: key {key[:40]!r} must be a string")
            read[key] = self.read(item, f"{where}.{key[:80]}", depth - 1)
        return read
