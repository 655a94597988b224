# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.aggregates import AGGREGATE_FNS, NEW_SHARE, AggregateFn, Before, aggregated
from vla_ros.core.track import Track

STEP = 100
NAMES = ("a/position", "b/position")
NEVER = np.array([False, False])


def chunk(stamp: int, *values: float, step: int = STEP) -> ActionChunk:
    return ActionChunk(stamp, step, NAMES, np.repeat(np.array(values)[:, None], 2, axis=1))


def plan(of: ActionChunk) -> Track:
    return Track(of.stamp_ns, of.step_ns, of.actions, NEVER, "linear")


def join(
    function: AggregateFn,
    old: ActionChunk | None,
    new: ActionChunk,
    *,
    now: int = 0,
    blend: int = 400,
) -> NDArray[np.float64]:
    """(H,) The first interface of what an old chunk and a new one become."""
    before = Before(None if old is None else plan(old), () if old is None else (old,), now, blend)
    return aggregated((function, function), before, new)[:, 0]


def test_the_shares_are_those_of_lerobot() -> None:
    """https://github.com/huggingface/lerobot, async_inference/configs.py, AGGREGATE_FUNCTIONS."""
    assert NEW_SHARE == {"weighted_average": 0.7, "average": 0.5, "conservative": 0.3}


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("weighted_average", 0.3 * 1.0 + 0.7 * 2.0),
        ("average", 0.5 * 1.0 + 0.5 * 2.0),
        ("conservative", 0.7 * 1.0 + 0.3 * 2.0),
        ("latest_only", 2.0),
        ("offset_decay", 2.0),
    ],
)
def test_shares_hold_where_both_are_due_and_the_new_chunk_alone_elsewhere(
    function: AggregateFn, expected: float
) -> None:
    old, new = chunk(0, 1.0, 1.0, 1.0, 1.0), chunk(200, 2.0, 2.0, 2.0, 2.0)
    assert join(function, old, new, now=200) == pytest.approx([expected, expected, 2.0, 2.0])


@pytest.mark.parametrize("function", AGGREGATE_FNS)
def test_without_anything_before_it_is_the_new_chunk(function: AggregateFn) -> None:
    assert join(function, None, chunk(0, 1.0, 2.0, 3.0)) == pytest.approx([1.0, 2.0, 3.0])


@pytest.mark.parametrize("function", AGGREGATE_FNS)
def test_a_chunk_that_repeats_the_plan_changes_nothing(function: AggregateFn) -> None:
    line = [0.1 * index for index in range(10)]
    joined = join(function, chunk(0, *line), chunk(300, *line[3:]), now=350)
    assert joined == pytest.approx(line[3:])


@pytest.mark.parametrize("function", sorted(NEW_SHARE))
def test_repeated_merges_compound(function: AggregateFn) -> None:
    """As in LeRobot, where the queue already holds what former chunks were mixed to."""
    share = NEW_SHARE[function]
    track, value = plan(chunk(0, *[0.0] * 8)), 0.0
    for new in (1.0, -1.0, 0.5):
        mixed = aggregated((function, function), Before(track, (), 0, 1), chunk(0, *[new] * 8))
        track = Track(0, STEP, mixed, NEVER, "linear")
        value = (1.0 - share) * value + share * new
        assert mixed[:, 0] == pytest.approx(value)


@given(st.integers(1, STEP - 1), st.integers(30, 300))
def test_grids_may_be_offset_by_a_fraction_and_have_other_steps(shift: int, step: int) -> None:
    old = chunk(0, *[0.01 * index for index in range(20)])
    new = chunk(300 + shift, *[1.0] * 5, step=step)
    joined = join("average", old, new, now=300 + shift)
    for index, value in enumerate(joined):
        moment = 300 + shift + index * step
        was = min(0.01 * moment / STEP, 0.19) if moment < old.end_ns else 1.0
        assert value == pytest.approx(0.5 * was + 0.5)


def test_each_interface_has_its_own_function() -> None:
    old, new = chunk(0, 1.0, 1.0), chunk(0, 2.0, 2.0)
    before = Before(plan(old), (old,), 0, 400)
    mixed = aggregated(("latest_only", "conservative"), before, new)
    assert mixed == pytest.approx(np.array([[2.0, 1.3], [2.0, 1.3]]))


def test_a_crossfade_goes_smoothly_from_the_old_plan_to_the_new_chunk() -> None:
    old, new = chunk(0, *[0.0] * 12), chunk(0, *[1.0] * 12)
    joined = join("crossfade", old, new, now=200, blend=400)
    assert joined[:3] == pytest.approx([0.0, 0.0, 0.0])
    assert joined[3:6] == pytest.approx([0.15625, 0.5, 0.84375])
    assert joined[6:] == pytest.approx([1.0] * 6)


@given(st.integers(0, 799), st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_a_crossfade_is_continuous_now(now: int, was: float, comes: float) -> None:
    """Between two actions as well: within 1 % of the disagreement, for eight steps."""
    old, new = chunk(0, *[was] * 20), chunk(0, *[comes] * 20)
    mixed = aggregated(("crossfade",) * 2, Before(plan(old), (), now, 8 * STEP), new)
    joined = Track(0, STEP, mixed, NEVER, "linear").at(now)
    assert joined is not None
    assert joined[0] == pytest.approx(was, abs=0.01 * abs(comes - was) + 1e-12)


def imitate_episodes(predicted: NDArray[np.float64], at: int) -> float:
    """What ACT's evaluation loop executes at a step, of one chunk (H,) for each step so far.

    https://github.com/tonyzhaozh/act, imitate_episodes.py: all chunks' actions for this step, the
    oldest first, with weights exp(-0.01 i) that sum up to one.
    """
    horizon = predicted.shape[1]
    queries = range(max(0, at - horizon + 1), at + 1)
    actions = np.array([predicted[query, at - query] for query in queries])
    weights = np.exp(-0.01 * np.arange(len(actions)))
    return float(np.sum(actions * weights / weights.sum()))


def test_the_ensemble_is_that_of_act_when_a_chunk_comes_each_step() -> None:
    predicted = np.random.default_rng(0).normal(size=(40, 12))
    chunks: list[ActionChunk] = []
    for step, actions in enumerate(predicted):
        now = step * STEP
        chunks = [kept for kept in chunks if kept.end_ns > now]
        new = chunk(now, *actions)
        mixed = aggregated(("temporal_ensemble",) * 2, Before(None, chunks, now, 1), new)
        assert mixed[0, 0] == pytest.approx(imitate_episodes(predicted, step), abs=1e-12)
        chunks.append(new)


def test_the_ensemble_weighs_by_age_however_often_chunks_come() -> None:
    old, new = chunk(0, *[1.0] * 10), chunk(350, *[2.0] * 10)
    weight = np.exp(-0.01 * 3.5)
    both = (1.0 + weight * 2.0) / (1.0 + weight)
    joined = join("temporal_ensemble", old, new, now=350)
    assert joined == pytest.approx([both] * 7 + [2.0] * 3)
