# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.aggregates import AGGREGATE_FNS, AggregateFn
from vla_ros.core.chunk_queue import ChunkQueue, Joining
from vla_ros.core.errors import ChunkRefused

NAMES = ("a/position", "g/position")
SWITCHED = np.array([False, True])
STEP = 100
LATEST = Joining(
    functions=("latest_only", "latest_only"),
    blend_ns=8 * STEP,
    smoothing_steps=0.0,
    interpolation="linear",
    actions_per_chunk=50,
)

actions = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=12).map(
    np.array
)
functions = st.sampled_from(AGGREGATE_FNS)


def chunk(stamp: int, values: object, step: int = STEP) -> ActionChunk:
    return ActionChunk(stamp, step, NAMES, np.asarray(values, dtype=float))


def ramp(start: float, count: int = 5) -> NDArray[np.float64]:
    return np.stack([start + np.arange(count), start + np.arange(count)], axis=1)


def queue(*chunks: ActionChunk, now: int = 0, **joining: object) -> ChunkQueue:
    it = ChunkQueue(SWITCHED, dataclasses.replace(LATEST, **joining))  # type: ignore[arg-type]
    for each in chunks:
        it.offer(each, now_ns=now)
    return it


def sample(it: ChunkQueue, now: int) -> NDArray[np.float64]:
    due = it.sample(now)
    assert due is not None
    return due


def test_an_empty_queue_has_nothing_due() -> None:
    it = queue()
    assert it.plan is None
    assert it.sample(0) is None
    assert it.remaining_steps(0) == 0.0
    assert it.velocity(0).tolist() == [0.0, 0.0]


@given(actions, st.integers(0, 2000))
def test_what_is_left_shrinks_with_time_and_is_never_negative(
    values: NDArray[np.float64], now: int
) -> None:
    it = queue(chunk(0, values))
    left = it.remaining_steps(now)
    assert left == pytest.approx(max(len(values) - now / STEP, 0.0))
    assert it.remaining_steps(now + STEP) <= left
    assert (it.sample(now) is None) == (left == 0.0)


def test_what_is_left_is_counted_in_the_chunks_own_steps() -> None:
    assert queue(chunk(0, ramp(0.0, 4), step=250)).remaining_steps(500) == pytest.approx(2.0)


def test_it_moves_as_its_plan_does() -> None:
    it = queue(chunk(0, ramp(0.0)))
    assert sample(it, 150) == pytest.approx([1.5, 1.0])
    assert it.velocity(150) == pytest.approx([1.0 / (STEP * 1e-9), 0.0])
    cubic = queue(chunk(0, [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), interpolation="cubic")
    assert sample(cubic, 50)[0] > 0.6


@given(actions, actions, functions, st.integers(0, 1500), st.integers(30, 170))
def test_the_new_chunk_is_the_plan_from_now_on_tail_included(
    old: NDArray[np.float64],
    new: NDArray[np.float64],
    function: AggregateFn,
    at: int,
    step: int,
) -> None:
    """Whatever the lengths and steps: it ends where the new chunk ends, and nothing is left out."""
    it = queue(chunk(0, old), functions=(function, "latest_only"))
    newest = chunk(40, new, step=step)
    it.offer(newest, now_ns=40)
    due = it.sample(40 + at)
    assert (due is None) == (40 + at >= newest.end_ns)
    if due is not None:
        assert np.isfinite(due).all()
        assert due[1] == new[at // step, 1]


@pytest.mark.parametrize("function", AGGREGATE_FNS)
def test_a_switched_interface_takes_the_new_chunks_value(function: AggregateFn) -> None:
    it = queue(
        chunk(0, np.zeros((9, 2))),
        functions=(function, function),
        smoothing_steps=8.0,
    )
    switches = np.array([0.0, 1.0, 0.0, 0.0, 1.0, 1.0])
    it.offer(chunk(100, np.stack([switches, switches], axis=1)), now_ns=150)
    got = [sample(it, 100 + index * STEP)[1] for index in range(6)]
    assert got == switches.tolist()


def test_interfaces_may_be_joined_in_other_ways() -> None:
    it = ChunkQueue(
        np.array([False, False]),
        dataclasses.replace(LATEST, functions=("weighted_average", "conservative")),
    )
    it.offer(chunk(0, np.ones((5, 2))), now_ns=0)
    it.offer(chunk(0, 2.0 * np.ones((5, 2))), now_ns=0)
    assert sample(it, 0) == pytest.approx([1.7, 1.3])
    it.offer(chunk(0, np.zeros((5, 2))), now_ns=0)
    assert sample(it, 0) == pytest.approx([0.3 * 1.7, 0.7 * 1.3])  # mixed with what was mixed
    it.joining = LATEST
    it.offer(chunk(0, np.ones((5, 2))), now_ns=0)
    assert sample(it, 0) == pytest.approx([1.0, 1.0])


def test_an_ensemble_is_of_what_policies_said_and_not_of_what_was_mixed() -> None:
    it = queue(functions=("temporal_ensemble", "latest_only"))
    for value in (0.0, 3.0, 6.0):
        it.offer(chunk(0, np.full((5, 2), value)), now_ns=0)
    assert sample(it, 0)[0] == pytest.approx(3.0)


def test_chunks_that_are_over_are_no_longer_in_the_ensemble() -> None:
    it = queue(chunk(0, np.zeros((2, 2))), functions=("temporal_ensemble", "latest_only"))
    it.offer(chunk(100, np.ones((5, 2))), now_ns=200)
    assert sample(it, 200)[0] == 1.0


def test_the_default_smooths_and_the_others_do_not() -> None:
    wiggle = np.stack([np.cos(np.pi * np.arange(20)), np.zeros(20)], axis=1)
    for function, size in (("offset_decay", 0.1), ("latest_only", 1.0)):
        it = queue(chunk(0, wiggle), functions=(function, "latest_only"), smoothing_steps=8.0)
        assert np.abs(sample(it, 10 * STEP)[0]) <= size
    assert np.abs(sample(it, 10 * STEP)[0]) == 1.0


def test_only_the_first_actions_are_used_but_smoothed_with_those_that_follow() -> None:
    cut, whole = (
        queue(
            chunk(0, np.sin(ramp(0.0, 20))),
            functions=("offset_decay", "latest_only"),
            smoothing_steps=8.0,
            actions_per_chunk=count,
        )
        for count in (6, 20)
    )
    assert cut.remaining_steps(0) == 6.0
    assert sample(cut, 5 * STEP) == pytest.approx(sample(whole, 5 * STEP))


def test_a_chunk_that_is_over_is_refused_and_changes_nothing() -> None:
    it = queue(chunk(150, ramp(0.0)), now=150)
    with pytest.raises(ChunkRefused, match=r"was over 0\.000 s before it came") as refusal:
        it.offer(chunk(0, ramp(9.0)), now_ns=500)
    assert refusal.value.kind == "late"
    assert sample(it, 500) == pytest.approx([3.5, 3.0])


def test_actions_beyond_those_used_do_not_make_a_chunk_last_longer() -> None:
    it = queue(actions_per_chunk=2)
    with pytest.raises(ChunkRefused, match="was over"):
        it.offer(chunk(0, ramp(0.0)), now_ns=200)


def test_clear_drops_everything() -> None:
    it = queue(chunk(0, np.zeros((5, 2))), functions=("temporal_ensemble", "latest_only"))
    it.clear()
    assert it.sample(0) is None
    it.offer(chunk(0, np.ones((5, 2))), now_ns=0)
    assert sample(it, 0)[0] == 1.0
