# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.blending import AGGREGATE_FNS, NEW_SHARE, OffsetDecay

SECOND = 1_000_000_000
values = st.floats(-3.0, 3.0)


def test_the_weights_are_those_of_lerobot() -> None:
    assert NEW_SHARE["weighted_average"] == 0.7
    assert NEW_SHARE["average"] == 0.5
    assert NEW_SHARE["conservative"] == 0.3
    assert NEW_SHARE["latest_only"] == 1.0
    assert set(NEW_SHARE) == set(AGGREGATE_FNS)


def decay(offset: float, rate: float) -> OffsetDecay:
    return OffsetDecay(5 * SECOND, SECOND // 2, np.array([offset]), np.array([rate]))


@given(values, values)
def test_begins_with_its_value_and_rate_and_ends_at_rest(offset: float, rate: float) -> None:
    it = decay(offset, rate)
    tiny = 1000  # ns
    first = it.at(5 * SECOND)[0]
    assert first == pytest.approx(offset)
    assert (it.at(5 * SECOND + tiny)[0] - first) / (tiny * 1e-9) == pytest.approx(rate, abs=1e-2)
    end = 5 * SECOND + SECOND // 2
    assert it.at(end)[0] == 0.0
    assert it.at(end - 1_000_000)[0] == pytest.approx(0.0, abs=1e-4)
    assert it.at(end + SECOND)[0] == 0.0


@given(values, values, st.floats(-0.1, 1.1))
def test_its_rate_is_its_derivative(offset: float, rate: float, share: float) -> None:
    it, delta = decay(offset, rate), 1000  # ns
    at = 5 * SECOND + round(share * SECOND / 2)
    if abs(share) < 0.01 or abs(share - 1.0) < 0.01 or share < 0.0:
        return
    difference = (it.at(at + delta)[0] - it.at(at - delta)[0]) / (2 * delta * 1e-9)
    assert it.rate_at(at)[0] == pytest.approx(difference, abs=1e-3)


def test_before_its_start_it_is_whole() -> None:
    assert decay(0.5, 9.0).at(0)[0] == pytest.approx(0.5)


@given(values)
def test_a_resting_offset_dies_away_without_overshoot(offset: float) -> None:
    samples = [decay(offset, 0.0).at(5 * SECOND + t)[0] for t in range(0, SECOND, SECOND // 50)]
    assert np.all(np.diff(np.abs(samples)) <= 1e-9)
    assert np.all(np.array(samples) * offset >= 0.0)
