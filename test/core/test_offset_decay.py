# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_ros.core.offset_decay import OffsetDecay, gentle_duration_s

SECOND = 1_000_000_000
MS = 1_000_000
START, LENGTH = 5 * SECOND, SECOND // 2
values = st.floats(-3.0, 3.0)


def decay(offset: float, rate: float, length: int = LENGTH) -> OffsetDecay:
    return OffsetDecay(START, length, np.array([offset]), np.array([rate]))


def sampled(it: OffsetDecay, until: int = SECOND) -> NDArray[np.float64]:
    """(T,) Its values, a millisecond apart, from its start on."""
    return np.array([it.at(START + t)[0] for t in range(0, until, MS)])


@given(values, values)
def test_begins_with_its_value_and_rate_and_ends_at_rest(offset: float, rate: float) -> None:
    it, end = decay(offset, rate), START + LENGTH
    assert it.at(START)[0] == pytest.approx(offset)
    assert it.rate_at(START)[0] == pytest.approx(rate)
    for moment in (end, end + SECOND):
        assert it.at(moment)[0] == 0.0
        assert it.rate_at(moment)[0] == 0.0


@given(values, values)
def test_it_ends_without_a_corner_and_its_acceleration_begins_at_zero(
    offset: float, rate: float
) -> None:
    path = sampled(decay(offset, rate))
    acceleration = np.diff(path, n=2) / 0.001**2
    # The quintic's third derivative is at most 60 offset / T^3 + 36 rate / T^2.
    jerk = 60.0 * abs(offset) / 0.5**3 + 36.0 * abs(rate) / 0.5**2
    assert np.all(np.abs(np.diff(acceleration)) <= 0.001 * jerk + 1e-5)
    assert abs(acceleration[0]) <= 0.002 * jerk + 1e-5


@given(values, values, st.floats(0.01, 0.99))
def test_its_rate_is_its_derivative(offset: float, rate: float, share: float) -> None:
    it, delta = decay(offset, rate), 1000  # ns
    at = START + round(share * LENGTH)
    difference = (it.at(at + delta)[0] - it.at(at - delta)[0]) / (2 * delta * 1e-9)
    assert it.rate_at(at)[0] == pytest.approx(difference, abs=1e-3)


def test_before_its_start_it_is_whole() -> None:
    assert decay(0.5, 9.0).at(0)[0] == pytest.approx(0.5)
    assert decay(0.5, 9.0).rate_at(0)[0] == pytest.approx(9.0)


@given(values)
def test_a_resting_offset_dies_away_without_overshoot(offset: float) -> None:
    path = sampled(decay(offset, 0.0))
    assert np.all(np.diff(np.abs(path)) <= 1e-9)
    assert np.all(path * offset >= 0.0)


@given(st.floats(0.01, 3.0), st.floats(0.1, 5.0), st.floats(0.5, 50.0))
def test_its_gentle_duration_is_the_shortest_that_spends_no_more(
    offset: float, max_velocity: float, max_acceleration: float
) -> None:
    duration_s = gentle_duration_s(
        np.array([offset, 0.0]),
        max_velocity=np.full(2, max_velocity),
        max_acceleration=np.full(2, max_acceleration),
    )
    it = OffsetDecay(0, round(duration_s * 1e9), np.array([offset]), np.zeros(1))
    times = np.linspace(0.0, duration_s, 401)
    rates = np.array([it.rate_at(round(t * 1e9))[0] for t in times])
    fastest = np.max(np.abs(rates))
    hardest = np.max(np.abs(np.diff(rates))) / times[1]
    assert fastest <= max_velocity * 1.001
    assert hardest <= max_acceleration * 1.01
    assert max(fastest / max_velocity, hardest / max_acceleration) > 0.98


def test_the_joint_with_the_longest_way_decides() -> None:
    offsets, ones = np.array([0.1, -0.4]), np.ones(2)
    both = gentle_duration_s(offsets, max_velocity=ones, max_acceleration=ones)
    alone = gentle_duration_s(offsets[1:], max_velocity=ones[1:], max_acceleration=ones[1:])
    assert both == alone
    assert gentle_duration_s(0.0 * offsets, max_velocity=ones, max_acceleration=ones) == 0.0
