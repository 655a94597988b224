# SPDX-License-Identifier: Apache-2.0
"""Unitree's messages as its own field lists tell them, and IDL types made from nothing else."""

from __future__ import annotations

import re
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


def idl_type(name: str, fields: str = "") -> type[IdlStruct]:
    """The type of a name, with other fields if they are given."""
    package = name.rpartition(".")[0] + "."
    made: dict[str, Any] = {}
    for declaration in (fields or FIELDS[name]).split(";"):
        found = re.fullmatch(r"\s*(\w+)(\[\d*\])? ([\w, ]+)", declaration)
        assert found, declaration
        kind, size, names = found.groups()
        if kind.endswith("_"):
            hint: Any = idl_type(package + kind)
        else:
            hint = str if kind == "string" else getattr(types, kind)
        if size == "[]":
            hint = types.sequence[hint]
        elif size:
            hint = types.array[hint, int(size[1:-1])]
        made.update(dict.fromkeys(names.split(", "), hint))
    return annotations.final(
        annotations.autoid("sequential")(make_idl_struct(name.rpartition(".")[2], name, made))
    )


def type_identifier(of: type[IdlStruct]) -> bytes:
    """What a participant compares before it lets a reader have a writer's messages."""
    information = of.__idl__.get_type_info()
    return bytes(information.serialize(use_version_2=True))
