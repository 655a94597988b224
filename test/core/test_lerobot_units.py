# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from test.core.arms import CALIBRATION, SERVOS
from test.core.helpers import POLICY
from test.core.refusals import changed, refused
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.policy_spec import KeyMap, load_policy_spec
from vla_ros.core.servo_calibration import MotorCalibration as Found
from vla_ros.core.servo_calibration import calibration_text, load_calibration, tick_map
from vla_ros.core.servo_spec import load_servo_spec

ARM = "action:\n  arm: {interfaces: [a/position], unit: rad}"

# ruff: noqa: E501
# A pose of an SO101, known from its ticks. Each line: the joint's calibrated range, where it is
# [ticks], the same in both of LeRobot's units, and in radians of both URDFs.
#   degrees = (ticks - middle) * 360 / 4095, range = (ticks - minimum) / span * 200 - 100
#   new = (ticks - middle) * 2 pi / 4096, old = new plus a quarter turn at two joints
KNOWN = [
    (740, 3400, 2325, 22.417582417582416, 19.172932330827066, 0.3911651009108385, 0.3911651009108385),
    (800, 3200, 1000, -87.91208791208791, -83.33333333333333, -1.5339807878856412, -3.104777114680538),
    (900, 3100, 2512, 45.01098901098901, 46.54545454545455, 0.7853981633974483, 2.356194490192345),
    (1000, 3047, 2023, -0.04395604395604396, -0.048851978505128, -0.0007669903939428206, -0.0007669903939428206),
    (0, 4095, 3071, 89.97802197802197, 49.98778998778999, 1.5700293364009538, 1.5700293364009538),
]  # fmt: skip
OFFSETS = (-12, 30, -700, 2047, 5)
GRIPPER = (2040, 3440)


