# SPDX-License-Identifier: Apache-2.0
"""Pickles that name classes and functions which are not here, to be read where they are.

Only what the wires need can be written. It is protocol 3 without memory, which every reader
understands. Pure; any thread may call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.shown import shown

_START, _STOP = b"\x80\x03", b"."
Part = bytes | memoryview


class Global(NamedTuple):
    """A class or function by its module and name. It is never looked up here."""

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance of a class, to be made without calling its constructor.

    Attributes:
        of: The class.
        fields: Its attributes.
    """

    of: Global
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """What a function returns.

    Attributes:
        of: The function.
        arguments: What it is called with.
        state: What the result is told afterwards; None: nothing.
    """

    of: Global
    arguments: tuple[Any, ...]
    state: tuple[Any, ...] | None = None


@dataclass(frozen=True, slots=True)
class Persistent:
    """What the reader knows by an id.

    Attributes:
        of: The id.
    """

    of: tuple[Any, ...]


def write_pickle(value: Any) -> bytes:
    """A value as a pickle.

    Args:
        value: None, bool, int, float, text, bytes or a view of bytes, list, tuple, mapping with
            texts as keys, ``Global``, ``Instance``, ``Call``, ``Persistent``, and these in each
            other.

    Raises:
        WireFormatError: It holds anything else.
    """
    return b"".join((_START, *_parts(value), _STOP))


def _parts(value: Any) -> Iterator[Part]:
    kind = Mapping if isinstance(value, Mapping) else type(value)
    writer = _WRITERS.get(kind)
    if writer is None:
        raise WireFormatError(f"{shown(value)} cannot be sent")
    return writer(value)


def _none(value: None) -> Iterator[Part]:
    yield b"N"


def _bool(value: bool) -> Iterator[Part]:  # noqa: FBT001
    yield b"\x88" if value else b"\x89"


def _int(value: int) -> Iterator[Part]:
    if -(1 << 31) <= value < 1 << 31:
        yield struct.pack("<ci", b"J", value)
        return
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    if len(data) > 255:
        raise WireFormatError(f"an integer of {len(data)} bytes cannot be sent")
    yield b"\x8a" + bytes((len(data),)) + data


def _float(value: float) -> Iterator[Part]:
    yield struct.pack(">cd", b"G", value)


def _str(value: str) -> Iterator[Part]:
    try:
        data = value.encode()
    except UnicodeEncodeError as error:
        raise WireFormatError(f"{shown(value)} cannot be sent: {error}") from error
    yield struct.pack("<cI", b"X", len(data))
    yield data


def _bytes(value: Part) -> Iterator[Part]:
    yield struct.pack("<cI", b"B", len(value))
    yield value


def _list(value: list[Any]) -> Iterator[Part]:
    yield b"]("
    for item in value:
        yield from _parts(item)
    yield b"e"


def _tuple(value: tuple[Any, ...]) -> Iterator[Part]:
    yield b"("
    for item in value:
        yield from _parts(item)
    yield b"t"


def _dict(value: Mapping[str, Any]) -> Iterator[Part]:
    yield b"}("
    for key, item in value.items():
        if type(key) is not str:
            raise WireFormatError(f"{shown(key)} cannot be sent as a key")
        yield from _str(key)
        yield from _parts(item)
    yield b"u"


def _global(value: Global) -> Iterator[Part]:
    yield f"c{value.module}\n{value.name}\n".encode()


def _instance(value: Instance) -> Iterator[Part]:
    yield from _global(value.of)
    yield b")\x81"
    yield from _dict(value.fields)
    yield b"b"


def _call(value: Call) -> Iterator[Part]:
    yield from _global(value.of)
    yield from _tuple(value.arguments)
    yield b"R"
    if value.state is not None:
        yield from _tuple(value.state)
        yield b"b"


def _persistent(value: Persistent) -> Iterator[Part]:
    yield from _tuple(value.of)
    yield b"Q"


_WRITERS: dict[type, Callable[[Any], Iterator[Part]]] = {
    type(None): _none,
    bool: _bool,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    memoryview: _bytes,
    list: _list,
    tuple: _tuple,
    Mapping: _dict,
    Global: _global,
    Instance: _instance,
    Call: _call,
    Persistent: _persistent,
}
