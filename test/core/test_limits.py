# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.helpers import robot
from vla_ros.core.limits import CommandLimiter

Doubles = NDArray[np.float64]

DT = 0.02
VELOCITY, ACCELERATION = 2.0, 20.0


class Anywhere:
    def may_go(self, stop: Doubles, next_stop: Doubles) -> bool:
        return True

    def speed_share(self, positions: Doubles, velocities: Doubles) -> float:
        return 1.0


def limiter(*position: float) -> CommandLimiter:
    it = CommandLimiter(robot())
    it.anchor(np.array(position or (0.0, 0.0, 0.0)))
    return it


def follow(
    it: CommandLimiter,
    *target: float,
    velocity: float = 0.0,
    margin: float = 0.0,
    dt_s: float = DT,
) -> NDArray[np.float64]:
    speeds = np.array([velocity, 0.0, 0.0])
    return it.follow(np.array(target), speeds, dt_s=dt_s, within=it.within(margin))


ticks = st.tuples(st.floats(-3.0, 3.0), st.floats(-5.0, 5.0), st.floats(0.005, 0.06))


@given(st.lists(ticks, min_size=1, max_size=80))
def test_no_target_breaks_a_limit(sequence: list[tuple[float, float, float]]) -> None:
    """Whatever the targets and the lengths of ticks, and at the bounds too."""
    it = limiter()
    position, velocity = 0.0, 0.0
    for target, target_velocity, dt_s in sequence:
        command = float(follow(it, target, 0.0, 0.0, velocity=target_velocity, dt_s=dt_s)[0])
        moved = (command - position) / dt_s
        assert abs(command) <= 1.0 + 1e-9
        assert abs(moved) <= VELOCITY + 1e-9
        assert abs(moved - velocity) / dt_s <= ACCELERATION + 1e-6
        position, velocity = command, moved


@given(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9))
def test_a_resting_target_is_met_without_overshoot_and_kept(start: float, goal: float) -> None:
    it = limiter(start, 0.0, 0.0)
    path = [float(follow(it, goal, 0.0, 0.0)[0]) for _ in range(150)]
    assert path[-1] == pytest.approx(goal, abs=1e-6)
    assert min(path) >= min(start, goal) - 1e-6
    assert max(path) <= max(start, goal) + 1e-6


def test_a_moving_target_within_the_limits_is_met_exactly() -> None:
    it = limiter()
    times = np.arange(1, 200) * DT
    path = 0.3 - 0.3 * np.cos(2.0 * times)  # at most 0.6 rad/s and 1.2 rad/s^2
    speeds = np.diff(path, prepend=0.0) / DT
    met = [
        float(follow(it, target, 0.0, 0.0, velocity=speed)[0])
        for target, speed in zip(path, speeds, strict=True)
    ]
    assert met == pytest.approx(path, abs=1e-9)
    assert it.clipped.tolist() == [0, 0, 0]
    assert it.clipped_by_max == pytest.approx([0.0, 0.0, 0.0])


def test_what_is_clipped_is_counted_per_interface() -> None:
    it = limiter()
    follow(it, 0.0, 0.9, 0.0)
    follow(it, 0.0, 0.9, 0.0)
    assert it.clipped.tolist() == [0, 2, 0]
    assert it.clipped_by_max[1] > 0.8


def test_the_margin_keeps_away_from_the_limits() -> None:
    it = limiter()
    for _ in range(200):
        command = follow(it, 5.0, -5.0, 5.0, margin=0.1)
    assert command == pytest.approx([0.9, -0.9, 0.9])


def test_a_margin_wider_than_the_range_means_the_middle() -> None:
    it = limiter(0.0, 0.0, 0.2)
    for _ in range(100):
        command = follow(it, 5.0, 5.0, 5.0, margin=9.0)
    assert command == pytest.approx([0.0, 0.0, 0.5])


def test_a_pose_outside_the_limits_is_led_back_in() -> None:
    it = limiter(1.2, 0.0, 0.0)
    path = [float(follow(it, 5.0, 0.0, 0.0)[0]) for _ in range(60)]
    assert path[0] <= 1.2
    assert np.all(np.diff(path) <= 1e-12)
    assert path[-1] == pytest.approx(1.0)


