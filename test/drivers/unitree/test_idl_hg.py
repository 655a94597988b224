# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from itertools import count

import pytest

from test.support.unitree_facts import FIELDS, HG, idl_type, type_identifier
from vla_ros.drivers.unitree.idl_hg import IMUState, LowCmd, LowState, MotorCmd, MotorState

TYPES = (IMUState, LowCmd, LowState, MotorCmd, MotorState)
# The encapsulation header of plain little-endian CDR.
HEADER = bytes([0, 1, 0, 0])


@pytest.mark.parametrize("ours", TYPES)
def test_unitree_has_the_same_type(ours: type):
    theirs = idl_type(ours.__idl_typename__)

    assert ours.__idl__.idl_transformed_typename == f"unitree_hg::msg::dds_::{ours.__name__}_"
    assert type_identifier(ours) == type_identifier(theirs)


@pytest.mark.parametrize(
    ("old", "new"), [("uint32[4]", "uint32[3]"), ("kp, kd", "kd, kp"), ("uint8", "int8")]
)
def test_another_type_would_be_seen(old: str, new: str):
    name = f"{HG}LowCmd_" if "[" in old else f"{HG}MotorCmd_"
    ours = LowCmd if "[" in old else MotorCmd

    other = idl_type(name, FIELDS[name].replace(old, new))

    assert type_identifier(ours) != type_identifier(other)


def command() -> tuple[LowCmd, list[int]]:
    """A command whose values all differ, and its values."""
    numbers = count(3)
    made = LowCmd(1, 2)
    for motor in made.motor_cmd:
        motor.mode = next(numbers) % 256
        motor.q, motor.dq, motor.tau, motor.kp, motor.kd = (next(numbers) for _ in range(5))
        motor.reserve = next(numbers)
    made.reserve = [next(numbers) for _ in range(4)]
    made.crc = 0xFEDCBA98
    values = list(range(1, 1 + 2 + 35 * 7 + 4))
    values[2:-4:7] = [value % 256 for value in values[2:-4:7]]
    return made, [*values, 0xFEDCBA98]


def test_a_command_is_these_bytes():
    made, values = command()

    written = made.serialize()

    # The first motor's mode comes right behind the modes: CDR aligns numbers, not structures.
    layout = "<2B" + "Bx5fI" + "B3x5fI" * 34 + "5I"
    assert written == HEADER + struct.pack(layout, *values)
    assert LowCmd.deserialize(written) == made


def test_a_state_is_these_bytes():
    made = LowState(version=[1, 2], mode_pr=3, mode_machine=4, tick=5)
    made.imu_state = IMUState([6, 7, 8, 9], [10, 11, 12], [13, 14, 15], [16, 17, 18], -19)
    values = [*range(1, 19), -19]
    for place in range(35):
        motor = [place, 0.5 + place, 2, 3, 4, -5, 6, 7, 8, 9, 10, 11, 12, 13, 1000 + place]
        values += motor
        made.motor_state[place] = MotorState(
            *motor[:5], motor[5:7], motor[7], motor[8:10], motor[10], motor[11:]
        )
    made.wireless_remote = bytes(range(40))
    made.reserve, made.crc = [20, 21, 22, 23], 24

    written = made.serialize()

    layout = "<2I2B2xI13fh" + "Bx4f2hf7I" + "B3x4f2hf7I" * 34 + "40B5I"
    assert written == HEADER + struct.pack(layout, *values, *range(40), *range(20, 25))
    assert LowState.deserialize(written) == made


def test_messages_start_all_zero_and_share_nothing():
    for made in (LowCmd(), LowState()):
        assert not any(made.serialize()[4:])

    first, second = LowCmd(), LowCmd()
    first.motor_cmd[0].q = 1.0
    first.reserve[0] = 1
    assert second == LowCmd()
    assert len({id(motor) for motor in first.motor_cmd}) == 35
