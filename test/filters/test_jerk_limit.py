# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import ruckig
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.helpers import robot
from vla_ros.filters.jerk_limit import JerkLimit

Doubles = NDArray[np.float64]

DT, JERK_TIME = 0.01, 0.1
VELOCITY, ACCELERATION = 2.0, 20.0
JERK = ACCELERATION / JERK_TIME
# How much of each limit a target of ``waves`` uses at most.
QUIET = 0.95

positions = st.floats(-1.0, 1.0)
ticks_s = st.floats(0.9 * DT, 1.1 * DT)


def jerk_limit(position: float = 0.0, velocity: float = 0.0) -> JerkLimit:
    stage = JerkLimit(robot(), jerk_time_s=JERK_TIME)
    stage.reset(np.array([position, 0.0, 0.0]), np.array([velocity, 0.0, 0.0]))
    return stage


def run(stage: JerkLimit, ticks: Iterable[tuple[float, float, float]]) -> Doubles:
    """(T, 2) Position and velocity of the first joint for ticks of target, velocity and time."""
    out = [
        stage.step(np.array([target, 0.0, 1.0]), np.array([velocity, 0.0, 0.0]), dt_s=dt_s)
        for target, velocity, dt_s in ticks
    ]
    return np.array([(position[0], velocity[0]) for position, velocity in out])


def resting(target: float, ticks: int) -> list[tuple[float, float, float]]:
    return [(target, 0.0, DT)] * ticks


def waves(frequencies: list[float], phase: float, times_s: Doubles, *, at: float = 0.0) -> Doubles:
    """(T,) A smooth target that uses at most ``QUIET`` of velocity, acceleration and jerk."""
    rates = np.array(frequencies)
    greatest = [
        (rates**order).sum() / limit
        for order, limit in enumerate((VELOCITY, ACCELERATION, JERK), start=1)
    ]
    height = QUIET / max(greatest)
    path: Doubles = at + height * np.sin(np.outer(times_s, rates) + phase).sum(axis=1)
    return path


def with_velocity(path: Doubles, dt_s: Doubles) -> list[tuple[float, float, float]]:
    """(T,) Ticks along a path of (T + 1,) positions."""
    return list(zip(path[1:].tolist(), (np.diff(path) / dt_s).tolist(), dt_s.tolist(), strict=True))


def assert_within_limits(path: Doubles, dt_s: Doubles | float) -> None:
    """No difference between commands is beyond velocity, acceleration and jerk."""
    times = np.broadcast_to(dt_s, (len(path) - 1,))
    velocity = np.diff(path) / times
    acceleration = np.diff(velocity) / times[1:]
    jerk = np.diff(acceleration) / times[2:]
    assert np.abs(velocity).max() <= VELOCITY * (1.0 + 1e-6)
    assert np.abs(acceleration).max() <= ACCELERATION * (1.0 + 1e-6)
    assert np.abs(jerk).max() <= JERK * (1.0 + 1e-4)


frequencies = st.lists(st.floats(0.3, 8.0), min_size=1, max_size=4)


@given(frequencies, st.floats(0.0, 6.0))
def test_a_target_within_the_limits_passes_exactly(rates: list[float], phase: float):
    path = waves(rates, phase, np.arange(301) * DT)
    speed = (path[1] - path[0]) / DT
    stage = jerk_limit(path[0], speed)
    # It starts without acceleration, so the target's comes to it as a jump.
    run(stage, with_velocity(path[:201], np.full(200, DT)))

    out = run(stage, with_velocity(path[200:], np.full(100, DT)))

    assert (out[:, 0] == path[201:]).all()
    assert out[:, 1] == pytest.approx(np.diff(path[200:]) / DT, abs=1e-9)


jumps = st.lists(st.tuples(st.integers(1, 60), positions, st.floats(0.0, 6.0)), max_size=6)


@settings(deadline=None)
@given(frequencies, jumps, st.randoms(use_true_random=False))
def test_whatever_the_target_does_the_command_is_continuous(rates, jumps, random):
    dt_s = np.array([random.uniform(0.9 * DT, 1.1 * DT) for _ in range(300)])
    times = np.concatenate([[0.0], np.cumsum(dt_s)])
    path, ticks, begin = waves(rates, 0.0, times), [], 0
    for length, at, phase in jumps:
        ticks += with_velocity(path, dt_s)[begin : begin + length]
        path, begin = waves(rates, phase, times, at=at), begin + length
    ticks = (ticks + with_velocity(path, dt_s)[begin:])[:300]

    out = run(jerk_limit(), ticks)

    assert_within_limits(np.concatenate([[0.0, 0.0], out[:, 0]]), np.concatenate([[DT], dt_s]))
    assert np.diff(out[:, 0]) / dt_s[1:] == pytest.approx(out[1:, 1], abs=1e-6)


