# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from test.core.arms import SERVOS, servos
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.servo_spec import Ends, Middle, Servo, load_servo_spec


def test_servos_are_read():
    spec = servos()

    assert (spec.name, spec.source) == ("small", "servos.yaml")
    assert (spec.calibration_folder, spec.ticks_per_turn) == ("small_follower", 4096)
    assert (spec.warn_temperature_c, spec.max_temperature_c) == (55.0, 65.0)
    assert (spec.min_voltage_v, spec.max_voltage_v) == (5.0, 13.0)
    assert spec.interfaces == ("a/position", "w/position", "g/position")
    assert spec.ids == (1, 2, 6)
    assert spec.servos["w/position"] == Servo(
        "omega", 2, Middle(1.5, -1), "whole_turn", {"acceleration": 254, "p_coefficient": 16}
    )
    assert spec.servos["g/position"] == Servo(
        "grip", 6, Ends(-0.2, 1.8), "swept", {"acceleration": 254, "p_coefficient": 8}
    )


def test_servos_are_loaded_from_a_file(tmp_path: Path):
    path = tmp_path / "servos.yaml"
    path.write_text(SERVOS)

    assert load_servo_spec(path).source == str(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("name: small\n", "", "name: required string is missing"),
        ("turn: 4096", "turn: 1", "ticks_per_turn: must be in [2, 65536], found 1"),
        ("max_temperature_c: 65", "max_temperature_c: 55", "max_temperature_c: must be > 55"),
        ("max_voltage_v: 13.0", "max_voltage_v: 3.0", "max_voltage_v: must be > 5, found 3.0"),
        ("acceleration: 254", "acceleration: fast", "registers.acceleration: must be an integer"),
        ("id: 2,", "id: 254,", "servos.w/position.id: must be in [0, 253], found 254"),
        ("id: 2,", "id: 1,", "top level: id 1 stands in more than one entry; one is allowed"),
        ("motor: omega", "motor: alpha", "motor alpha stands in more than one entry"),
        ("sign: -1", "sign: 0", "servos.w/position.sign: must be 1 or -1, found 0"),
        ("sign: -1", "sign: 2", "servos.w/position.sign: must be in [-1, 1], found 2"),
        ("middle_rad: 1.5, ", "", "servos.w/position.middle_rad: required number is missing"),
        ("[-0.2, 1.8]", "[1.8, 1.8]", "range_rad: must hold two angles, found 1.8 twice"),
        ("[-0.2, 1.8]", "[1.8]", "range_rad: must be a list of 2 numbers"),
        ("[-0.2, 1.8]", "[0, 1], sign: 1", "servos.g/position.sign: unknown key"),
        ("whole_turn", "half", "range: must be one of swept, whole_turn; found str 'half'"),
        ("name: small", "name: small\nsize: 1", "size: unknown key"),
    ],
)
def test_bad_servos_are_refused(old: str, new: str, problem: str):
    with refused(ConfigError, "servos.yaml: ", problem):
        servos(changed(SERVOS, old, new))


def test_an_arm_has_servos():
    with refused(ConfigError, "servos: must hold at least one entry, found none"):
        servos(SERVOS[: SERVOS.index("servos:")] + "servos: {}")
