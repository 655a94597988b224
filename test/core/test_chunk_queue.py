# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.chunk_queue import ChunkQueue
from vla_ros.core.errors import ActionError

NAMES = ("a/position", "g/position")
SWITCHED = np.array([False, True])
STEP = 100

actions = st.lists(st.tuples(st.floats(-2, 2), st.floats(-2, 2)), min_size=1, max_size=12).map(
    np.array
)
shares = st.sampled_from([0.3, 0.5, 0.7, 1.0])


def chunk(stamp: int, values: object, step: int = STEP) -> ActionChunk:
    return ActionChunk(stamp, step, NAMES, np.asarray(values, dtype=float))


def ramp(start: float, count: int = 5) -> NDArray[np.float64]:
    return np.stack([start + np.arange(count), start + np.arange(count)], axis=1)


def queue(*chunks: ActionChunk, now: int = 0, share: float = 1.0) -> ChunkQueue:
    it = ChunkQueue(SWITCHED)
    for each in chunks:
        it.offer(each, now_ns=now, new_share=share)
    return it


def test_an_empty_queue_has_nothing_due() -> None:
    it = queue()
    assert it.sample(0) is None
    assert it.remaining_steps(0) == 0.0
    assert it.remaining_s(0) == 0.0


@given(actions, st.integers(0, 2000))
def test_every_moment_has_the_action_due_then(values: NDArray[np.float64], now: int) -> None:
    it = queue(chunk(0, values))
    sample = it.sample(now)
    if now >= len(values) * STEP:
        assert sample is None
        return
    assert sample is not None
    index = now // STEP
    after = min(index + 1, len(values) - 1)
    weight = (now % STEP) / STEP
    assert sample[0] == pytest.approx((1 - weight) * values[index, 0] + weight * values[after, 0])
    assert sample[1] == values[index, 1]  # switched: never between two actions


@given(actions, st.integers(0, 2000))
def test_what_is_left_shrinks_with_time_and_is_never_negative(
    values: NDArray[np.float64], now: int
) -> None:
    it = queue(chunk(0, values))
    left = it.remaining_steps(now)
    assert left == pytest.approx(max(len(values) - now / STEP, 0.0))
    assert it.remaining_s(now) == pytest.approx(left * STEP * 1e-9)
    assert it.remaining_steps(now + STEP) <= left
    assert (it.sample(now) is None) == (left == 0.0)


@given(actions, actions, st.integers(1, 300), shares, st.integers(0, 1500))
def test_a_new_chunk_is_mixed_where_both_are_due(
    old: NDArray[np.float64], new: NDArray[np.float64], stamp: int, share: float, at: int
) -> None:
    now = stamp
    if len(old) * STEP <= stamp:
        return
    alone_old, alone_new = queue(chunk(0, old)), queue(chunk(stamp, new), now=now)
    joined = queue(chunk(0, old))
    joined.offer(chunk(stamp, new), now_ns=now, new_share=share)
    knot = stamp + (at // STEP) * STEP
    was, comes, got = alone_old.sample(knot), alone_new.sample(knot), joined.sample(knot)
    if comes is None:
        assert got is None  # the old chunk's tail beyond the new one is cut
        return
    assert got is not None
    expected = comes[0] if was is None else (1 - share) * was[0] + share * comes[0]
    assert got[0] == pytest.approx(expected)
    assert got[1] == comes[1]


@given(st.lists(st.tuples(st.integers(-500, 1500), st.integers(1, 8)), max_size=12), shares)
def test_any_order_of_chunks_leaves_a_sane_queue(
    arrivals: list[tuple[int, int]], share: float
) -> None:
    """Late, early, repeated, out of order: whatever is accepted is in force, and nothing else."""
    it, now, newest = ChunkQueue(SWITCHED), 0, None
    for stamp, count in arrivals:
        now += 50
        offered = chunk(stamp, ramp(float(stamp), count))
        refused = (
            offered.end_ns <= now
            or stamp > now + STEP
            or (newest is not None and stamp < newest.stamp_ns)
        )
        if refused:
            with pytest.raises(ActionError):
                it.offer(offered, now_ns=now, new_share=share)
        else:
            it.offer(offered, now_ns=now, new_share=share)
            newest = offered
        expected = max(newest.end_ns - now, 0) / STEP if newest else 0.0
        assert it.remaining_steps(now) == pytest.approx(expected)
        sample = it.sample(now)
        assert sample is None or np.isfinite(sample).all()


def test_before_the_first_action_is_due_it_is_what_counts() -> None:
    it = queue(chunk(80, ramp(1.0)), now=0)
    assert it.sample(0) == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    ("stamp", "now", "words"),
    [
        (0, 500, "was over 0.000 s before it came"),
        (301, 200, "in the future"),
        (100, 200, "of an older observation"),
        (149, 200, "of an older observation"),
    ],
)
def test_a_chunk_that_is_not_for_now_is_refused_and_changes_nothing(
    stamp: int, now: int, words: str
) -> None:
    it = queue(chunk(150, ramp(0.0)), now=150)
    before = it.sample(now)
    with pytest.raises(ActionError, match=words):
        it.offer(chunk(stamp, ramp(9.0)), now_ns=now, new_share=1.0)
    assert it.sample(now) == pytest.approx(before)


def test_a_second_chunk_of_the_same_observation_replaces_the_first() -> None:
    it = queue(chunk(100, ramp(0.0)), chunk(100, ramp(9.0)), now=100)
    assert it.sample(100) == pytest.approx([9.0, 9.0])


def test_clear_drops_everything() -> None:
    it = queue(chunk(0, ramp(0.0)))
    it.clear()
    assert it.sample(0) is None
    it.offer(chunk(0, ramp(0.0)), now_ns=0, new_share=1.0)  # the same stamp is welcome again
    assert it.sample(0) is not None
