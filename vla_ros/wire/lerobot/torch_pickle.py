# SPDX-License-Identifier: Apache-2.0
"""torch's tensors in a pickle, without torch and without letting it make any.

A tensor is a view of a storage. LeRobot's server sends a chunk as rows of one tensor, each of which
drags all of its storage along, so the same storage comes again and again. A ``Tensors`` belongs to
one reading.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import MAX_DIMENSIONS
from vla_ros.wire.lerobot.torch_storage import read_storage, write_storage
from vla_ros.wire.pickle.machine import Allowed
from vla_ros.wire.pickle.writer import Call, Global
from vla_ros.wire.shown import shown

_REBUILD = Global("torch._utils", "_rebuild_tensor_v2")
_LOAD = Global("torch.storage", "_load_from_bytes")
_HOOKS = Global("collections", "OrderedDict")


def pickled_tensor(values: NDArray[Any]) -> Call:
    """Numbers (D,) float32 or float64 as a tensor with a storage of its own, to be written.

    Raises:
        WireFormatError: They are of another dtype.
    """
    storage = Call(_LOAD, (write_storage(values),))
    return Call(_REBUILD, (storage, 0, values.shape, (1,), False, Call(_HOOKS, ())))


class Tensors:
    """What stands for the functions that a pickle of tensors names."""

    def __init__(self, max_bytes: int) -> None:
        """Have read nothing yet.

        Args:
            max_bytes: How many bytes the storages may have, each counted as often as it is read.
        """
        self._bytes_left = max_bytes
        self._last: tuple[bytes, NDArray[Any]] | None = None

    @property
    def allowed(self) -> Allowed:
        """Module and name of each function, to what stands for it."""
        return {_LOAD: self._storage, _REBUILD: _tensor, _HOOKS: _no_hooks}

    def _storage(self, arguments: tuple[Any, ...]) -> NDArray[Any]:
        match arguments:
            case (bytes(data),):
                pass
            case _:
                raise WireFormatError(f"storage: it must be bytes; found {shown(arguments)}")
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise WireFormatError("storage: together they are longer than the message may be")
        if self._last is None or data != self._last[0]:
            self._last = (data, read_storage(data))
        return self._last[1]


def _no_hooks(arguments: tuple[Any, ...]) -> dict[str, Any]:
    if arguments:
        raise WireFormatError(f"tensor: hooks are refused; found {shown(arguments)}")
    return {}


def _tensor(arguments: tuple[Any, ...]) -> NDArray[Any]:
    """As torch's ``_rebuild_tensor_v2``, but with bounds: a read-only view of a storage."""
    match arguments:
        case (
            np.ndarray() as storage,
            int(offset),
            tuple(size),
            tuple(stride),
            bool(),
            dict(hooks),
        ) if not hooks:
            pass
        case _:
            raise WireFormatError(
                "tensor: it must be made of (storage, offset, size, stride, requires_grad, no"
                f" hooks); found {shown(arguments)}"
            )
    fits = (
        len(size) == len(stride) <= MAX_DIMENSIONS
        and all(type(side) is int and side > 0 for side in size)
        and all(type(step) is int and 0 <= step <= storage.size for step in stride)
        # Without this, steps of 0 would make much of little.
        and math.prod(size) <= storage.size
        and offset >= 0
        and offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
        < storage.size
    )
    if not fits:
        raise WireFormatError(
            f"tensor: offset {shown(offset)}, size {shown(size)} and stride {shown(stride)} do not"
            f" fit a storage of {storage.size}"
        )
    strides = tuple(step * storage.itemsize for step in stride)
    return as_strided(storage[offset:], size, strides, writeable=False)
