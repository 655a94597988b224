# SPDX-License-Identifier: Apache-2.0
"""A storage of torch as bytes, which is a row of numbers, without torch.

The form is that of ``torch.save`` before torch 1.6, which torch still writes within a pickle: five
pickles (a magic number, a version, the machine, the storage's id, the ids of all storages), the
number of items, and the items. Pure; any thread may call.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import array_view
from vla_ros.wire.pickle.machine import Allowed
from vla_ros.wire.pickle.reader import read_pickle_at
from vla_ros.wire.pickle.writer import Global, Persistent, write_pickle
from vla_ros.wire.shown import shown

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MACHINE = {
    "protocol_version": _VERSION,
    "little_endian": True,
    "type_sizes": {"short": 2, "int": 4, "long": 4},
}
# Twice as many as the longest of the five pickles has.
_MAX_INSTRUCTIONS = 64

_FLOAT = Global("torch", "FloatStorage")
_DOUBLE = Global("torch", "DoubleStorage")
_BFLOAT_16 = Global("torch", "BFloat16Storage")
_DTYPES: dict[Global, np.dtype[Any]] = {
    _FLOAT: np.dtype("<f4"),
    _DOUBLE: np.dtype("<f8"),
    _BFLOAT_16: np.dtype("<u2"),
    Global("torch", "HalfStorage"): np.dtype("<f2"),
    Global("torch", "LongStorage"): np.dtype("<i8"),
    Global("torch", "IntStorage"): np.dtype("<i4"),
    Global("torch", "ShortStorage"): np.dtype("<i2"),
    Global("torch", "ByteStorage"): np.dtype("|u1"),
    Global("torch", "BoolStorage"): np.dtype("|b1"),
}
_ALLOWED: Allowed = dict.fromkeys(_DTYPES)


class _StorageId(NamedTuple):
    kind: Global
    key: str
    size: int


def write_storage(values: NDArray[Any]) -> bytes:
    """Numbers (N,) float32 or float64 as a storage.

    Raises:
        WireFormatError: They are of another dtype.
    """
    kind = next((kind for kind in (_FLOAT, _DOUBLE) if _DTYPES[kind] == values.dtype), None)
    if kind is None:
        raise WireFormatError(f"a tensor must be float32 or float64; found {shown(values)}")
    key = "0"
    name = Persistent(("storage", kind, key, "cpu", values.size, None))
    pickles = [write_pickle(value) for value in (_MAGIC, _VERSION, _MACHINE, name, [key])]
    return b"".join((*pickles, values.size.to_bytes(8, "little"), values.tobytes()))


def read_storage(data: bytes) -> NDArray[Any]:
    """The numbers (N,) in a storage: a read-only view of it, or float32 made of bfloat16.

    Raises:
        WireFormatError: It is no storage.
    """
    found: list[Any] = []
    position = 0
    for _ in range(5):
        value, position = read_pickle_at(
            data,
            position,
            _ALLOWED,
            max_instructions=_MAX_INSTRUCTIONS,
            persistent_load=_storage_id,
        )
        found.append(value)
    match found:
        case [int(magic), 1001, {"little_endian": True}, _StorageId() as storage, [str(key)]] if (
            magic == _MAGIC and key == storage.key
        ):
            pass
        case _:
            raise WireFormatError(
                "storage: it must be one storage of torch, little-endian, in the form from before"
                f" torch 1.6; found {shown(found)}"
            )
    size = int.from_bytes(data[position : position + 8], "little")
    if size != storage.size:
        raise WireFormatError(f"storage: it names {storage.size} items and has {size}")
    values = array_view(data, position + 8, _DTYPES[storage.kind], (size,), "storage", order="C")
    if storage.kind == _BFLOAT_16:
        # The upper half of a float32.
        values = (values.astype("<u4") << 16).view("<f4")
    return values


def _storage_id(value: Any) -> _StorageId:
    match value:
        case ("storage", Global() as kind, str(key), str(), int(size), None):
            return _StorageId(kind, key, size)
    raise WireFormatError(
        "storage: its id must be ('storage', class, key, device, number of items, None); found"
        f" {shown(value)}"
    )
