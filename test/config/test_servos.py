# SPDX-License-Identifier: Apache-2.0
"""The servos that come with the package, and the robots that they move."""

from __future__ import annotations

from pathlib import Path

import pytest
import rustypot

from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.core.servo_spec import Ends, load_servo_spec

CONFIG = Path(__file__).parents[2] / "config"
each = pytest.mark.parametrize(
    "path", sorted((CONFIG / "servos").glob("*.yaml")), ids=lambda path: path.stem
)


@each
def test_servos_are_found_by_their_name(path: Path):
    assert load_servo_spec(path).name == path.stem
    assert config_file("servos", path.stem) == path


@each
def test_every_register_exists_and_takes_its_value(path: Path):
    for servo in load_servo_spec(path).servos.values():
        for name, value in servo.registers.items():
            register = rustypot.Sts3215PyController.register(name)
            assert register is not None, name
            assert 0 <= value < 1 << 8 * register.size, name


def test_the_robot_has_the_servos_and_their_gripper():
    robot, servos = load_robot_spec(config_file("robots", "so101")), load_servo_spec(
        config_file("servos", "so101")
    )  # fmt: skip

    assert robot.command_names == robot.state_names == servos.interfaces
    for interface, servo in servos.servos.items():
        if isinstance(servo.place, Ends):
            limits = robot.limits[interface]
            assert (limits.lower, limits.upper) == (servo.place.at_min_rad, servo.place.at_max_rad)


def test_both_calibrations_are_of_the_same_arm():
    new, old = (
        load_servo_spec(config_file("servos", f"so101{kind}")) for kind in ("", "_old_calib")
    )

    assert new.interfaces == old.interfaces
    for name in new.interfaces:
        one, other = new.servos[name], old.servos[name]
        assert (one.motor, one.id, one.range) == (other.motor, other.id, other.range)
        assert one.registers == other.registers