def policy(folder: Path, entry: str) -> KeyMap:
    path = folder / "policy.yaml"
    path.write_text(changed(POLICY, ARM, f"action:\n  arm: {{{entry}}}"))
    return load_policy_spec(path).action["arm"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.yaml").write_text(SERVOS)
    (tmp_path / "arm.json").write_text(CALIBRATION)
    return tmp_path


def test_both_units_and_both_urdfs_tell_of_the_same_pose(tmp_path: Path):
    spec = load_servo_spec(config_file("servos", "so101"))
    arm, gripper = ", ".join(spec.interfaces[:-1]), spec.interfaces[-1]
    ranges = [(row[0], row[1]) for row in KNOWN] + [GRIPPER]
    found = {
        name: Found(offset, *ends)
        for name, offset, ends in zip(spec.interfaces, (*OFFSETS, 0), ranges, strict=True)
    }
    (tmp_path / "mine.json").write_text(calibration_text(found, spec))
    ticks = np.array([row[2] for row in KNOWN] + [2740])

    for servos, column in (("so101", 5), ("so101_old_calib", 6)):
        named = f"interfaces: [{arm}], servos: {servos}"
        degrees = policy(tmp_path, f"{named}, unit: lerobot_degrees")
        ranged = policy(tmp_path, f"{named}, unit: lerobot_range, calibration: mine.json")
        percent = policy(
            tmp_path, f"interfaces: [{gripper}], unit: lerobot_percent, servos: {servos}"
        )
        of_servos = load_servo_spec(config_file("servos", servos))
        measured = tick_map(of_servos, load_calibration(tmp_path / "mine.json", of_servos))
        known_rad = np.array([row[column] for row in KNOWN])

        np.testing.assert_allclose(measured.to_rad(ticks)[:-1], known_rad, atol=1e-7)
        for units, place in ((degrees, 3), (ranged, 4)):
            shown = np.array([row[place] for row in KNOWN])
            np.testing.assert_allclose(units.from_policy(shown), known_rad, atol=1e-7)
            np.testing.assert_allclose(units.to_policy(known_rad), shown, atol=1e-5)
            angles = np.append(units.from_policy(shown), percent.from_policy(np.array([50.0])))
            assert measured.to_ticks(angles).tolist() == ticks.tolist()


@pytest.mark.parametrize("servos", ["so101", "so101_old_calib"])
def test_the_gripper_maps_exactly_both_ways(tmp_path: Path, servos: str):
    spec = load_servo_spec(config_file("servos", servos))
    gripper = spec.interfaces[-1]
    found = {name: Found(0, *GRIPPER) for name in spec.interfaces}
    percent = policy(tmp_path, f"interfaces: [{gripper}], unit: lerobot_percent, servos: {servos}")
    ticks = tick_map(spec, found)

    for shown in np.arange(0.0, 100.25, 0.25):
        angle = percent.from_policy(np.array([shown]))
        # A quarter of a percent is 3.5 ticks of this gripper, so every second one is a whole tick.
        wanted = 2040 + shown * 14.0
        [tick] = ticks.to_ticks(np.append(np.zeros(5), angle))[-1:]
        assert abs(tick - wanted) <= 0.5
        [back] = percent.to_policy(ticks.to_rad(np.append(np.zeros(5), tick))[-1:])
        assert abs(back - shown) <= 0.5 / 14.0 + 1e-9


def test_a_joint_that_turns_against_its_ticks_counts_down(small: Path):
    unit = f"servos: {small}/small.yaml, interfaces: [w/position]"
    degrees = policy(small, f"{unit}, unit: lerobot_degrees")
    ranged = policy(small, f"{unit}, unit: lerobot_range, calibration: {small}/arm.json")

    [turn] = degrees.to_policy(np.array([1.5 - math.pi / 2]))
    [reach] = ranged.to_policy(np.array([1.5 - math.pi / 2]))

    assert turn == pytest.approx(1024 * 360 / 4095)
    assert reach == pytest.approx(1024 * 200 / 4095)


def test_lerobots_own_numbers(small: Path):
    """By LeRobot's formulas for 2600 ticks of a range of 800 to 3200."""
    unit = f"servos: {small}/small.yaml, interfaces: [a/position]"
    angle = np.array([600 * 2 * math.pi / 4096])

    [degrees] = policy(small, f"{unit}, unit: lerobot_degrees").to_policy(angle)
    [reach] = policy(small, f"{unit}, unit: lerobot_range, calibration: arm.json").to_policy(angle)

    assert degrees == pytest.approx((2600 - (800 + 3200) / 2) * 360 / 4095)
    assert reach == pytest.approx((2600 - 800) / (3200 - 800) * 200 - 100)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("interfaces: [a/position], unit: lerobot_degrees", "arm.servos: required string is m"),
        (
            "interfaces: [a/position], unit: lerobot_degrees, servos: none_such",
            "servos: 'none_such' is not known; known: so101",
        ),
        (
            "interfaces: [a/position, b/position], unit: lerobot_degrees, servos: HERE/small.yaml",
            "action.arm.interfaces: b/position is no servo of HERE/small.yaml: a/position, w/",
        ),
        (
            "interfaces: [a/position], unit: lerobot_percent, servos: HERE/small.yaml",
            "action.arm.unit: must be lerobot_degrees or lerobot_range for a/position, found le",
        ),
        (
            "interfaces: [g/position], unit: lerobot_degrees, servos: HERE/small.yaml",
            "action.arm.unit: must be lerobot_percent for g/position, found lerobot_degrees",
        ),
        (
            "interfaces: [a/position], unit: lerobot_range, servos: HERE/small.yaml",
            "action.arm.calibration: required string is missing",
        ),
        (
            "calibration: gone.json, interfaces: [a/position], unit: lerobot_range, servos: HERE/small.yaml",
            "HERE/gone.json: cannot be read",
        ),
        (
            "interfaces: [a/position], unit: lerobot_degrees, servos: HERE/small.yaml, scale: [1]",
            "action.arm.scale: unknown key",
        ),
    ],
)
def test_a_bad_unit_is_refused(small: Path, entry: str, problem: str):
    here = str(small)
    with refused(ConfigError, problem.replace("HERE", here)):
        policy(small, entry.replace("HERE", here))
