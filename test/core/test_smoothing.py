# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.smoothing import smoothed

coefficients = st.floats(-1.0, 1.0)


@given(coefficients, coefficients, coefficients, st.integers(1, 60), st.floats(2.0, 30.0))
def test_a_parabola_passes_unchanged_ends_included(
    a: float, b: float, c: float, horizon: int, steps: float
) -> None:
    x = np.linspace(-1.0, 1.0, horizon)[:, None]
    parabola = a + b * x + c * x * x
    assert smoothed(parabola, steps) == pytest.approx(parabola, abs=1e-6)


@pytest.mark.parametrize("steps", [4.0, 8.0, 16.0])
def test_a_wave_of_that_length_is_halved(steps: float) -> None:
    wave = np.cos(2.0 * np.pi * np.arange(200) / steps)[:, None]
    middle = slice(80, 120)
    assert smoothed(wave, steps)[middle] == pytest.approx(0.5 * wave[middle], abs=1e-3)


def test_shorter_waves_vanish_and_longer_ones_stay() -> None:
    times = np.arange(200)[:, None]
    middle = slice(60, 140)
    short, long = np.cos(2.0 * np.pi * times / 4.0), np.cos(2.0 * np.pi * times / 16.0)
    assert np.max(np.abs(smoothed(short, 8.0)[middle])) < 0.03
    assert smoothed(long, 8.0)[middle] == pytest.approx(long[middle], abs=0.03)


@given(st.integers(0, 1000))
def test_noise_becomes_less(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=(50, 1))
    assert np.std(smoothed(noise, 8.0)) < 0.8 * np.std(noise)
    jerk = np.abs(np.diff(smoothed(noise, 8.0), n=3, axis=0)).max()
    assert jerk < 0.2 * np.abs(np.diff(noise, n=3, axis=0)).max()


@pytest.mark.parametrize(("horizon", "steps"), [(50, 0.0), (50, 1.9), (3, 8.0), (1, 8.0)])
def test_without_steps_or_actions_enough_nothing_is_done(horizon: int, steps: float) -> None:
    noise = np.random.default_rng(0).normal(size=(horizon, 2))
    assert smoothed(noise, steps).tolist() == noise.tolist()


def test_every_column_is_smoothed_by_itself() -> None:
    noise = np.random.default_rng(0).normal(size=(30, 2))
    both = smoothed(noise, 6.0)
    for column in range(2):
        alone = smoothed(noise[:, [column]], 6.0)
        assert both[:, [column]] == pytest.approx(alone)
