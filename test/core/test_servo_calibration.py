# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.arms import CALIBRATION, calibration, servos
from test.core.refusals import changed, refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.servo_calibration import (
    MotorCalibration,
    calibration_from,
    calibration_text,
    lerobot_calibration_file,
    load_calibration,
    tick_map,
)

TICK = 2.0 * math.pi / 4096.0


def test_a_calibration_is_read_and_written_as_lerobot_does():
    found = calibration()

    assert list(found) == ["a/position", "w/position", "g/position"]
    assert found["a/position"] == MotorCalibration(-12, 800, 3200)
    assert (found["a/position"].middle, found["a/position"].span) == (2000.0, 2400)
    assert calibration_text(found, servos()) == CALIBRATION


def test_a_calibration_is_loaded_from_a_file_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "arm.json").write_text(CALIBRATION)

    assert load_calibration(Path("~/arm.json"), servos()) == calibration()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "arm.json: cannot be read: "), (b"\xff", "arm.json: cannot be read: 'utf-8' codec")],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, content, problem: str):
    path = tmp_path / "arm.json"
    if content is not None:
        path.write_bytes(content)

    with refused(ConfigError, problem):
        load_calibration(path, servos())


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"alpha": {', '"alpha": [', "arm.json: not valid JSON: "),
        ('"alpha"', '"omega"', "not valid JSON: a key stands twice among omega, omega, grip"),
        ('"alpha"', '"beta"', "alpha: required mapping is missing (keys present: beta, omega"),
        ('"omega": {', '"psi": {}, "omega": {', "arm.json: psi: unknown key (known here: alpha"),
        ('"id": 2', '"id": 3', "arm.json: omega.id: must be in [2, 2], found 3"),
        (
            '1,\n        "drive_mode": 0',
            '1,\n        "drive_mode": 1',
            "alpha.drive_mode: must be in [0, 0], found 1",
        ),
        ("2047", "2048", "omega.homing_offset: must be in [-2047, 2047], found 2048"),
        ("800", "-1", "alpha.range_min: must be in [0, 4094], found -1"),
        ("800", "3200", "alpha.range_max: must be in [3201, 4095], found 3200"),
        ("4095", "4096", "omega.range_max: must be in [1, 4095], found 4096"),
        ("3000", "3000.5", "grip.range_max: must be an integer, found float 3000.5"),
        ('"range_max": 3000', '"range_max": 3000, "more": 1', "grip.more: unknown key"),
    ],
)
def test_a_bad_calibration_is_refused(old: str, new: str, problem: str):
    with refused(ConfigError, problem):
        calibration(changed(CALIBRATION, old, new))


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000])
def test_what_is_no_mapping_is_refused(text: str):
    with refused(ConfigError, "arm.json: "):
        calibration_from(text, servos(), source="arm.json")


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({}, Path("~/.cache/huggingface/lerobot/calibration").expanduser()),
        ({"HF_HOME": "/h"}, Path("/h/lerobot/calibration")),
        ({"HF_HOME": "/h", "HF_LEROBOT_HOME": "/l"}, Path("/l/calibration")),
        ({"HF_LEROBOT_HOME": "/l", "HF_LEROBOT_CALIBRATION": "/c"}, Path("/c")),
    ],
)
def test_lerobot_finds_its_calibrations_there(environment: dict[str, str], folder: Path):
    found = lerobot_calibration_file(servos(), "mine", environment)

    assert found == folder / "robots/small_follower/mine.json"


def test_ticks_are_radians_of_a_physical_turn():
    ticks = tick_map(servos(), calibration())

    # The middle; a quarter turn above it, of which the second joint makes one below; the ends.
    np.testing.assert_allclose(
        ticks.to_rad(np.array([2000, 2047, 2000])), [0, 1.5 + TICK / 2, -0.2]
    )
    np.testing.assert_allclose(
        ticks.to_rad(np.array([3024, 3071, 3000])),
        [math.pi / 2, 1.5 + TICK / 2 - math.pi / 2, 1.8],
    )


def test_angles_become_the_nearest_ticks_within_the_range():
    ticks = tick_map(servos(), calibration())

    assert ticks.to_ticks(np.array([0.4 * TICK, 1.5 - 0.4 * TICK, 0.8])).tolist() == [
        2000,
        2048,
        2500,
    ]
    assert ticks.to_ticks(np.array([9.0, 9.0, -9.0])).tolist() == [3200, 0, 2000]


@given(st.data())
def test_every_tick_survives_the_way_to_radians_and_back(data: st.DataObject):
    ticks = tick_map(servos(), calibration())
    chosen = np.array(
        [data.draw(st.integers(*ends)) for ends in zip(ticks.lower, ticks.upper, strict=True)]
    )

    assert ticks.to_ticks(ticks.to_rad(chosen)).tolist() == chosen.tolist()
