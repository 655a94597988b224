# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.helpers import robot
from vla_ros.core.limits import CommandLimiter

DT = 0.02
VELOCITY, ACCELERATION = 2.0, 20.0


def limiter(*position: float) -> CommandLimiter:
    it = CommandLimiter(robot())
    it.anchor(np.array(position or (0.0, 0.0, 0.0)))
    return it


def follow(
    it: CommandLimiter, *target: float, velocity: float = 0.0, margin: float = 0.0
) -> NDArray[np.float64]:
    speeds = np.array([velocity, 0.0, 0.0])
    return it.follow(np.array(target), speeds, dt_s=DT, margin=margin)


@given(st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(-5.0, 5.0)), min_size=1, max_size=80))
def test_no_target_breaks_a_limit(sequence: list[tuple[float, float]]) -> None:
    it = limiter()
    positions = [0.0, 0.0]
    for target, velocity in sequence:
        positions.append(float(follow(it, target, 0.0, 0.0, velocity=velocity)[0]))
    velocities = np.diff(positions) / DT
    assert np.all(np.abs(positions) <= 1.0 + 1e-9)
    assert np.all(np.abs(velocities) <= VELOCITY + 1e-9)
    # A position limit is harder than an acceleration limit: only there may it brake harder.
    free = np.abs(positions[2:]) < 1.0 - 1e-9
    assert np.all(np.abs(np.diff(velocities) / DT)[free] <= ACCELERATION + 1e-6)


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
    for _ in range(100):
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


def test_it_must_be_anchored_first() -> None:
    it = CommandLimiter(robot())
    assert it.position is None
    with pytest.raises(RuntimeError, match="anchor"):
        follow(it, 0.0, 0.0, 0.0)
    it.anchor(np.zeros(3))
    it.forget()
    with pytest.raises(RuntimeError, match="anchor"):
        it.stopping_point(DT)
