# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.backends._guided_inpainting import (
    Array,
    Guidance,
    Schedule,
    Velocity,
    guidance_weight,
    guided_velocity,
    inpaint,
    prefix_weights,
)

H, D = 8, 3
RNG = np.random.default_rng(5)
NOISE, TARGET = RNG.standard_normal((H, D)), RNG.standard_normal((H, D))
COUNTS = st.integers(0, 40)
SCHEDULES: tuple[Schedule, ...] = ("zeros", "ones", "linear", "exp")


@pytest.mark.parametrize(
    ("schedule", "between"),
    [
        # What LeRobot's get_prefix_weights(start=4, end=10) gives.
        ("linear", [0.8571, 0.7143, 0.5714, 0.4286, 0.2857, 0.1429]),
        ("exp", [0.6766, 0.4335, 0.2563, 0.1335, 0.0550, 0.0128]),
        ("ones", [1.0] * 6),
        ("zeros", [0.0] * 6),
    ],
)
def test_the_weights_are_lerobots(schedule: Schedule, between: list[float]):
    weights = prefix_weights(4, 10, 12, schedule)

    np.testing.assert_allclose(weights, [*[1.0] * 4, *between, 0.0, 0.0], atol=5e-5)


@given(delay=COUNTS, end=COUNTS, horizon=COUNTS, schedule=st.sampled_from(SCHEDULES))
def test_weights_fall_from_one_to_zero(delay: int, end: int, horizon: int, schedule: Schedule):
    weights = prefix_weights(delay, end, horizon, schedule)

    assert weights.shape == (horizon,)
    assert (weights[:delay] == 1.0).all()
    assert (weights[max(delay, end) :] == 0.0).all()
    assert ((weights >= 0.0) & (weights <= 1.0)).all()
    assert (np.diff(weights) <= 0.0).all()


@given(delay=COUNTS, end=COUNTS, horizon=COUNTS)
def test_the_papers_curve_is_below_the_line(delay: int, end: int, horizon: int):
    linear, exp = (prefix_weights(delay, end, horizon, name) for name in ("linear", "exp"))

    assert (exp <= linear).all()


@pytest.mark.parametrize("counts", [(-1, 2, 3), (0, -2, 3), (0, 2, -3)])
def test_a_negative_count_is_refused(counts: tuple[int, int, int]):
    with pytest.raises(ValueError, match="must not be negative"):
        prefix_weights(*counts)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="one of zeros, ones, linear, exp; found 'cosine'"):
        prefix_weights(1, 2, 3, "cosine")


def test_the_pull_is_the_papers():
    def paper(time: float) -> float:
        r2 = (1.0 - time) ** 2 / (time**2 + (1.0 - time) ** 2)
        return (1.0 - time) / time * (time**2 + (1.0 - time) ** 2) / (1.0 - time) ** 2 if r2 else 0

    for time in (0.05, 0.3, 0.5, 0.9):
        assert guidance_weight(time, 1e9) == pytest.approx(paper(time))
    assert guidance_weight(0.5, 1e9) == pytest.approx(2.0)
    assert guidance_weight(0.9, 5.0) == guidance_weight(0.0, 5.0) == 5.0


def test_with_an_identity_for_the_jacobian_it_is_lerobots_step():
    """Their time runs from 1 to 0, and their velocity from the chunk to noise."""
    x, v, weights = NOISE, RNG.standard_normal((H, D)), prefix_weights(2, 6, H)[:, None]
    for time in (1.0, 0.7, 0.2):
        tau = 1.0 - time
        err = (TARGET - (x - time * v)) * weights
        c = (1.0 - tau) / tau if tau else np.inf
        inv_r2 = ((1.0 - tau) ** 2 + tau**2) / (1.0 - tau) ** 2
        lerobots = v - min(c * inv_r2, 10.0) * err

        ours = guided_velocity(x, -v, tau, Guidance(TARGET, weights, 10.0))

        np.testing.assert_allclose(-ours, lerobots, atol=1e-12)


def sure(mean: Array) -> Velocity:
    """The flow of a policy that always answers the same."""
    return lambda x, time: (mean - x) / (1.0 - time)


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
@pytest.mark.parametrize("beta", [0.0, 3.0, 10.0])
def test_a_sure_policy_gives_way_as_far_as_its_last_step_is_pulled(steps: int, beta: float):
    """x(1) = mean + pull / steps * weights * (target - mean), by its last Euler step."""
    mean, weights = RNG.standard_normal((H, D)), prefix_weights(2, 6, H, "linear")[:, None]

    chunk = inpaint(sure(mean), NOISE, steps, Guidance(TARGET, weights, beta))

    share = guidance_weight((steps - 1) / steps, beta) / steps
    np.testing.assert_allclose(chunk, mean + share * weights * (TARGET - mean), atol=1e-12)


@dataclass
class Gaussian:
    """The exact flow of normally distributed chunks, correlated from step to step.

    With covariance C, the chunk that x is taken for is ``gain(t) @ x`` with gain(t) = t C (t^2 C +
    (1 - t)^2 I)^-1, so the gain is the Jacobian, and symmetric.
    """

    covariance: np.ndarray

    def gain(self, time: float) -> np.ndarray:
        mixed = time**2 * self.covariance + (1.0 - time) ** 2 * np.eye(len(self.covariance))
        return time * self.covariance @ np.linalg.inv(mixed)

    def velocity(self, x: np.ndarray, time: float) -> np.ndarray:
        return (self.gain(time) @ x - x) / (1.0 - time)

    def vjp(self, x: np.ndarray, time: float, cotangent: np.ndarray) -> np.ndarray:
        return self.gain(time).T @ cotangent


