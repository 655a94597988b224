# SPDX-License-Identifier: Apache-2.0
"""Unitree's types ``unitree_hg``: the whole body's command and state, with a CRC.

Fields and their order are the wire's; nothing may be added. Angles in radians, velocities in rad/s,
torques in Nm. A message is plain data: whoever holds it may change it, in one thread.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Annotated

from cyclonedds.idl import IdlStruct
from cyclonedds.idl.annotations import autoid, final
from cyclonedds.idl.types import array, float32, int16, uint8, uint32

from vla_ros.drivers.unitree.flat import command_values, state_values
from vla_ros.drivers.unitree.packed import packed

# The places of a message; a G1 has motors in the first 29.
MOTORS = 35

# CDR aligns numbers, not structures: the first motor's mode comes right behind what is before.
_LOW_CMD = struct.Struct("<2B" + "Bx5fI" + "B3x5fI" * (MOTORS - 1) + "5I")
_LOW_STATE = struct.Struct("<2I2B2xI13fh" + "Bx4f2hf7I" + "B3x4f2hf7I" * (MOTORS - 1) + "40B5I")

# The fields' types have names because cyclonedds looks a postponed annotation up by its name.
Float32x3 = Annotated[list[float], array(float32, 3)]
Float32x4 = Annotated[list[float], array(float32, 4)]
Int16x2 = Annotated[list[int], array(int16, 2)]
Uint8x40 = Annotated[bytes, array(uint8, 40)]
Uint32x2 = Annotated[list[int], array(uint32, 2)]
Uint32x4 = Annotated[list[int], array(uint32, 4)]


@dataclass
@final
@autoid("sequential")
class MotorCmd(IdlStruct, typename="unitree_hg.msg.dds_.MotorCmd_"):
    """What one motor shall do.

    Attributes:
        mode: 1: driven; 0: free.
        q: Target position [rad].
        dq: Target velocity [rad/s].
        tau: Torque beside the gains' [Nm].
        kp: Gain of the position's error [Nm/rad].
        kd: Gain of the velocity's error [Nm s/rad].
        reserve: Zero.
    """

    mode: uint8 = 0
    q: float32 = 0.0
    dq: float32 = 0.0
    tau: float32 = 0.0
    kp: float32 = 0.0
    kd: float32 = 0.0
    reserve: uint32 = 0


MotorCmdArray = Annotated[list[MotorCmd], array(MotorCmd, MOTORS)]


@packed
@dataclass
@final
@autoid("sequential")
class LowCmd(IdlStruct, typename="unitree_hg.msg.dds_.LowCmd_"):
    """What the whole body shall do.

    Attributes:
        mode_pr: 0: ankles by pitch and roll.
        mode_machine: As in the robot's state, else the robot refuses.
        motor_cmd: One for each place.
        reserve: Zeros.
        crc: See ``crc``.
    """

    mode_pr: uint8 = 0
    mode_machine: uint8 = 0
    motor_cmd: MotorCmdArray = field(default_factory=lambda: [MotorCmd() for _ in range(MOTORS)])
    reserve: Uint32x4 = field(default_factory=lambda: [0] * 4)
    crc: uint32 = 0

    def pack(self) -> bytes:
        """As of ``Packable``."""
        return _LOW_CMD.pack(*command_values(self))

    @classmethod
    def unpack(cls, data: bytes) -> LowCmd:
        """As of ``Packable``."""
        values = _LOW_CMD.unpack_from(data)
        motors = [MotorCmd(*values[at : at + 7]) for at in range(2, 2 + 7 * MOTORS, 7)]
        reserve = list(values[-5:-1])
        return cls(*(*values[:2], motors, reserve, values[-1]))


@dataclass
@final
@autoid("sequential")
class IMUState(IdlStruct, typename="unitree_hg.msg.dds_.IMUState_"):
    """What the inertial unit measures.

    Attributes:
        quaternion: The robot sends w, x, y, z; unitree_sim_isaaclab sends x, y, z, w.
        gyroscope: Rates about x, y and z [rad/s].
        accelerometer: Along x, y and z [m/s^2].
        rpy: Roll, pitch and yaw [rad].
        temperature: Of the unit [degrees Celsius].
    """

    quaternion: Float32x4 = field(default_factory=lambda: [0.0] * 4)
    gyroscope: Float32x3 = field(default_factory=lambda: [0.0] * 3)
    accelerometer: Float32x3 = field(default_factory=lambda: [0.0] * 3)
    rpy: Float32x3 = field(default_factory=lambda: [0.0] * 3)
    temperature: int16 = 0


@dataclass
@final
@autoid("sequential")
class MotorState(IdlStruct, typename="unitree_hg.msg.dds_.MotorState_"):
    """How one motor does.

    Attributes:
        mode: 1: driven; 0: free.
        q: Position [rad].
        dq: Velocity [rad/s].
        ddq: Acceleration [rad/s^2].
        tau_est: Estimated torque [Nm].
        temperature: Of two places in the motor [degrees Celsius].
        vol: Voltage [V].
        sensor: Raw sensor values.
        motorstate: Bits of faults.
        reserve: Nothing.
    """

    mode: uint8 = 0
    q: float32 = 0.0
    dq: float32 = 0.0
    ddq: float32 = 0.0
    tau_est: float32 = 0.0
    temperature: Int16x2 = field(default_factory=lambda: [0] * 2)
    vol: float32 = 0.0
    sensor: Uint32x2 = field(default_factory=lambda: [0] * 2)
    motorstate: uint32 = 0
    reserve: Uint32x4 = field(default_factory=lambda: [0] * 4)


MotorStateArray = Annotated[list[MotorState], array(MotorState, MOTORS)]


@packed
@dataclass
@final
@autoid("sequential")
class LowState(IdlStruct, typename="unitree_hg.msg.dds_.LowState_"):
    """How the whole body does.

    Attributes:
        version: Of the robot's software.
        mode_pr: As in ``LowCmd``.
        mode_machine: The kind of the robot's machinery.
        tick: Counts; the simulator counts messages, even those that say the same again.
        imu_state: The inertial unit.
        motor_state: One for each place.
        wireless_remote: Raw bytes of the remote control.
        reserve: Nothing.
        crc: See ``crc``.
    """

    version: Uint32x2 = field(default_factory=lambda: [0] * 2)
    mode_pr: uint8 = 0
    mode_machine: uint8 = 0
    tick: uint32 = 0
    imu_state: IMUState = field(default_factory=IMUState)
    motor_state: MotorStateArray = field(
        default_factory=lambda: [MotorState() for _ in range(MOTORS)]
    )
    wireless_remote: Uint8x40 = bytes(40)
    reserve: Uint32x4 = field(default_factory=lambda: [0] * 4)
    crc: uint32 = 0

    def pack(self) -> bytes:
        """As of ``Packable``."""
        return _LOW_STATE.pack(*state_values(self))

    @classmethod
    def unpack(cls, data: bytes) -> LowState:
        """As of ``Packable``."""
        values = _LOW_STATE.unpack_from(data)
        imu = IMUState(
            list(values[5:9]),
            list(values[9:12]),
            list(values[12:15]),
            list(values[15:18]),
            values[18],
        )
        motors = [
            MotorState(
                *(
                    *values[at : at + 5],
                    list(values[at + 5 : at + 7]),
                    values[at + 7],
                    list(values[at + 8 : at + 10]),
                    values[at + 10],
                    list(values[at + 11 : at + 15]),
                )
            )
            for at in range(19, 19 + 15 * MOTORS, 15)
        ]
        reserve = list(values[-5:-1])
        remote = bytes(values[-45:-5])
        told = (list(values[:2]), *values[2:5], imu, motors, remote, reserve, values[-1])
        return cls(*told)
