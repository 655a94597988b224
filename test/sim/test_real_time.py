# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.sim.real_time import RealTime


def test_the_worlds_time_runs_with_the_clock():
    time = RealTime()
    time.begin(world_s=2.0, now_s=100.0)

    assert time.until(world_s=2.0, now_s=100.01) == (pytest.approx(2.01), 0.0)
    assert time.until(world_s=2.01, now_s=100.15) == (pytest.approx(2.15), 0.0)


def test_a_world_that_lags_catches_up():
    time = RealTime(max_lag_s=0.2)
    time.begin(world_s=0.0, now_s=0.0)

    assert time.until(world_s=0.0, now_s=0.2) == (pytest.approx(0.2), 0.0)


def test_a_world_that_lags_far_behind_loses_time():
    time = RealTime(max_lag_s=0.2)
    time.begin(world_s=0.0, now_s=0.0)

    assert time.until(world_s=1.0, now_s=1.5) == (1.0, pytest.approx(0.5))
    assert time.until(world_s=1.0, now_s=1.51) == (pytest.approx(1.01), 0.0)
