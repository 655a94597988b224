# SPDX-License-Identifier: Apache-2.0
"""The SO101's servos on an emulated bus, calibrated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from test.support.servo_bus import ServoBus, servo_bus
from vla_ros.core.config_files import config_file
from vla_ros.core.servo_calibration import Calibration, MotorCalibration, calibration_text, tick_map
from vla_ros.core.servo_spec import load_servo_spec

SPEC = load_servo_spec(config_file("servos", "so101"))
OFFSETS = (-12, 30, -700, 2047, 5, 0)
RANGES = ((740, 3400), (800, 3200), (900, 3100), (1000, 3047), (0, 4095), (2040, 3440))
CALIBRATION: Calibration = {
    interface: MotorCalibration(offset, *ends)
    for interface, offset, ends in zip(SPEC.interfaces, OFFSETS, RANGES, strict=True)
}
TICKS = tick_map(SPEC, CALIBRATION)
# Where the arm is at first, as the servos count.
START = np.array([2100, 1500, 2400, 2023, 2047, 2500])
# Registers of the servos, by address.
MINIMUM, MAXIMUM, OFFSET, TORQUE, ACCELERATION, GOAL, LOCK = 9, 11, 31, 40, 41, 42, 55
VOLTAGE, TEMPERATURE = 62, 63


@contextlib.contextmanager
def arm_bus(folder: Path) -> Iterator[ServoBus]:
    """A calibrated arm, limp at its start; its calibration is ``mine.json`` in the folder."""
    (folder / "mine.json").write_text(calibration_text(CALIBRATION, SPEC))
    shafts = {
        servo_id: float(tick + offset)
        for servo_id, tick, offset in zip(SPEC.ids, START.tolist(), OFFSETS, strict=True)
    }
    with servo_bus(folder, shafts) as bus:
        for servo_id, found in zip(SPEC.ids, CALIBRATION.values(), strict=True):
            bus.eeprom(servo_id, MINIMUM, found.range_min)
            bus.eeprom(servo_id, MAXIMUM, found.range_max)
            bus.eeprom(servo_id, OFFSET, found.homing_offset, sign_bit=11)
        yield bus
