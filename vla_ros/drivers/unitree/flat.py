# SPDX-License-Identifier: Apache-2.0
"""All numbers of a whole-body message, one after the other. Needs no types; any thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def command_values(command: Any) -> Iterator[float]:
    """All numbers of a ``LowCmd``, in the order of its fields."""
    yield from (command.mode_pr, command.mode_machine)
    for motor in command.motor_cmd:
        yield from (motor.mode, motor.q, motor.dq, motor.tau, motor.kp, motor.kd, motor.reserve)
    yield from command.reserve
    yield command.crc


def state_values(state: Any) -> Iterator[float]:
    """All numbers of a ``LowState``, in the order of its fields."""
    yield from (*state.version, state.mode_pr, state.mode_machine, state.tick)
    imu = state.imu_state
    yield from (*imu.quaternion, *imu.gyroscope, *imu.accelerometer, *imu.rpy, imu.temperature)
    for motor in state.motor_state:
        yield from (motor.mode, motor.q, motor.dq, motor.ddq, motor.tau_est, *motor.temperature)
        yield from (motor.vol, *motor.sensor, motor.motorstate, *motor.reserve)
    yield from (*state.wireless_remote, *state.reserve, state.crc)
