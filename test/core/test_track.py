# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_ros.core.track import Interpolation, Track

MS = 1_000_000
STEP = 100 * MS
STAMP = 7 * STEP
# A continuous interface and a switched one.
SWITCHED = np.array([False, True])

values = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=9).map(
    np.array
)
kinds = st.sampled_from(["cubic", "linear"])


def track(actions: NDArray[np.float64], kind: Interpolation) -> Track:
    return Track(STAMP, STEP, actions, SWITCHED, kind)


def at(it: Track, now_ns: int) -> NDArray[np.float64]:
    due = it.at(now_ns)
    assert due is not None
    return due


@given(values, kinds)
def test_it_passes_through_every_action(actions: NDArray[np.float64], kind: Interpolation) -> None:
    it = track(actions, kind)
    for index, action in enumerate(actions):
        assert at(it, STAMP + index * STEP) == pytest.approx(action)


@given(values, st.integers(0, 899 * MS))
def test_linear_is_the_line_between_two_actions(
    actions: NDArray[np.float64], since_ns: int
) -> None:
    since_ns %= len(actions) * STEP
    expected = np.interp(since_ns, STEP * np.arange(len(actions)), actions[:, 0])
    assert at(track(actions, "linear"), STAMP + since_ns)[0] == pytest.approx(expected)


@given(values, kinds, st.integers(0, 899 * MS))
def test_a_switched_interface_is_never_between_two_actions(
    actions: NDArray[np.float64], kind: Interpolation, since_ns: int
) -> None:
    since_ns %= len(actions) * STEP
    it = track(actions, kind)
    assert at(it, STAMP + since_ns)[1] == actions[since_ns // STEP, 1]
    assert it.velocity(STAMP + since_ns)[1] == 0.0


@given(values, kinds, st.integers(-200 * MS, 1100 * MS))
def test_the_velocity_is_how_fast_it_goes_on(
    actions: NDArray[np.float64], kind: Interpolation, since_ns: int
) -> None:
    it, tiny = track(actions, kind), 1000  # ns
    now = STAMP + since_ns
    here, after = it.at(now), it.at(now + tiny)
    if since_ns // STEP != (since_ns + tiny) // STEP:
        return  # a corner of the linear one lies between
    if here is None or after is None:
        assert it.velocity(now).tolist() == [0.0, 0.0]
        return
    assert it.velocity(now)[0] == pytest.approx((after - here)[0] / (tiny * 1e-9), abs=2e-2)


@given(values, st.integers(1, 8))
def test_cubics_have_no_corner(actions: NDArray[np.float64], index: int) -> None:
    """Position and velocity are continuous at every action, the last one included."""
    index = min(index, len(actions) - 1)
    it, knot, tiny = track(actions, "cubic"), STAMP + index * STEP, 10  # ns
    if index == 0:
        return
    assert at(it, knot - tiny)[0] == pytest.approx(at(it, knot)[0], abs=1e-5)
    assert it.velocity(knot - tiny)[0] == pytest.approx(it.velocity(knot)[0], abs=1e-3)


@pytest.mark.parametrize("kind", ["cubic", "linear"])
def test_a_straight_line_stays_straight(kind: Interpolation) -> None:
    line = np.stack([0.25 * np.arange(6.0), np.zeros(6)], axis=1)
    # Towards the last action, where it comes to rest, the cubic one slows down.
    for share in np.linspace(0.0, 4.0, 33):
        assert at(track(line, kind), STAMP + round(share * STEP))[0] == pytest.approx(0.25 * share)


@given(values, kinds)
def test_the_first_action_is_due_before_and_the_last_is_held_for_a_step(
    actions: NDArray[np.float64], kind: Interpolation
) -> None:
    it = track(actions, kind)
    assert it.end_ns == STAMP + len(actions) * STEP
    assert at(it, STAMP - 5 * STEP) == pytest.approx(actions[0])
    assert at(it, it.end_ns - STEP // 3) == pytest.approx(actions[-1])
    assert it.at(it.end_ns) is None


@given(values, kinds, st.integers(-300 * MS, 900 * MS), st.integers(1, 250 * MS), st.integers(1, 9))
def test_resampled_is_what_is_due_at_each_moment(
    actions: NDArray[np.float64], kind: Interpolation, since_ns: int, step_ns: int, count: int
) -> None:
    it = track(actions, kind)
    sampled = it.resampled(STAMP + since_ns, step_ns, count)
    assert sampled.shape == (count, 2)
    for index, row in enumerate(sampled):
        moment = STAMP + since_ns + index * step_ns
        due = it.at(moment) if moment >= STAMP else None
        if due is None:
            assert np.isnan(row).all()
        else:
            assert row == pytest.approx(due)
