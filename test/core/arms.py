# SPDX-License-Identifier: Apache-2.0
"""A small arm's servos and their calibration, for tests."""

from __future__ import annotations

from vla_ros.core.servo_calibration import Calibration, calibration_from
from vla_ros.core.servo_spec import ServoSpec, servo_spec_from
from vla_ros.core.yaml_file import parse

# ruff: noqa: E501
SERVOS = """
name: small
calibration_folder: small_follower
ticks_per_turn: 4096
warn_temperature_c: 55
max_temperature_c: 65
min_voltage_v: 5.0
max_voltage_v: 13.0
registers: {acceleration: 254, p_coefficient: 16}
servos:
  a/position: {motor: alpha, id: 1, middle_rad: 0.0, sign: 1, range: swept}
  w/position: {motor: omega, id: 2, middle_rad: 1.5, sign: -1, range: whole_turn}
  g/position: {motor: grip, id: 6, range_rad: [-0.2, 1.8], range: swept, registers: {p_coefficient: 8}}
"""

CALIBRATION = """{
    "alpha": {
        "id": 1,
        "drive_mode": 0,
        "homing_offset": -12,
        "range_min": 800,
        "range_max": 3200
    },
    "omega": {
        "id": 2,
        "drive_mode": 0,
        "homing_offset": 2047,
        "range_min": 0,
        "range_max": 4095
    },
    "grip": {
        "id": 6,
        "drive_mode": 0,
        "homing_offset": 0,
        "range_min": 2000,
        "range_max": 3000
    }
}
"""


def servos(text: str = SERVOS) -> ServoSpec:
    """An arm joint that turns with its ticks, one that turns against them, and a gripper."""
    return servo_spec_from(parse(text, source="servos.yaml"))


def calibration(text: str = CALIBRATION) -> Calibration:
    """Their calibration."""
    return calibration_from(text, servos(), source="arm.json")
