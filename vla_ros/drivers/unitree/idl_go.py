# SPDX-License-Identifier: Apache-2.0
"""Unitree's types ``unitree_go`` that the Inspire hands use: lists of motors, without a CRC.

Fields and their order are the wire's; nothing may be added. The hands use ``q`` alone, normalized
as ``inspire`` tells. A message is plain data: whoever holds it may change it, in one thread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Annotated, Any

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import autoid, final
from cyclonedds.idl.types import array, float32, sequence, uint8, uint32

from vla_ros.drivers.unitree.packed import packed

_LENGTH = struct.Struct("<I")
_MOTOR_CMD = struct.Struct("<B3x5f3I")
_MOTOR_STATE = struct.Struct("<B3x7fB3x3I")

# The fields' types have names because cyclonedds looks a postponed annotation up by its name.
Uint32x2 = Annotated[list[int], array(uint32, 2)]
Uint32x3 = Annotated[list[int], array(uint32, 3)]


@dataclass
@final
@autoid("sequential")
class MotorCmd(IdlStruct, typename="unitree_go.msg.dds_.MotorCmd_"):
    """What one motor shall do.

    Attributes:
        mode: Unused by the hands, as all but ``q``.
        q: Target position.
        dq: Target velocity.
        tau: Torque.
        kp: Gain of the position's error.
        kd: Gain of the velocity's error.
        reserve: Zeros.
    """

    mode: uint8 = 0
    q: float32 = 0.0
    dq: float32 = 0.0
    tau: float32 = 0.0
    kp: float32 = 0.0
    kd: float32 = 0.0
    reserve: Uint32x3 = field(default_factory=lambda: [0] * 3)


MotorCmdList = Annotated[list[MotorCmd], sequence(MotorCmd)]


@packed
@dataclass
@final
@autoid("sequential")
class MotorCmds(IdlStruct, typename="unitree_go.msg.dds_.MotorCmds_"):
    """What some motors shall do; unitree_sim_isaaclab ignores fewer than 12.

    Attributes:
        cmds: Any number of motors.
    """

    cmds: MotorCmdList = field(default_factory=list)

    def pack(self) -> bytes:
        """As of ``Packable``."""
        rows = (
            _MOTOR_CMD.pack(it.mode, it.q, it.dq, it.tau, it.kp, it.kd, *it.reserve)
            for it in self.cmds
        )
        return b"".join((_LENGTH.pack(len(self.cmds)), *rows))

    @classmethod
    def unpack(cls, data: bytes) -> MotorCmds:
        """As of ``Packable``."""
        return cls([MotorCmd(*(*row[:6], list(row[6:]))) for row in _rows(_MOTOR_CMD, data)])


@dataclass
@final
@autoid("sequential")
class MotorState(IdlStruct, typename="unitree_go.msg.dds_.MotorState_"):
    """How one motor does.

    Attributes:
        mode: Unused by the hands.
        q: Position.
        dq: Velocity, raw.
        ddq: Acceleration, raw.
        tau_est: Estimated torque, raw.
        q_raw: Unused by the hands, as all that follow.
        dq_raw: Unused.
        ddq_raw: Unused.
        temperature: Unsigned, as in unitree_sdk2py; the ROS message of that name has a sign.
        lost: Unused.
        reserve: Nothing.
    """

    mode: uint8 = 0
    q: float32 = 0.0
    dq: float32 = 0.0
    ddq: float32 = 0.0
    tau_est: float32 = 0.0
    q_raw: float32 = 0.0
    dq_raw: float32 = 0.0
    ddq_raw: float32 = 0.0
    temperature: uint8 = 0
    lost: uint32 = 0
    reserve: Uint32x2 = field(default_factory=lambda: [0] * 2)


MotorStateList = Annotated[list[MotorState], sequence(MotorState)]


@packed
@dataclass
@final
@autoid("sequential")
class MotorStates(IdlStruct, typename="unitree_go.msg.dds_.MotorStates_"):
    """How some motors do.

    Attributes:
        states: Any number of motors.
    """

    states: MotorStateList = field(default_factory=list)

    def pack(self) -> bytes:
        """As of ``Packable``."""
        rows = (
            _MOTOR_STATE.pack(
                *(it.mode, it.q, it.dq, it.ddq, it.tau_est, it.q_raw, it.dq_raw, it.ddq_raw),
                *(it.temperature, it.lost, *it.reserve),
            )
            for it in self.states
        )
        return b"".join((_LENGTH.pack(len(self.states)), *rows))

    @classmethod
    def unpack(cls, data: bytes) -> MotorStates:
        """As of ``Packable``."""
        return cls([MotorState(*(*row[:10], list(row[10:]))) for row in _rows(_MOTOR_STATE, data)])


def _rows(row: struct.Struct, data: bytes) -> list[tuple[Any, ...]]:
    """The numbers of each motor of a list."""
    [count] = _LENGTH.unpack_from(data)
    end = _LENGTH.size + count * row.size
    if end > len(data):
        raise struct.error(f"{count} motors need {end} bytes, found {len(data)}")
    return list(row.iter_unpack(data[_LENGTH.size : end]))
