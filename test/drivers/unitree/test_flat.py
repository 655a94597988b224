# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from vla_ros.drivers.unitree.flat import command_values, state_values
from vla_ros.drivers.unitree.idl_hg import LowCmd, LowState


def test_every_number_of_a_command_has_its_turn():
    command = LowCmd(mode_pr=1, mode_machine=2, reserve=[3, 4, 5, 6], crc=7)
    command.motor_cmd[34].kd = 1.5

    values = list(command_values(command))

    assert len(values) == 2 + 35 * 7 + 5
    assert values[:2] + values[-5:] == [1, 2, 3, 4, 5, 6, 7]
    assert values[-7] == 1.5


def test_every_number_of_a_state_has_its_turn():
    state = LowState(version=[1, 2], tick=3, wireless_remote=bytes([4] * 40), crc=5)
    state.motor_state[0].q = 0.5

    values = list(state_values(state))

    assert len(values) == 5 + 14 + 35 * 15 + 40 + 5
    assert values[:5] + values[-45:-5] + values[-1:] == [1, 2, 0, 0, 3, *[4] * 40, 5]
    assert values[20] == 0.5
