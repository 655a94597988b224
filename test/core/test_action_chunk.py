# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.refusals import refused
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import ActionError

NAMES = ("a/position", "g/position")


def chunk(
    actions: object = ((1.0, 2.0), (3.0, 4.0)),
    *,
    names: tuple[str, ...] = NAMES,
    step_ns: int = 100,
) -> ActionChunk:
    return ActionChunk(1000, step_ns, names, actions)  # type: ignore[arg-type]


def test_a_chunk_lies_on_a_time_grid():
    it = chunk(np.zeros((3, 2)))

    assert (it.horizon, it.end_ns) == (3, 1300)
    assert (it.request_id, it.epoch, it.timing) == (0, 0, ChunkTiming(0, 0, 0))


@given(st.integers(0, 2**62), st.integers(1, 10**10), st.integers(1, 60), st.integers(1, 8))
def test_a_chunk_ends_one_step_after_its_last_action_is_due(
    stamp_ns: int, step_ns: int, horizon: int, width: int
):
    names = tuple(f"j{index}/position" for index in range(width))
    it = ActionChunk(stamp_ns, step_ns, names, np.zeros((horizon, width)))

    last_due_ns = stamp_ns + (it.horizon - 1) * step_ns
    assert it.end_ns - last_due_ns == step_ns


def test_the_actions_are_a_copy_that_cannot_be_written():
    given_actions = np.array([[1, 2]], dtype=np.float32)

    actions = chunk(given_actions).actions
    given_actions[0, 0] = 9.0

    assert actions.tolist() == [[1.0, 2.0]]
    assert actions.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        actions[0, 0] = 9.0


@pytest.mark.parametrize("shape", [(0, 2), (2,), (3, 1), (3, 3), (1, 3, 2), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]):
    with refused(
        ActionError,
        f"actions have shape {shape}, expected (H >= 1, 2) for a/position, g/position",
    ):
        chunk(np.zeros(shape))


@pytest.mark.parametrize("actions", [[["a", "b"]], [[1.0, 2.0], [3.0]], {"arm": 1}, [[1j, 2j]]])
def test_what_is_no_array_of_numbers_is_refused(actions: object):
    with refused(ActionError, "actions must be an array of numbers: "):
        chunk(actions)


@pytest.mark.parametrize(
    ("names", "found"), [((), "none"), (("a/position", "a/position"), "a/position, a/position")]
)
def test_names_are_distinct_and_at_least_one(names: tuple[str, ...], found: str):
    with refused(ActionError, f"names must be distinct and at least one, found {found}"):
        chunk(names=names)


@pytest.mark.parametrize("step_ns", [0, -1])
def test_a_step_is_positive(step_ns: int):
    with refused(ActionError, f"step must be positive, found {step_ns} ns"):
        chunk(step_ns=step_ns)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("row", "column"), [(0, 0), (1, 1)])
def test_an_action_that_is_not_finite_is_refused(value: float, row: int, column: int):
    actions: NDArray[np.float64] = np.zeros((2, 2))
    actions[row, column] = value

    with refused(
        ActionError, f"action {row} of {NAMES[column]} is {value}; every action must be finite"
    ):
        chunk(actions)


def test_the_first_actions_are_a_chunk_of_the_same_request():
    timing = ChunkTiming(1, 2, 3)
    it = ActionChunk(1000, 100, NAMES, np.arange(6.0).reshape(3, 2), 7, 2, timing)

    first = it.first(2)

    assert first.actions.tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert (first.stamp_ns, first.end_ns, first.names) == (1000, 1200, NAMES)
    assert (first.request_id, first.epoch, first.timing) == (7, 2, timing)
    assert it.first(3) is it
    assert it.first(4) is it


def test_the_first_no_actions_are_no_chunk():
    with refused(ActionError, "actions have shape (0, 2), expected (H >= 1, 2)"):
        chunk().first(0)


def test_chunks_compare_by_identity():
    # Comparing their arrays would raise.
    it = chunk()

    assert [it].index(it) == 0
    assert it != chunk()
