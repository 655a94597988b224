# SPDX-License-Identifier: Apache-2.0
"""numpy's arrays and numbers in a pickle, without letting it make any. Pure; any thread may call.

What is read of an array is a read-only view of bytes of the pickle. What is written names modules
that numpy 1 and numpy 2 both have.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.array_view import ALLOWED_DTYPES, allowed_dtype, array_bytes, array_view
from vla_ros.wire.pickle.machine import Maker
from vla_ros.wire.pickle.writer import Call, Global
from vla_ros.wire.shown import shown

_NDARRAY = Global("numpy", "ndarray")
_DTYPE = Global("numpy", "dtype")
_RECONSTRUCT = Global("numpy.core.multiarray", "_reconstruct")


class PickledArray:
    """Stands for an array, which a pickle names before it says what is in it."""

    __slots__ = ("_array",)

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        """Be made as numpy's ``_reconstruct`` is called."""
        match arguments:
            case (Global() as kind, (0,), b"b") if kind == _NDARRAY:
                self._array: NDArray[Any] | None = None
            case _:
                raise WireFormatError(f"array: cannot be made of {shown(arguments)}")

    @property
    def array(self) -> NDArray[Any]:
        """The array.

        Raises:
            WireFormatError: The pickle did not say what is in it.
        """
        if self._array is None:
            raise WireFormatError("array: it has no shape and no data")
        return self._array

    def build(self, state: Any) -> None:
        """Take what numpy's ``__setstate__`` is given."""
        match state:
            case (1, tuple(shape), _PickledDtype() as dtype, bool(fortran), bytes(data)):
                order = "F" if fortran else "C"
                self._array = array_view(data, 0, dtype.dtype, _shape(shape), "array", order=order)
            case _:
                raise WireFormatError(
                    "array: the state must be (1, shape, dtype, is_fortran, bytes);"
                    f" found {shown(state)}"
                )


class _PickledDtype:
    """Stands for a dtype, which a pickle names before it tells the order of the bytes.

    That must be little-endian: others would be copied as often as the pickle wants.
    """

    __slots__ = ("dtype",)

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        match arguments:
            case (str(code), bool(), bool()):
                self.dtype = allowed_dtype(f"<{code}", "array")
            case _:
                raise WireFormatError(
                    f"array: dtype of {shown(arguments)} is refused; allowed: {ALLOWED_DTYPES}"
                )

    def build(self, state: Any) -> None:
        match state:
            case (3, "<" | "|", None, None, None, -1, -1, 0):
                pass
            case _:
                raise WireFormatError(
                    f"array: a dtype with {shown(state)} is refused; allowed: little-endian"
                    f" {ALLOWED_DTYPES}"
                )


def unpickled(value: Any) -> Any:
    """A value as it is meant: an array where one stands for it.

    Raises:
        WireFormatError: The pickle did not say what is in it.
    """
    return value.array if isinstance(value, PickledArray) else value


def pickled_array(array: NDArray[Any]) -> Call:
    """An array, to be written.

    Raises:
        WireFormatError: Its dtype is not allowed.
    """
    code = array.dtype.newbyteorder("<").str
    allowed_dtype(code, "array")
    state = (3, code[0], None, None, None, -1, -1, 0)
    dtype = Call(_DTYPE, (code[1:], False, True), state)
    return Call(
        _RECONSTRUCT,
        (_NDARRAY, (0,), b"b"),
        (1, array.shape, dtype, False, array_bytes(array.astype(code, copy=False))),
    )


def _from_buffer(arguments: tuple[Any, ...]) -> NDArray[Any]:
    """As numpy's ``_frombuffer``, with which protocol 5 makes arrays."""
    match arguments:
        case (bytes(data), _PickledDtype() as dtype, tuple(shape), "C" | "F" as order):
            return array_view(data, 0, dtype.dtype, _shape(shape), "array", order=order)
    raise WireFormatError(
        f"array: it must be made of (bytes, dtype, shape, order); found {shown(arguments)}"
    )


def _scalar(arguments: tuple[Any, ...]) -> bool | int | float:
    """As numpy's ``scalar``, but for the type: a plain number."""
    match arguments:
        case (_PickledDtype() as dtype, bytes(data)):
            number: bool | int | float = array_view(
                data, 0, dtype.dtype, (), "number", order="C"
            ).item()
            return number
    raise WireFormatError(f"number: it must be made of (dtype, bytes); found {shown(arguments)}")


def _shape(shape: tuple[Any, ...]) -> tuple[int, ...]:
    if not all(type(side) is int and side >= 0 for side in shape):
        raise WireFormatError(f"array: a shape must be integers of 0 or more; found {shown(shape)}")
    return shape


NUMPY: dict[tuple[str, str], Maker | None] = {
    _NDARRAY: None,
    _DTYPE: _PickledDtype,
    **{
        (f"numpy.{core}.{module}", name): maker
        for core in ("_core", "core")
        for module, name, maker in (
            ("multiarray", "_reconstruct", PickledArray),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
