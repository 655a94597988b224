# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.plan_clock import PlanClock

MS = 1_000_000
T0 = 10_000 * MS

speeds = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0.0, 1.0))
runs = st.lists(st.tuples(st.integers(0, 60 * MS), speeds), max_size=40)


def test_it_begins_with_the_ros_clock_at_full_speed() -> None:
    clock = PlanClock(T0)
    assert (clock.now_ns, clock.speed) == (T0, 1.0)
    assert clock.at(T0 - MS) == T0 - MS  # an observation that was made before


@given(runs)
def test_it_runs_as_fast_as_it_is_told_and_never_back(script: list[tuple[int, float]]) -> None:
    clock, now = PlanClock(T0), T0
    for dt, speed in script:
        now, before = now + dt, clock.now_ns
        expected = clock.ahead(now, speed=speed)
        clock.run(now, speed=speed)
        assert clock.now_ns == expected
        assert clock.speed == speed
        assert before <= clock.now_ns <= now
        assert clock.now_ns - before == pytest.approx(speed * dt, abs=1.0)


@given(runs)
def test_every_moment_that_passed_is_remembered(script: list[tuple[int, float]]) -> None:
    clock, now = PlanClock(T0), T0
    passed = [(now, clock.now_ns)]
    for dt, speed in script:
        now += dt + 1
        clock.run(now, speed=speed)
        passed.append((now, clock.now_ns))
    # Between two changes of speed each tick is rounded to a nanosecond.
    for ros_ns, plan_ns in passed:
        assert clock.at(ros_ns) == pytest.approx(plan_ns, abs=len(script))


@given(runs, st.integers(0, 100 * MS))
def test_moments_between_ticks_are_in_order(script: list[tuple[int, float]], step: int) -> None:
    clock, now = PlanClock(T0), T0
    for dt, speed in script:
        now += dt
        clock.run(now, speed=speed)
    moments = [clock.at(T0 + index * (step + MS)) for index in range(20)]
    for earlier, later in itertools.pairwise(moments):
        assert later >= earlier - len(script)


def test_it_goes_on_as_it_ran_last() -> None:
    clock = PlanClock(T0)
    clock.run(T0 + 100, speed=0.5)
    assert clock.at(T0 + 200) == T0 + 100
    clock.run(T0 + 200, speed=0.0)
    assert clock.at(T0 + 900) == T0 + 50


def test_only_the_last_changes_of_speed_are_remembered() -> None:
    clock = PlanClock(T0)
    for index in range(1, 3000):
        clock.run(T0 + index * MS, speed=0.5 * (index % 2))
    last = T0 + 2999 * MS
    assert clock.at(last) == clock.now_ns
    assert clock.at(last - 500 * MS) == clock.now_ns - 125 * MS
