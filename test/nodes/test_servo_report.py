# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from test.core.arms import servos
from vla_ros.drivers.servo_bus import Feedback
from vla_ros.nodes.servo_report import arm_statuses
from vla_ros.ros.diagnostics import Level, Status


class Arm:
    """What a report reads of an arm."""

    def __init__(self, **values: Any) -> None:
        self.fault = ""
        self.silent: tuple[str, ...] = ()
        self.goal: np.ndarray | None = np.zeros(3)
        self.failed_reads = 2
        self.recoveries = 1
        self.newest: Feedback | None = feedback()
        for name, value in values.items():
            setattr(self, name, value)


def feedback(celsius: float = 30.0, volts: float = 7.4, alarm: str = "") -> Feedback:
    """Of which the middle servo's figures are given."""
    return Feedback(
        position=np.array([1, 2, 3]),
        velocity=np.zeros(3),
        load=np.array([0.0, -0.125, 0.0]),
        voltage_v=np.array([7.4, volts, 7.4]),
        temperature_c=np.array([30.0, celsius, 30.0]),
        alarms=("", alarm, ""),
    )


def statuses(arm: Arm, *, dry_run: bool = False) -> list[Status]:
    return list(arm_statuses(arm, servos(), port="a port", dry_run=dry_run))


def test_an_arm_that_is_well():
    bus, *each = statuses(Arm())

    assert (bus.name, bus.level, bus.message) == ("bus", Level.OK, "holds and follows")
    assert bus.values == {"port": "a port", "failed_reads": "2", "recoveries": "1"}
    assert [status.name for status in each] == ["servo a", "servo w", "servo g"]
    assert {(status.level, status.message) for status in each} == {(Level.OK, "is well")}
    assert each[1].values == {
        "temperature_c": "30", "voltage_v": "7.4", "load": "-0.12", "ticks": "2",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "level", "message"),
    [
        (feedback(celsius=54.0), Level.OK, "is well"),
        (feedback(celsius=55.0), Level.WARN, "is warm, from 55 C on"),
        (feedback(celsius=65.0, alarm="overheated"), Level.ERROR, "is too hot, from 65 C on"),
        (feedback(volts=4.9), Level.ERROR, "has a supply that is not within 5 to 13 V"),
        (feedback(volts=13.1), Level.ERROR, "has a supply that is not within 5 to 13 V"),
        (feedback(celsius=60.0, alarm="overload"), Level.ERROR, "complains: overload"),
    ],
)
def test_a_servo_that_is_not_well_is_named(found: Feedback, level: Level, message: str):
    _, first, second, third = statuses(Arm(newest=found))

    assert (second.level, second.message) == (level, message)
    assert first.level == third.level == Level.OK


@pytest.mark.parametrize(
    ("dry_run", "message"), [(False, "torque is off"), (True, "dry run: it is only read")]
)
def test_an_arm_that_is_not_held_is_a_warning(dry_run: bool, message: str):
    bus, *_ = statuses(Arm(goal=None), dry_run=dry_run)

    assert (bus.level, bus.message) == (Level.WARN, message)


def test_a_lost_servo_is_named():
    lost = Arm(fault="no answer from w", silent=("w/position",), newest=None, goal=None)

    bus, first, second, third = statuses(lost)

    assert (bus.level, bus.message) == (Level.ERROR, "no answer from w")
    assert (second.level, second.message) == (Level.ERROR, "does not answer")
    assert (first.level, first.message) == (Level.WARN, "is not measured")
    assert (third.level, third.message) == (Level.WARN, "is not measured")
