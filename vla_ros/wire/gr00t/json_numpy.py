# SPDX-License-Identifier: Apache-2.0
"""A tree of plain values and arrays as JSON, and back, as the package json_numpy writes it.

An array is ``{"__numpy__": <its bytes in base64>, "dtype": "<f4", "shape": [3]}``. Arrays of Python
objects are refused both ways. Bytes come from anybody, so their number and that of their values is
capped before memory is taken. Decoded arrays are read-only. Pure; any thread may call.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import numpy as np

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import ALLOWED_DTYPES, allowed_dtype, array_bytes, array_view
from vla_ros.wire.limits import DEFAULT_MAX_BYTES, check_length
from vla_ros.wire.shown import shown

MAX_VALUES = 32 * 1024
_ARRAY = "__numpy__"


def encode_json(value: Any) -> bytes:
    """A tree of values as JSON.

    >>> encode_json({"x": np.arange(2, dtype=np.uint8)})
    b'{"x":{"__numpy__":"AAE=","dtype":"|u1","shape":[2]}}'

    Args:
        value: None, bool, int, finite float, str, array, list, tuple, or map with str keys.

    Raises:
        WireFormatError: It holds something else, or an array that is not allowed.
    """
    try:
        text = json.dumps(value, default=_array, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise WireFormatError(f"message cannot be written as JSON: {error}") from error
    return text.encode()


def decode_json(data: bytes | str, *, max_bytes: int = DEFAULT_MAX_BYTES) -> Any:
    """The tree of values behind JSON.

    Args:
        data: One message.
        max_bytes: A longer one is refused.

    Raises:
        WireFormatError: It is no JSON, exceeds a limit, or an array in it is none.
    """
    raw = data.encode() if isinstance(data, str) else data
    check_length("message", raw, max_bytes)
    # Each value but the first of a list or map comes after a comma; base64 has none.
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_VALUES:
        raise WireFormatError(f"message has more than {MAX_VALUES} values")
    try:
        return json.loads(raw, object_hook=_map)
    except (ValueError, RecursionError) as error:
        raise WireFormatError(f"message is not JSON: {error}; found {shown(raw)}") from error


def _array(value: Any) -> dict[str, Any]:
    """What stands for an array, or for a number of numpy's."""
    if not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"{type(value).__name__} cannot be sent")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"an array of {array.dtype} is refused; allowed: {ALLOWED_DTYPES}")
    data = base64.b64encode(array_bytes(array)).decode()
    return {_ARRAY: data, "dtype": array.dtype.str, "shape": array.shape}


def _map(value: dict[str, Any]) -> Any:
    """The array that a map stands for, or the map."""
    if _ARRAY not in value:
        return value
    text, shape = value[_ARRAY], value.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise WireFormatError(
            f"{_ARRAY}: shape must be a list of integers of 0 or more, found {shown(shape)}"
        )
    dtype = allowed_dtype(value.get("dtype"), _ARRAY)
    try:
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise WireFormatError(f"{_ARRAY}: must be base64, found {shown(text)}") from error
    array = array_view(data, 0, dtype, tuple(shape), _ARRAY, order="C")
    return array if shape else array.item()
