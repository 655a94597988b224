# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.body_command import BodyGoal, Phase
from vla_ros.drivers.unitree.body_state import BodyState, Inertial, JointValues
from vla_ros.drivers.unitree.control import UnitreeControl

MOTORS, SIZE = 3, 15
NOTHING = np.full(SIZE, np.nan)


class Link:
    """Keeps what a robot was told."""

    def __init__(self) -> None:
        self.body: list[tuple[BodyGoal, int]] = []
        self.hands: list[np.ndarray] = []
        self.broken = False

    def tell_body(self, goal: BodyGoal, mode_machine: int) -> None:
        if self.broken:
            raise DeviceError("the network is gone")
        self.body.append((goal, mode_machine))

    def tell_hands(self, angles_rad: np.ndarray) -> None:
        self.hands.append(angles_rad)


class Robot:
    def __init__(self, *, ramp_s: float = 0.0) -> None:
        self.link: Any = Link()
        self.control = UnitreeControl(self.link, np.full(SIZE, -1.0), np.full(SIZE, 1.0))
        self.control.set_velocities(body_rad_s=1e6, hands_rad_s=1e6)
        self.control.set_release(ramp_s=ramp_s, after_s=9.0)
        self.control.begin()

    def measure(self, body: float = 0.0, hands: float = 0.5) -> None:
        values = np.full(MOTORS, body)
        inertial = Inertial(None, np.zeros(3), np.zeros(3))
        self.control.measure_body(BodyState(JointValues(values, values, values), inertial, 5))
        found = np.full(SIZE - MOTORS, hands)
        self.control.measure_hands(JointValues(found, found, found))

    def tick(self, target: np.ndarray) -> None:
        self.control.tick(target)
        time.sleep(0.001)
        self.control.tick(target)


def commanded(**places: float) -> np.ndarray:
    """Commands for the first motor, or the first joint of the hands."""
    target = NOTHING.copy()
    for name, value in places.items():
        target[{"motor": 0, "finger": MOTORS}[name]] = value
    return target


def test_it_is_known_where_a_robot_is_once_all_of_it_has_spoken():
    robot = Robot()
    assert robot.control.place is None
    robot.measure(0.25, 0.5)

    place = robot.control.place

    assert place is not None
    assert place.tolist() == [0.25] * MOTORS + [0.5] * (SIZE - MOTORS)


def test_a_part_that_nobody_commands_is_told_nothing():
    robot = Robot()
    robot.measure()
    robot.tick(NOTHING)
    assert robot.link.body == robot.link.hands == []

    robot.tick(commanded(motor=0.5))
    assert robot.link.hands == []
    assert robot.control.phase is Phase.FOLLOWING
    robot.tick(commanded(finger=0.75))

    goal, mode_machine = robot.link.body[-1]
    assert goal.position.tolist() == [0.5, 0.0, 0.0]
    assert mode_machine == 5
    assert robot.link.hands[-1].tolist() == [0.75] + [0.5] * 11
    assert robot.control.place.tolist() == [0.5, 0.0, 0.0, 0.75, *[0.5] * 11]


def test_body_and_hands_have_velocities_of_their_own():
    robot = Robot()
    robot.control.set_velocities(body_rad_s=0.0, hands_rad_s=1e6)
    robot.measure()

    robot.tick(commanded(motor=1.0, finger=1.0))

    assert robot.link.body[-1][0].position[0] == 0.0
    assert robot.link.hands[-1][0] == 1.0


def test_begun_anew_it_starts_from_where_the_robot_is_then():
    robot = Robot()
    robot.measure(0.0, 0.0)
    robot.tick(commanded(motor=1.0, finger=1.0))

    robot.control.begin()
    robot.measure(0.25, 0.5)
    before = len(robot.link.body), len(robot.link.hands)
    robot.tick(NOTHING)

    assert (len(robot.link.body), len(robot.link.hands)) == before
    robot.control.tick(commanded(motor=1.0, finger=1.0))
    assert robot.link.body[-1][0].position.tolist() == [0.25] * MOTORS
    assert robot.link.hands[-1].tolist() == [0.5] * 12


def test_a_robot_is_given_back_while_somebody_ticks():
    robot = Robot(ramp_s=0.1)
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.005):
            robot.measure()
            robot.control.tick(commanded(motor=0.5))

    ticking = threading.Thread(target=tick)
    ticking.start()
    end_s = time.monotonic() + 10.0
    while not (robot.link.body and robot.link.body[-1][0].weight == 1.0):
        assert time.monotonic() < end_s
        time.sleep(0.005)

    given_back = robot.control.give_back()
    ended.set()
    ticking.join()

    assert given_back
    assert robot.link.body[-1][0].weight == 0.0
    assert robot.control.phase is Phase.SILENT
    # What was commanded meanwhile did not count.
    assert {goal.position[0] for goal, _ in robot.link.body if goal.weight < 0.5} <= {0.0, 0.5}


def test_nobody_waits_for_ever_for_a_robot_to_be_given_back():
    robot = Robot(ramp_s=0.1)
    robot.measure()
    robot.tick(commanded(motor=0.5))

    begun_s = time.monotonic()
    assert not robot.control.give_back()
    assert 1.0 < time.monotonic() - begun_s < 5.0


def test_what_cannot_be_sent_is_said():
    robot = Robot()
    robot.measure()
    robot.link.broken = True

    with pytest.raises(DeviceError, match="the network is gone"):
        robot.control.tick(commanded(motor=0.5))
