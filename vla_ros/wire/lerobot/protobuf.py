# SPDX-License-Identifier: Apache-2.0
"""The protobuf messages of LeRobot's wire, by hand, since there are but two.

``PolicySetup`` and ``Actions`` are ``bytes data = 1``. A part of an observation is
``enum transfer_state = 1`` and ``bytes data = 2``. An empty message is no bytes at all. Pure; a
``PartsJoiner`` belongs to one thread at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

from vla_ros.core.errors import WireFormatError
from vla_ros.wire.limits import DEFAULT_MAX_BYTES, check_length

# As much of an observation as LeRobot puts into one message.
PART_BYTES = 2 * 1024 * 1024

_BEGIN, _MIDDLE, _END = 1, 2, 3
_VARINT, _FIXED_64, _BYTES, _GROUP, _END_GROUP, _FIXED_32 = range(6)
# No message of this wire has more than two; each takes time.
_MAX_FIELDS = 1000
# Each part costs memory of its own, however short it is.
_MAX_PARTS = 4096

Field = tuple[int, int | memoryview]


def encode_data(data: bytes) -> bytes:
    """A message that holds nothing but data, such as ``PolicySetup`` and ``Actions``."""
    return _tag(1, _BYTES) + _varint(len(data)) + data if data else b""


def decode_data(message: bytes, *, max_bytes: int = DEFAULT_MAX_BYTES) -> bytes:
    """The data of such a message; none where it is empty.

    Raises:
        WireFormatError: It is no protobuf message, or longer than allowed.
    """
    check_length("message", message, max_bytes)
    data = memoryview(b"")
    for number, value in _fields(message):
        if number == 1 and isinstance(value, memoryview):
            data = value
    return bytes(data)


def observation_parts(data: bytes) -> Iterator[bytes]:
    """The messages that an observation is sent in: BEGIN, MIDDLE and END, or END alone."""
    view = memoryview(data)
    for start in range(0, len(view), PART_BYTES):
        part = view[start : start + PART_BYTES]
        state = _MIDDLE if start else _BEGIN
        if start + PART_BYTES >= len(view):
            state = _END
        head = _tag(1, _VARINT) + _varint(state) + _tag(2, _BYTES) + _varint(len(part))
        yield b"".join((head, part))


class PartsJoiner:
    """Joins the parts of one observation after another. It holds one at a time, within limits."""

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        """Hold nothing yet.

        Args:
            max_bytes: Parts that are longer together are refused.
        """
        self._max_bytes = max_bytes
        self._parts: list[memoryview] = []
        self._length = 0

    def add(self, message: bytes) -> bytes | None:
        """Take the next part.

        Returns:
            The observation's data, when this was its last part.

        Raises:
            WireFormatError: It is no part, none that can follow, or too much with those before it.
                The joiner then holds nothing.
        """
        parts, length = self._parts, self._length
        self._parts, self._length = [], 0
        state, data = _part(message)
        if state == _MIDDLE and not parts:
            raise WireFormatError("part MIDDLE of an observation came without a part BEGIN")
        if state == _BEGIN:
            parts, length = [], 0
        parts.append(data)
        # The part is a view of its message, which is held with it.
        length += len(message)
        if length > self._max_bytes or len(parts) > _MAX_PARTS:
            raise WireFormatError(
                f"observation has {len(parts)} parts of {length} bytes, or more; at most"
                f" {_MAX_PARTS} of {self._max_bytes} are allowed"
            )
        if state == _END:
            return b"".join(parts)
        self._parts, self._length = parts, length
        return None


def _part(message: bytes) -> tuple[int, memoryview]:
    state, data = 0, memoryview(b"")
    for number, value in _fields(message):
        if number == 1 and isinstance(value, int):
            state = value
        elif number == 2 and isinstance(value, memoryview):
            data = value
    if state not in (_BEGIN, _MIDDLE, _END):
        raise WireFormatError(
            f"transfer_state of a part must be 1 (BEGIN), 2 (MIDDLE) or 3 (END); found {state}"
        )
    return state, data


def _fields(message: bytes) -> Iterator[Field]:
    """The fields of a message that are numbers or bytes, whether known or not.

    Others, and all within groups, are passed over, as protobuf asks for what is unknown.
    """
    view = memoryview(message)
    position = count = 0
    groups: list[int] = []
    while position < len(view):
        tag, position = _read_varint(view, position)
        number, kind = tag >> 3, tag & 7
        count += 1
        if not 0 < number < 1 << 29 or count > _MAX_FIELDS:
            raise WireFormatError(
                f"protobuf: byte {position}: field {number}, as number {count} of the message;"
                f" allowed: 1 to {(1 << 29) - 1}, at most {_MAX_FIELDS} of them"
            )
        value: int | memoryview | None = None
        if kind == _VARINT:
            value, position = _read_varint(view, position)
        elif kind == _BYTES:
            length, start = _read_varint(view, position)
            position = _after(view, start, length)
            value = view[start:position]
        elif kind == _GROUP:
            groups.append(number)
        elif kind == _END_GROUP and groups and groups[-1] == number:
            groups.pop()
        elif kind in (_FIXED_32, _FIXED_64):
            position = _after(view, position, 4 if kind == _FIXED_32 else 8)
        else:
            raise WireFormatError(f"protobuf: byte {position}: a field of kind {kind} cannot be")
        if value is not None and not groups:
            yield number, value
    if groups:
        raise WireFormatError(f"protobuf: group {groups[-1]} does not end")


def _after(view: memoryview, start: int, length: int) -> int:
    if length > len(view) - start:
        raise WireFormatError(
            f"protobuf: byte {start}: {length} bytes are claimed, {len(view) - start} are there"
        )
    return start + length


def _read_varint(view: memoryview, start: int) -> tuple[int, int]:
    value = 0
    for count, byte in enumerate(view[start : start + 10]):
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return value, start + count + 1
    raise WireFormatError(f"protobuf: byte {start}: a number does not end")


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _tag(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)
