# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from test.ros.harness import Domain
from vla_ros.core.config_files import config_file
from vla_ros.core.driver_joints import driver_places
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.ros.commands import joint_trajectory, position_array
from vla_ros.ros.driver_commands import DriverCommands
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import COMMAND

ROBOT = load_robot_spec(config_file("robots", "g1_inspire"))
[FIRST, SECOND] = ROBOT.command_groups
# The driver knows the groups' joints in the other direction.
KNOWN = ROBOT.command_names[::-1]


class Driver:
    """Commands of a node, and somebody who sends them."""

    def __init__(self, domain: Domain, *, timeout_s: float = 5.0) -> None:
        self.domain = domain
        self.heard = 0
        self.present: np.ndarray | None = np.zeros(len(KNOWN))
        places = driver_places(ROBOT, ROBOT.command_groups, KNOWN, "driver.yaml")
        self.commands = DriverCommands(ROBOT, places, len(KNOWN), timeout_s=timeout_s)
        self.node = domain.add(lambda **more: LifecycleBase("driver", **more))
        self.undo = ExitStack()
        self.commands.listen(self.node, self.undo, lambda: self.present, self._hear)

    def _hear(self) -> None:
        self.heard += 1

    def send(self, group: str, message: Any) -> None:
        self.domain.publisher(type(message), ROBOT.command_groups[group].topic, COMMAND).publish(
            message
        )

    def target(self) -> np.ndarray:
        return self.commands.target(self.node.get_clock().now().nanoseconds)


def size(group: str) -> int:
    return len(ROBOT.command_groups[group].interfaces)


def test_nothing_is_commanded_at_first(domain: Domain):
    driver = Driver(domain)

    assert np.isnan(driver.target()).all()
    assert driver.commands.quiet == [FIRST, SECOND]


def test_a_group_is_commanded_where_its_joints_stand(domain: Domain):
    driver = Driver(domain)
    values = np.arange(1.0, 1.0 + size(FIRST))

    driver.send(FIRST, position_array(values))
    domain.spin_until(lambda: driver.heard, "the command")

    target = driver.target()
    assert target[::-1][: size(FIRST)].tolist() == values.tolist()
    assert np.isnan(target[::-1][size(FIRST) :]).all()
    assert driver.commands.quiet == [SECOND]


def test_a_command_counts_for_a_while(domain: Domain):
    driver = Driver(domain, timeout_s=0.2)
    driver.send(FIRST, position_array(np.zeros(size(FIRST))))
    domain.spin_until(lambda: driver.heard, "the command")

    domain.spin_for(0.3)

    assert np.isnan(driver.target()).all()
    assert driver.commands.quiet == [FIRST, SECOND]


def test_what_was_said_can_be_forgotten(domain: Domain):
    driver = Driver(domain)
    driver.send(FIRST, position_array(np.zeros(size(FIRST))))
    domain.spin_until(lambda: driver.heard, "the command")

    driver.commands.forget()

    assert np.isnan(driver.target()).all()


def test_a_robot_that_cannot_follow_does_not_carry_it_out_later(domain: Domain):
    driver = Driver(domain)
    driver.present = None
    driver.send(FIRST, position_array(np.zeros(size(FIRST))))
    domain.spin_for(0.3)
    driver.present = np.zeros(len(KNOWN))

    assert driver.heard == 0
    assert np.isnan(driver.target()).all()


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Float64MultiArray(data=[1.0]), "has 1 values, expected"),
        (Float64MultiArray(data=[float("nan")] * size(FIRST)), "not finite"),
    ],
)
def test_a_wrong_command_is_ignored_and_said(domain: Domain, capfd, message, text):
    driver = Driver(domain)

    driver.send(FIRST, message)
    written = ""

    def said() -> bool:
        nonlocal written
        written += capfd.readouterr().err
        return f"command group {FIRST}: ignored: " in written and text in written

    domain.spin_until(said, "the refusal")
    assert driver.heard == 0
    assert np.isnan(driver.target()).all()


def test_a_trajectory_lasts_as_long_as_it_is(domain: Domain, monkeypatch):
    group = ROBOT.command_groups[FIRST]
    topic = type(group)(group.topic, "joint_trajectory", group.interfaces, group.map)
    monkeypatch.setitem(ROBOT.command_groups, FIRST, topic)
    driver = Driver(domain, timeout_s=0.1)
    later_ns = driver.node.get_clock().now().nanoseconds + 500_000_000
    driver.present = np.full(len(KNOWN), 1.0)

    message: JointTrajectory = joint_trajectory(
        group.map.joints, np.full(size(FIRST), 2.0), later_ns
    )
    driver.send(FIRST, message)
    domain.spin_until(lambda: driver.heard, "the command")

    between = driver.target()[::-1][: size(FIRST)]
    assert (between >= 1.0).all()
    assert (between < 2.0).all()
    domain.spin_for(0.3)
    assert driver.commands.quiet == [SECOND]


def test_it_stops_listening(domain: Domain):
    driver = Driver(domain)
    driver.undo.close()

    group = ROBOT.command_groups[FIRST]
    domain.spin_until(lambda: not domain.peer.count_subscribers(group.topic), "silence")
