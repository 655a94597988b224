# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from vla_ros.core.errors import ActionError
from vla_ros.ros.controllers import CommandIntake
from vla_ros.ros.stamps import duration_from_ns, time_from_ns

SECOND = 1_000_000_000
NOW = 50 * SECOND
PRESENT = np.array([5.0, 6.0])
NAN = float("nan")


@pytest.fixture
def intake() -> CommandIntake:
    return CommandIntake(("a/position", "b/position"))


def trajectory(*points: tuple[float, list[float]], joints: str = "ab", at_s: float = 0.0):
    message = JointTrajectory(
        joint_names=list(joints),
        points=[
            JointTrajectoryPoint(
                positions=positions, time_from_start=duration_from_ns(round(after_s * SECOND))
            )
            for after_s, positions in points
        ],
    )
    message.header.stamp = time_from_ns(round(at_s * SECOND))
    return message


def at(intake: CommandIntake, seconds: float) -> list[float] | None:
    targets = intake.targets(NOW + round(seconds * SECOND))
    return None if targets is None else targets.tolist()


def test_nothing_is_commanded_at_first(intake: CommandIntake):
    assert at(intake, 0.0) is None


def test_an_array_holds_until_the_next_one(intake: CommandIntake):
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))
    assert at(intake, 0.0) == at(intake, 1000.0) == [1.0, 2.0]

    intake.on_array(Float64MultiArray(data=[3.0, 4.0]))
    assert at(intake, 0.0) == [3.0, 4.0]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1.0], "has 1 values, expected 2 for a, b"),
        ([1.0, 2.0, 3.0], "has 3 values, expected 2"),
        ([], "has 0 values"),
        ([1.0, NAN], r"not finite \(for b\)"),
        ([float("inf"), 2.0], r"not finite \(for a\)"),
    ],
)
def test_a_bad_array_is_refused_and_the_last_one_stays(intake: CommandIntake, data, text):
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))

    with pytest.raises(ActionError, match=text):
        intake.on_array(Float64MultiArray(data=data))

    assert at(intake, 0.0) == [1.0, 2.0]


def test_it_is_known_when_a_command_has_been_carried_out(intake: CommandIntake):
    assert intake.ends_ns == 0
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))
    assert intake.ends_ns == 0
    intake.on_trajectory(trajectory((1.0, [7.0, 6.0]), (2.0, [7.0, 1.0])), NOW, PRESENT)
    assert intake.ends_ns == NOW + 2 * SECOND
    intake.forget()
    assert intake.ends_ns == 0


def test_a_trajectory_is_followed_on_straight_lines_from_where_the_robot_is(intake: CommandIntake):
    points = (1.0, [7.0, 6.0]), (2.0, [7.0, 10.0])

    intake.on_trajectory(trajectory(*points), NOW, PRESENT)

    assert at(intake, 0.0) == [5.0, 6.0]
    assert at(intake, 0.5) == [6.0, 6.0]
    assert at(intake, 1.0) == [7.0, 6.0]
    assert at(intake, 1.75) == [7.0, 9.0]
    assert at(intake, 2.0) == at(intake, 99.0) == [7.0, 10.0]


def test_joints_may_stand_in_any_order(intake: CommandIntake):
    intake.on_trajectory(trajectory((1.0, [20.0, 10.0]), joints="ba"), NOW, PRESENT)

    assert at(intake, 1.0) == [10.0, 20.0]


def test_a_trajectory_begins_from_the_command_in_force(intake: CommandIntake):
    intake.on_trajectory(trajectory((2.0, [7.0, 8.0])), NOW, PRESENT)
    intake.on_trajectory(trajectory((1.0, [0.0, 0.0])), NOW + SECOND, PRESENT)

    assert at(intake, 1.0) == [6.0, 7.0]
    assert at(intake, 1.5) == [3.0, 3.5]


def test_the_newer_of_array_and_trajectory_is_in_force(intake: CommandIntake):
    intake.on_trajectory(trajectory((1.0, [7.0, 8.0])), NOW, PRESENT)
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))
    assert at(intake, 0.5) == [1.0, 2.0]

    intake.on_trajectory(trajectory((1.0, [7.0, 8.0])), NOW, PRESENT)
    assert at(intake, 1.0) == [7.0, 8.0]


def test_a_stamp_says_when_it_begins_and_points_of_the_past_are_skipped(intake: CommandIntake):
    points = (1.0, [100.0, 100.0]), (2.0, [7.0, 8.0])

    intake.on_trajectory(trajectory(*points, at_s=49.0), NOW + SECOND // 2, PRESENT)

    assert at(intake, 0.5) == [5.0, 6.0]
    assert at(intake, 0.75) == [6.0, 7.0]
    assert at(intake, 1.0) == [7.0, 8.0]


def test_a_point_without_a_duration_is_a_step(intake: CommandIntake):
    intake.on_trajectory(trajectory((0.0, [7.0, 8.0])), NOW, PRESENT)

    assert at(intake, 0.001) == [7.0, 8.0]


def test_a_trajectory_without_points_stops_the_motion(intake: CommandIntake):
    intake.on_trajectory(trajectory((2.0, [7.0, 8.0])), NOW, PRESENT)
    intake.on_trajectory(trajectory(), NOW + SECOND, PRESENT)

    assert at(intake, 1.0) == at(intake, 99.0) == [6.0, 7.0]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (trajectory((1.0, [0.0]), joints="a"), "is for joints a, expected all of a, b"),
        (trajectory((1.0, [0.0, 0.0]), joints="ac"), "is for joints a, c"),
        (trajectory((1.0, [0.0, 0.0]), joints="aa"), "is for joints a, a"),
        (trajectory((1.0, []), joints=""), "is for joints none"),
        (trajectory((1.0, [0.0])), "has 1 values"),
        (trajectory((1.0, [0.0, NAN])), "not finite"),
        (trajectory((1.0, [0.0, 0.0]), (1.0, [1.0, 1.0])), "must increase"),
        (trajectory((1.0, [0.0, 0.0]), at_s=40.0), "was over 9.000 s ago"),
    ],
)
def test_a_bad_trajectory_is_refused_and_the_last_command_stays(
    intake: CommandIntake, message: JointTrajectory, text: str
):
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))

    with pytest.raises(ActionError, match=text):
        intake.on_trajectory(message, NOW, PRESENT)

    assert at(intake, 0.0) == [1.0, 2.0]


def test_what_was_commanded_can_be_forgotten(intake: CommandIntake):
    intake.on_array(Float64MultiArray(data=[1.0, 2.0]))
    intake.forget()

    assert at(intake, 0.0) is None