INDEX = np.arange(H)
SMOOTH = Gaussian(np.exp(-0.5 * ((INDEX[:, None] - INDEX) / 3.0) ** 2) + 1e-6 * np.eye(H))


def test_a_gaussian_flow_leads_to_its_distribution():
    noise = RNG.standard_normal((H, 4000))

    chunks = inpaint(SMOOTH.velocity, noise, 200)

    np.testing.assert_allclose(np.cov(chunks), SMOOTH.covariance, atol=0.08)


def test_a_step_with_the_true_jacobian_is_the_one_that_algebra_gives():
    weights, time = prefix_weights(2, 6, H)[:, None], 0.4
    gain = SMOOTH.gain(time)
    error = weights * (TARGET - gain @ NOISE)
    expected = SMOOTH.velocity(NOISE, time) + guidance_weight(time, 5.0) * gain.T @ error

    stepped = guided_velocity(
        NOISE, SMOOTH.velocity(NOISE, time), time, Guidance(TARGET, weights), SMOOTH.vjp
    )

    np.testing.assert_allclose(stepped, expected, atol=1e-12)


def test_the_true_jacobian_pulls_downhill():
    """Its pull is the slope of half the weighted squared error, by finite differences."""
    weights, time = prefix_weights(2, 6, H)[:, None], 0.6

    def loss(x: np.ndarray) -> float:
        return float(0.5 * (weights * (TARGET - SMOOTH.gain(time) @ x) ** 2).sum())

    slope = np.zeros_like(NOISE)
    for index in np.ndindex(NOISE.shape):
        step = np.zeros_like(NOISE)
        step[index] = 1e-5
        slope[index] = (loss(NOISE + step) - loss(NOISE - step)) / 2e-5
    velocity = SMOOTH.velocity(NOISE, time)
    guided = guided_velocity(NOISE, velocity, time, Guidance(TARGET, weights), SMOOTH.vjp)

    np.testing.assert_allclose(guided - velocity, -guidance_weight(time, 5.0) * slope, atol=1e-7)


@pytest.mark.parametrize("vjp", [None, SMOOTH.vjp])
def test_a_smooth_policy_continues_the_prefix_and_what_follows_from_it(vjp: Any):
    target = inpaint(SMOOTH.velocity, RNG.standard_normal((H, 500)), 50)
    noise = RNG.standard_normal((H, 500))
    guidance = Guidance(target, prefix_weights(3, 3, H, "zeros")[:, None], 10.0)

    free = np.abs(inpaint(SMOOTH.velocity, noise, 10) - target).mean(axis=1)
    guided = np.abs(inpaint(SMOOTH.velocity, noise, 10, guidance, vjp) - target).mean(axis=1)

    assert (guided[:3] < 0.2 * free[:3]).all()
    # The first free action is correlated with the last one of the prefix.
    assert guided[3] < 0.5 * free[3]


def test_without_weight_nothing_changes():
    unheld = Guidance(TARGET, np.zeros((H, 1)))

    free = inpaint(SMOOTH.velocity, NOISE, 10)

    np.testing.assert_array_equal(inpaint(SMOOTH.velocity, NOISE, 10, unheld), free)
    np.testing.assert_array_equal(inpaint(SMOOTH.velocity, NOISE, 10, unheld, SMOOTH.vjp), free)


def test_a_clamped_prefix_is_clean_at_every_step_and_exact_at_the_end():
    seen = []
    clamp = prefix_weights(3, 3, H)[:, None]

    def velocity(x: np.ndarray, time: float) -> np.ndarray:
        seen.append(x[:3].copy())
        return SMOOTH.velocity(x, time)

    chunk = inpaint(velocity, NOISE, 5, Guidance(TARGET, np.zeros((H, 1)), clamp=clamp))

    assert len(seen) == 5
    for clean in [*seen, chunk[:3]]:
        np.testing.assert_allclose(clean, TARGET[:3], atol=1e-12)
    assert np.abs(chunk[3:] - TARGET[3:]).max() > 0.1


def test_noise_is_not_changed():
    before = NOISE.copy()
    inpaint(SMOOTH.velocity, NOISE, 3, Guidance(TARGET, np.ones((H, 1)), clamp=np.ones((H, 1))))

    np.testing.assert_array_equal(NOISE, before)


def test_there_must_be_a_step():
    with pytest.raises(ValueError, match="at least 1, found 0"):
        inpaint(sure(TARGET), NOISE, 0)


class Foreign:
    """Some other framework's array, which has operators and nothing else."""

    __array_ufunc__ = None

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __array__(self, *_: object, **__: object) -> np.ndarray:
        raise TypeError("this is no numpy array")

    def __add__(self, other: Any) -> Foreign:
        return Foreign(self.value + _plain(other))

    def __sub__(self, other: Any) -> Foreign:
        return Foreign(self.value - _plain(other))

    def __mul__(self, other: Any) -> Foreign:
        return Foreign(self.value * _plain(other))

    def __truediv__(self, other: float) -> Foreign:
        return Foreign(self.value / _plain(other))

    __radd__, __rmul__ = __add__, __mul__


def _plain(other: Any) -> Any:
    assert isinstance(other, (Foreign, int, float)), type(other)
    return other.value if isinstance(other, Foreign) else other


def test_operators_are_all_that_it_needs():
    weights, clamp = prefix_weights(3, 6, H)[:, None], prefix_weights(1, 1, H)[:, None]
    plain = inpaint(sure(TARGET), NOISE, 5, Guidance(TARGET, weights, clamp=clamp))

    strange = inpaint(
        sure(Foreign(TARGET)),
        Foreign(NOISE),
        5,
        Guidance(Foreign(TARGET), Foreign(weights), clamp=Foreign(clamp)),
    )

    np.testing.assert_array_equal(strange.value, plain)