def test_the_stopping_point_is_where_braking_ends() -> None:
    it = limiter()
    for step in range(1, 15):
        follow(it, 0.03 * step, 0.0, 0.0, velocity=1.5)
    assert it.velocity[0] == pytest.approx(1.5)
    stop = it.stopping_point(DT)
    assert stop[0] > it.position[0] + 0.01  # type: ignore[index]
    path = [float(follow(it, *stop)[0]) for _ in range(40)]
    assert path[-1] == pytest.approx(stop[0], abs=1e-6)
    assert np.all(np.diff(path) >= -1e-9)


def test_the_stopping_point_is_not_beyond_a_position_limit() -> None:
    it = limiter(1.2, 0.0, 0.0)
    assert it.stopping_point(DT).tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(("together", "second"), [(True, 1.0), (False, 1.1)])
def test_joints_slow_down_together_if_they_are_told_to(together: bool, second: float) -> None:
    """The direction is kept; the hand, a switched interface, is none."""
    it = limiter(-0.9, -0.5, 0.0)
    for speed in np.arange(0.2, 2.3, 0.2):
        start = it.position
        assert start is not None
        wanted = np.array([speed, 0.5 * speed, 0.0])
        target = start + wanted * DT
        target[2] = 0.5 if speed > 2.1 else 0.0
        command = it.follow(
            target, wanted, dt_s=DT, within=it.within(0.0), preserve_direction=together
        )
    assert (command - start) / DT == pytest.approx([2.0, second, 25.0])


def test_where_the_next_step_is_not_allowed_it_brakes() -> None:
    it = limiter()
    wall = 0.4
    seen = []

    class Wall(Anywhere):
        def may_go(self, stop: Doubles, next_stop: Doubles) -> bool:
            seen.append((stop[0], next_stop[0]))
            return bool(next_stop[0] <= wall)

    path = [0.0]
    for _ in range(150):
        target = np.array([0.9, 0.0, 0.0])
        command = it.follow(target, np.zeros(3), dt_s=DT, within=it.within(0.0), bounds=Wall())
        path.append(float(command[0]))
    assert max(path) <= wall
    assert path[-1] == pytest.approx(wall, abs=0.01)
    assert np.all(np.abs(np.diff(path, n=2)) <= ACCELERATION * DT * DT + 1e-9)
    for stop, next_stop in seen:
        assert stop <= wall + 1e-9
        assert next_stop >= stop - 1e-9


def test_all_together_are_no_faster_than_the_bounds_let_them_be() -> None:
    it = limiter()
    speeds = []

    class Slow(Anywhere):
        def speed_share(self, positions: Doubles, velocities: Doubles) -> float:
            return min(1.0, 0.5 / max(float(np.hypot(*velocities[:2])), 1e-9))

    for _ in range(40):
        target = np.array([0.9, 0.3, 0.0])
        before = it.position
        command = it.follow(target, np.zeros(3), dt_s=DT, within=it.within(0.0), bounds=Slow())
        speeds.append((command - before) / DT)
    assert max(np.hypot(*speed[:2]) for speed in speeds) == pytest.approx(0.5)
    assert np.all(np.abs(np.diff(speeds, axis=0)) <= ACCELERATION * DT + 1e-9)


def test_a_halted_command_moves_on_from_rest() -> None:
    it = limiter()
    for _ in range(5):
        it.follow(np.full(3, 0.9), np.zeros(3), dt_s=DT, within=it.within(0.0))
    before = it.position
    it.halt()
    command = it.follow(np.full(3, 0.9), np.zeros(3), dt_s=DT, within=it.within(0.0))
    assert before is not None
    assert np.all(np.abs(command - before)[:2] <= ACCELERATION * DT * DT + 1e-9)


def test_it_must_be_anchored_first() -> None:
    it = CommandLimiter(robot())
    assert it.position is None
    with pytest.raises(RuntimeError, match="anchor"):
        follow(it, 0.0, 0.0, 0.0)
    it.anchor(np.zeros(3))
    it.forget()
    with pytest.raises(RuntimeError, match="anchor"):
        it.stopping_point(DT)
