# SPDX-License-Identifier: Apache-2.0
"""Unitree's types ``unitree_go`` that the Inspire hands use: lists of motors, without a CRC.

Fields and their order are the wire's; nothing may be added. The hands use ``q`` alone, normalized
as ``inspire`` tells. A message is plain data: whoever holds it may change it, in one thread.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import autoid, final
from cyclonedds.idl.types import array, float32, sequence, uint8, uint32

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


@dataclass
@final
@autoid("sequential")
class MotorCmds(IdlStruct, typename="unitree_go.msg.dds_.MotorCmds_"):
    """What some motors shall do; unitree_sim_isaaclab ignores fewer than 12.

    Attributes:
        cmds: Any number of motors.
    """

    cmds: MotorCmdList = field(default_factory=list)


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


@dataclass
@final
@autoid("sequential")
class MotorStates(IdlStruct, typename="unitree_go.msg.dds_.MotorStates_"):
    """How some motors do.

    Attributes:
        states: Any number of motors.
    """

    states: MotorStateList = field(default_factory=list)
