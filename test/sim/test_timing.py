# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import numpy as np
import pytest

from vla_ros.sim.timing import Timer, Timing


def test_answers_are_lost_and_delayed_as_often_as_told():
    chance = random.Random(0)
    timing = Timing(latency_s=0.1, latency_jitter_s=0.02, spike_share=0.1, lost_share=0.2)

    drawn = np.array([timing.draw_latency_s(chance) for _ in range(2000)])

    assert np.mean(np.isinf(drawn)) == pytest.approx(0.2, abs=0.03)
    here = drawn[np.isfinite(drawn)]
    assert np.mean(here > 2.0) == pytest.approx(0.1, abs=0.03)
    assert np.all((here % 2.0 >= 0.08 - 1e-9) & (here % 2.0 <= 0.12 + 1e-9))


def test_a_timer_is_due_at_its_rate():
    timer = Timer(rate_hz=10.0)

    assert [timer.due(time_s) for time_s in (0.0, 0.05, 0.1, 0.19, 0.2)] == [
        True, False, True, False, True,
    ]  # fmt: skip
