# SPDX-License-Identifier: Apache-2.0
"""Unitree's messages as its own field lists tell them: IDL types, C layouts and checksums.

Made from nothing else, and in other ways than the package's.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from cyclonedds.idl import IdlStruct, annotations, make_idl_struct, types

HG, GO, STD = (f"{package}.msg.dds_." for package in ("unitree_hg", "unitree_go", "std_msgs"))

FIELDS = {
    f"{HG}MotorCmd_": "uint8 mode; float32 q, dq, tau, kp, kd; uint32 reserve",
    f"{HG}LowCmd_": "uint8 mode_pr, mode_machine; MotorCmd_[35] motor_cmd; uint32[4] reserve;"
    "uint32 crc",
    f"{HG}IMUState_": "float32[4] quaternion; float32[3] gyroscope, accelerometer, rpy;"
    "int16 temperature",
    f"{HG}MotorState_": "uint8 mode; float32 q, dq, ddq, tau_est; int16[2] temperature;"
    "float32 vol; uint32[2] sensor; uint32 motorstate; uint32[4] reserve",
    f"{HG}LowState_": "uint32[2] version; uint8 mode_pr, mode_machine; uint32 tick;"
    "IMUState_ imu_state; MotorState_[35] motor_state; uint8[40] wireless_remote;"
    "uint32[4] reserve; uint32 crc",
    f"{GO}MotorCmd_": "uint8 mode; float32 q, dq, tau, kp, kd; uint32[3] reserve",
    f"{GO}MotorCmds_": "MotorCmd_[] cmds",
    # The temperature has a sign in the ROS message, but none in unitree_sdk2py.
    f"{GO}MotorState_": "uint8 mode; float32 q, dq, ddq, tau_est, q_raw, dq_raw, ddq_raw;"
    "uint8 temperature; uint32 lost; uint32[2] reserve",
    f"{GO}MotorStates_": "MotorState_[] states",
    f"{STD}String_": "string data",
}


def _declared(name: str, fields: str) -> Iterator[tuple[str, str, str]]:
    """Kind, length in brackets if any, and name of each field; kinds of messages in full."""
    package = name.rpartition(".")[0] + "."
    for declaration in (fields or FIELDS[name]).split(";"):
        found = re.fullmatch(r"\s*(\w+)(\[\d*\])? ([\w, ]+)", declaration)
        assert found, declaration
        kind, size, names = found.groups()
        for field in names.split(", "):
            yield package + kind if kind.endswith("_") else kind, size or "", field


def idl_type(name: str, fields: str = "") -> type[IdlStruct]:
    """The type of a name, with other fields if they are given."""
    made: dict[str, Any] = {}
    for kind, size, field in _declared(name, fields):
        if kind.endswith("_"):
            hint: Any = idl_type(kind)
        else:
            hint = str if kind == "string" else getattr(types, kind)
        if size == "[]":
            hint = types.sequence[hint]
        elif size:
            hint = types.array[hint, int(size[1:-1])]
        made[field] = hint
    return annotations.final(
        annotations.autoid("sequential")(make_idl_struct(name.rpartition(".")[2], name, made))
    )


@cache
def c_type(name: str) -> type[ctypes.Structure]:
    """The structure of a name, as a C compiler lays it out."""
    made = []
    for kind, size, field in _declared(name, ""):
        number = ctypes.c_float if kind == "float32" else getattr(ctypes, f"c_{kind}", None)
        of: Any = c_type(kind) if kind.endswith("_") else number
        made.append((field, of * int(size[1:-1]) if size else of))
    return type(name.rpartition(".")[2], (ctypes.Structure,), {"_fields_": made})


def _copied(message: Any, kind: Any) -> Any:
    """A message, or a part of it, as C has it."""
    if issubclass(kind, ctypes.Array):
        return kind(*(_copied(item, kind._type_) for item in message))
    if issubclass(kind, ctypes.Structure):
        return kind(*(_copied(getattr(message, name), of) for name, of in kind._fields_))
    return message


def _table() -> list[int]:
    """What a byte at the top does to the checksum, a bit at a time."""
    table = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
        table.append(crc)
    return table


_TABLE = _table()


def crc_of(message: Any, name: str) -> int:
    """The checksum that a whole-body message should have."""
    laid_out = bytes(_copied(message, c_type(name)))
    crc = 0xFFFFFFFF
    for begin in range(0, len(laid_out) - 4, 4):
        for byte in laid_out[begin : begin + 4][::-1]:
            crc = crc << 8 & 0xFFFFFFFF ^ _TABLE[crc >> 24 ^ byte]
    return crc


def type_identifier(of: type[IdlStruct]) -> bytes:
    """What a participant compares before it lets a reader have a writer's messages."""
    information = of.__idl__.get_type_info()
    return bytes(information.serialize(use_version_2=True))
