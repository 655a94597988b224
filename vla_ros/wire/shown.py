# SPDX-License-Identifier: Apache-2.0
"""How a value that somebody sent is shown in an error: short, however large it is. Pure."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _Repr(reprlib.Repr):
    """Cuts what the standard one would write out whole. It calls ``repr_<name of the type>``."""

    def repr_bytes(self, value: bytes, level: int) -> str:
        return repr(value[:16])

    def repr_ndarray(self, value: NDArray[Any], level: int) -> str:
        return f"{value.shape} {value.dtype}"


_REPR = _Repr()


def shown(value: object) -> str:
    """The type and the beginning of a value, in at most some 100 characters.

    >>> shown(np.zeros((2, 3)))
    'array (2, 3) float64'
    >>> shown("put the red cube on the plate and come back")
    "str 'put the red c... and come back'"
    """
    kind = "array" if isinstance(value, np.ndarray) else type(value).__name__
    text = _REPR.repr(value)
    return f"{kind} {text if len(text) <= 100 else f'{text[:97]}...'}"
