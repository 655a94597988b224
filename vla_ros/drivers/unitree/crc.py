# SPDX-License-Identifier: Apache-2.0
"""The checksum in Unitree's whole-body messages; who receives one drops it if it is wrong.

It is the CRC-32/MPEG-2 (polynomial 0x04c11db7, from 0xffffffff, highest bit first) of the message
as C lays it out, little-endian, in 32-bit words that are taken highest byte first, without the last
word, which is the checksum itself. Pure; any thread.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from vla_ros.drivers.unitree.flat import command_values, state_values

if TYPE_CHECKING:
    from vla_ros.drivers.unitree.idl_hg import LowCmd, LowState

    Sealable = LowCmd | LowState
    Message = TypeVar("Message", LowCmd, LowState)

# As long as a message has places for motors.
_MOTORS = 35
_LOW_CMD = struct.Struct("<2B2x" + "B3x5fI" * _MOTORS + "4I" + "I")
_LOW_STATE = struct.Struct("<2I2B2xI" + "13fh2x" + "B3x4f2hf7I" * _MOTORS + "40B4I" + "I")

# Each byte with its bits in the other direction.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def c_layout(message: Sealable) -> bytes:
    """Lay a message out as C does, its checksum last.

    Args:
        message: A ``LowCmd`` (1004 bytes) or a ``LowState`` (2092 bytes) of ``idl_hg``.

    Raises:
        ValueError: It is another message, or a value does not fit into its field.
    """
    name = getattr(message, "__idl_typename__", type(message).__name__)
    if name not in _LAYOUTS:
        raise ValueError(f"no layout of {name}; there is one of {', '.join(_LAYOUTS)}")
    layout, values = _LAYOUTS[name]
    try:
        return layout.pack(*values(message))
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{name} has a value that does not fit: {error}") from error


def crc32(words: bytes) -> int:
    """The checksum of little-endian words of 32 bits.

    >>> hex(crc32(bytes(1000)))
    '0xfe172f9f'
    """
    swapped = bytearray(len(words))
    for place in range(4):
        swapped[place::4] = words[3 - place :: 4]
    # zlib's checksum has the same polynomial, lowest bit first, and is inverted at the end.
    mirrored = zlib.crc32(swapped.translate(_MIRRORED)) ^ 0xFFFFFFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_MIRRORED), "big")


def sealed(message: Message) -> Message:
    """A copy of a message with the right checksum; what is inside is shared.

    Raises:
        ValueError: See ``c_layout``.
    """
    return replace(message, crc=crc32(c_layout(message)[:-4]))


def is_intact(message: Sealable) -> bool:
    """Whether a message has the right checksum.

    Raises:
        ValueError: See ``c_layout``.
    """
    return message.crc == crc32(c_layout(message)[:-4])


# By the type's name, so that checksums do not need the package of the types.
_LAYOUTS: dict[str, tuple[struct.Struct, Callable[[Any], Iterator[float]]]] = {
    "unitree_hg.msg.dds_.LowCmd_": (_LOW_CMD, command_values),
    "unitree_hg.msg.dds_.LowState_": (_LOW_STATE, state_values),
}
