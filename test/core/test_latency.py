# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.latency import PercentileWindow


def test_nothing_is_not_a_number() -> None:
    window = PercentileWindow(capacity=4)
    assert math.isnan(window.percentile(50.0))
    assert math.isnan(window.maximum())
    assert len(window) == 0


def test_one_slow_answer_leaves_the_window() -> None:
    window = PercentileWindow(capacity=5)
    window.add(2.0)
    for _ in range(5):
        window.add(0.1)
    assert window.maximum() == pytest.approx(0.1)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(1, 10))
def test_percentiles_are_of_the_last_samples(samples: list[float], capacity: int) -> None:
    window = PercentileWindow(capacity)
    for sample in samples:
        window.add(sample)
    last = samples[-capacity:]
    assert len(window) == len(last)
    assert window.percentile(95.0) == pytest.approx(float(np.percentile(last, 95.0)))
    assert window.maximum() == max(last)
