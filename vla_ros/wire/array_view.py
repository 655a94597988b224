# SPDX-License-Identifier: Apache-2.0
"""A numpy array of plain numbers seen as bytes, and bytes as one. Pure; any thread may call.

Arrays of Python objects are refused, because reading one means unpickling.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.shown import shown

MAX_DIMENSIONS = 8
ALLOWED_DTYPES = "bool, and int, uint and float of 8 to 64 bits"
_DTYPE = re.compile(r"[<>=|]?[biuf][1248]|bool|u?int(8|16|32|64)|float(16|32|64)")


def allowed_dtype(code: Any, where: str) -> np.dtype[Any]:
    """The dtype with a code or name.

    Args:
        code: Such as ``<f4`` or ``float32``, text or bytes.
        where: Its place in the message, for errors.

    Raises:
        WireFormatError: It is not allowed, or does not exist.
    """
    text = code.decode("latin-1") if isinstance(code, bytes) else code
    if not isinstance(text, str) or _DTYPE.fullmatch(text) is None:
        raise WireFormatError(f"{where}: dtype {shown(code)} is refused; allowed: {ALLOWED_DTYPES}")
    try:
        return np.dtype(text)
    except TypeError as error:
        raise WireFormatError(
            f"{where}: dtype {shown(code)} does not exist; allowed: {ALLOWED_DTYPES}"
        ) from error


def array_view(
    data: bytes | memoryview,
    start: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    where: str,
    *,
    order: str,
) -> NDArray[Any]:
    """A read-only array over the rest of the data; a copy only where the bytes are swapped.

    Args:
        data: Bytes; they must not change.
        start: Where the array's begin; it must fill the rest.
        dtype: Of its items.
        shape: Of the array; no side is negative.
        where: Its place in the message, for errors.
        order: C or F.

    Raises:
        WireFormatError: The shape does not fit the data, or cannot be.
    """
    needed = math.prod(shape) * dtype.itemsize
    if len(shape) > MAX_DIMENSIONS or needed != len(data) - start:
        raise WireFormatError(
            f"{where}: shape {shape} of {dtype} needs {needed} bytes and at most"
            f" {MAX_DIMENSIONS} dimensions, found {len(data) - start} bytes"
        )
    try:
        array: NDArray[Any] = np.ndarray(
            shape, dtype, data, start, order="F" if order == "F" else "C"
        )
    except (ValueError, OverflowError) as error:
        raise WireFormatError(f"{where}: shape {shape} cannot be: {error}") from error
    if not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
        array.flags.writeable = False
    return array


def array_bytes(array: NDArray[Any]) -> memoryview:
    """The bytes of an array in C order: a view of it, where it is in that order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