@given(st.lists(st.tuples(positions, st.floats(-5.0, 5.0), ticks_s), min_size=2, max_size=60))
def test_nonsense_is_followed_within_the_limits(ticks: list[tuple[float, float, float]]):
    out = run(jerk_limit(), ticks)

    times = np.array([DT] + [dt_s for _, _, dt_s in ticks])
    assert_within_limits(np.concatenate([[0.0, 0.0], out[:, 0]]), times)


@given(st.lists(st.tuples(positions, st.floats(-5.0, 5.0), ticks_s), max_size=30), positions)
def test_it_comes_to_a_resting_target_in_finite_time_and_stays(ticks, goal: float):
    stage = jerk_limit()
    run(stage, ticks)

    out = run(stage, resting(goal, 300))

    # To a stop from full speed, 3 rad back, and rounding: 2.4 s at most.
    assert (out[240:] == [goal, 0.0]).all()


@given(positions, positions)
def test_from_rest_to_rest_nothing_is_overshot_and_it_takes_the_time_of_ruckig(start, goal):
    out = run(jerk_limit(start), resting(goal, 400))

    problem, way = ruckig.InputParameter(1), ruckig.Trajectory(1)
    problem.current_position, problem.target_position = [start], [goal]
    problem.max_velocity, problem.max_acceleration = [VELOCITY], [ACCELERATION]
    problem.max_jerk = [JERK]
    ruckig.Ruckig(1).calculate(problem, way)
    taken_s = DT * int(np.argmax(out[:, 0] == goal))
    assert taken_s <= way.duration + 2.0 * DT
    assert out[:, 0].min() >= min(start, goal) - 1e-7
    assert out[:, 0].max() <= max(start, goal) + 1e-7


@given(st.floats(0.1, 1.9))
def test_a_hold_after_motion_comes_to_rest_within_the_limits(speed: float):
    stage = jerk_limit(-1.0, speed)
    path = -1.0 + speed * DT * np.arange(31)
    moved = run(stage, with_velocity(path, np.full(30, DT)))[:, 0]
    # Where the limits without jerk come to rest.
    stop = path[-1] + 0.5 * speed**2 / ACCELERATION

    held = run(stage, resting(stop, 200))[:, 0]

    assert (moved == path[1:]).all()
    assert_within_limits(np.concatenate([moved, held]), DT)
    assert (held[100:] == stop).all()
    # Building the deceleration up costs this much way.
    assert held.max() - stop <= 0.5 * speed * JERK_TIME + speed * DT


def test_a_target_that_is_too_fast_is_met_again():
    too_fast = np.concatenate(
        [np.arange(0, 50) * 3.0 * VELOCITY * DT / 3.0 * 1.5, np.full(150, 1.5)]
    )
    dt_s = np.full(len(too_fast) - 1, DT)

    out = run(jerk_limit(), with_velocity(too_fast, dt_s))[:, 0]

    assert_within_limits(np.concatenate([[0.0, 0.0], out]), DT)
    assert out[30] < too_fast[31] - 0.05
    assert out[-1] == too_fast[-1]


def test_it_is_continuous_over_a_reset_from_motion():
    stage = jerk_limit(0.2, 1.0)

    out = run(stage, resting(0.2, 100))

    assert out[0, 0] == pytest.approx(0.2 + 1.0 * DT, abs=JERK * DT**3 * 2.0)
    assert_within_limits(np.concatenate([[0.2 - DT, 0.2], out[:, 0]]), DT)
    assert out[-1, 0] == 0.2


def test_interfaces_go_on_their_own_and_switched_ones_pass_untouched():
    stage = jerk_limit()
    still = np.zeros(3)
    for _ in range(60):
        position, velocity = stage.step(np.array([0.1, 0.9, 1.0]), still, dt_s=DT)
        assert (position[2], velocity[2]) == (1.0, 0.0)
        if position[0] == 0.1:
            break
    assert 0.1 < position[1] < 0.9


def test_where_ruckig_finds_no_way_it_goes_straight_and_asks_again(monkeypatch):
    class Lost:
        calls = 0

        def calculate(self, _problem: object, _trajectory: object) -> None:
            self.calls += 1
            raise ruckig.RuckigError("no way")

    stage, lost = jerk_limit(), Lost()
    with monkeypatch.context() as patch:
        patch.setattr(stage, "_ruckig", lost)
        first = run(stage, resting(0.5, 3))[:, 0]

    rest = run(stage, resting(0.5, 200))[:, 0]

    assert lost.calls == 3
    assert_within_limits(np.concatenate([[0.0, 0.0], first, rest]), DT)
    assert first[-1] > 0.0
    assert rest[-1] == 0.5


@pytest.mark.parametrize("jerk_time_s", [0.001, 10.0])
def test_the_shortest_and_the_longest_jerk_time_work(jerk_time_s: float):
    stage = JerkLimit(robot(), jerk_time_s=jerk_time_s)
    stage.reset(np.zeros(3), np.zeros(3))

    out = run(stage, resting(0.5, 1000))

    assert out[-1].tolist() == [0.5, 0.0]
