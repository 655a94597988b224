# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.filters.low_pass import LowPass

TAU = 1.0 / (2.0 * math.pi * 5.0)


def low_pass(position: float = 0.0) -> LowPass:
    """A 5 Hz low-pass of one joint and one gripper."""
    stage = LowPass(np.array([False, True]), cutoff_hz=5.0)
    stage.reset(np.array([position, 0.0]), np.zeros(2))
    return stage


def step(stage: LowPass, target: float, dt_s: float) -> tuple[float, float]:
    position, velocity = stage.step(np.array([target, target]), np.zeros(2), dt_s=dt_s)
    return float(position[0]), float(velocity[0])


@given(st.lists(st.floats(1e-4, 0.1), min_size=1, max_size=50))
def test_a_step_is_followed_exactly_however_the_time_is_cut(ticks: list[float]):
    stage = low_pass(position=1.0)

    for dt_s in ticks:
        position, _ = step(stage, 3.0, dt_s)

    assert position == pytest.approx(3.0 - 2.0 * math.exp(-sum(ticks) / TAU), abs=1e-12)


def test_it_is_behind_a_ramp_by_the_documented_time():
    stage = low_pass()
    dt_s, speed = 0.002, 0.7

    for tick in range(1, 500):
        position, velocity = step(stage, speed * tick * dt_s, dt_s)

    lag_s = 499 * dt_s - position / speed
    assert velocity == pytest.approx(speed)
    assert lag_s == pytest.approx(TAU - 0.5 * dt_s, rel=1e-3)


def test_a_sine_at_the_cutoff_is_damped_to_71_percent():
    stage = low_pass()
    dt_s = 0.001

    out = [step(stage, math.sin(tick * dt_s / TAU), dt_s)[0] for tick in range(3000)]

    assert max(out[1000:]) == pytest.approx(math.sqrt(0.5), abs=0.01)


@given(st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(1e-3, 0.1)), min_size=1, max_size=50))
def test_velocity_is_that_of_the_positions_and_no_position_is_overshot(
    sequence: list[tuple[float, float]],
):
    stage, before = low_pass(), 0.0

    for target, dt_s in sequence:
        position, velocity = step(stage, target, dt_s)
        assert before + velocity * dt_s == pytest.approx(position, abs=1e-9)
        assert min(before, target) - 1e-12 <= position <= max(before, target) + 1e-12
        before = position


def test_a_switched_interface_passes_untouched():
    stage = low_pass()

    position, velocity = stage.step(np.array([0.0, 1.0]), np.array([0.0, 5.0]), dt_s=0.01)

    assert (position[1], velocity[1]) == (1.0, 5.0)
