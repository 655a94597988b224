# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.tick import Tick, TickTimer

MS = 1_000_000


def second(first_ns: int, now_ns: int, period_ns: int = 20 * MS) -> Tick:
    timer = TickTimer()
    timer.next(first_ns, period_ns=period_ns)
    return timer.next(now_ns, period_ns=period_ns)


def test_before_the_first_tick_no_time_has_passed() -> None:
    assert TickTimer().next(70 * MS, period_ns=20 * MS) == Tick(70 * MS, 0, "first")


@pytest.mark.parametrize("passed_ns", [0, 1, 20 * MS, 100 * MS])
def test_time_passes_between_ticks(passed_ns: int) -> None:
    tick = second(70 * MS, 70 * MS + passed_ns)
    assert tick == Tick(70 * MS + passed_ns, passed_ns, "usual")
    assert tick.last_ns == 70 * MS
    assert tick.passed_s == pytest.approx(passed_ns * 1e-9)


@pytest.mark.parametrize(("period_ms", "late_ms"), [(20, 101), (2, 101), (50, 151), (1000, 3001)])
def test_a_tick_is_stalled_after_a_tenth_of_a_second_and_three_periods(
    period_ms: int, late_ms: int
) -> None:
    assert second(0, (late_ms - 1) * MS, period_ms * MS).kind == "usual"
    assert second(0, late_ms * MS, period_ms * MS) == Tick(late_ms * MS, 0, "stalled")


@given(st.integers(1, 10**18), st.integers(1, 10**18))
def test_a_clock_that_goes_back_leaves_one_period_to_decelerate_in(now: int, back: int) -> None:
    assert second(now + back, now) == Tick(now, 20 * MS, "back")
