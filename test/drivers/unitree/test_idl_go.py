# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

import pytest

from test.support.unitree_facts import FIELDS, GO, idl_type, type_identifier
from vla_ros.drivers.unitree.idl_go import MotorCmd, MotorCmds, MotorState, MotorStates

HEADER = bytes([0, 1, 0, 0])


@pytest.mark.parametrize("ours", [MotorCmd, MotorCmds, MotorState, MotorStates])
def test_unitree_has_the_same_type(ours: type):
    theirs = idl_type(ours.__idl_typename__)

    assert ours.__idl__.idl_transformed_typename == f"unitree_go::msg::dds_::{ours.__name__}_"
    assert type_identifier(ours) == type_identifier(theirs)


def test_a_temperature_with_a_sign_would_be_another_type():
    name = f"{GO}MotorState_"

    other = idl_type(name, FIELDS[name].replace("uint8 temperature", "int8 temperature"))

    assert type_identifier(MotorState) != type_identifier(other)


def test_commands_of_both_hands_are_these_bytes():
    values = [[place, 0.25 * place, 2, 3, 4, 5, 6, 7, 8 + place] for place in range(12)]
    made = MotorCmds([MotorCmd(*motor[:6], motor[6:]) for motor in values])

    written = made.serialize()

    packed = (struct.pack("<B3x5f3I", *motor) for motor in values)
    assert written == HEADER + struct.pack("<I", 12) + b"".join(packed)
    assert MotorCmds.deserialize(written) == made


def test_states_of_both_hands_are_these_bytes():
    values = [[1, 0.5 * place, *range(2, 8), 200, 9, 10, place] for place in range(12)]
    made = MotorStates([MotorState(*motor[:10], motor[10:]) for motor in values])

    written = made.serialize()

    packed = (struct.pack("<B3x7fB3x3I", *motor) for motor in values)
    assert written == HEADER + struct.pack("<I", 12) + b"".join(packed)
    assert MotorStates.deserialize(written) == made


def test_messages_start_all_zero_and_share_nothing():
    assert not any(MotorCmds([MotorCmd()]).serialize()[8:])
    assert not any(MotorStates([MotorState()]).serialize()[8:])

    MotorCmds().cmds.append(MotorCmd())
    MotorCmd().reserve[0] = 1
    assert MotorCmds().cmds == MotorStates().states == []
    assert MotorCmd().reserve == [0, 0, 0]
