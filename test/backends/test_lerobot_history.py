# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_ros.backends._lerobot_history import History

STEP_NS = 100


def shown(count: int, *stamps_ns: int) -> list[int]:
    """What is shown with the last of some items, each of which is its stamp."""
    history: History[int] = History(count, STEP_NS)
    return [history.window(stamp_ns, stamp_ns) for stamp_ns in stamps_ns][-1]


def test_neighbours_a_step_apart_are_shown_in_order():
    assert shown(3, 0, 100, 200, 300) == [100, 200, 300]


def test_half_a_step_off_is_still_the_step_before():
    assert shown(2, 0, 150) == [0, 150]
    assert shown(2, 0, 151) == [151, 151]
    assert shown(2, 60, 100) == [100, 100]


def test_the_nearest_of_several_is_shown():
    assert shown(2, 60, 90, 110, 130, 200) == [90, 200]


def test_what_is_missing_is_filled_with_the_next():
    assert shown(3, 200) == [200, 200, 200]
    assert shown(3, 100, 200) == [100, 100, 200]
    assert shown(3, 0, 200) == [0, 200, 200]
    assert shown(3, 0, 5000) == [5000, 5000, 5000]


def test_a_clock_that_went_back_leaves_nothing_to_show():
    assert shown(2, 1000, 1100, 500) == [500, 500]
    assert shown(2, 1000, 1000) == [1000, 1000]


def test_an_episode_begins_at_rest():
    history: History[int] = History(2, STEP_NS)
    history.window(0, 0)
    history.clear()

    assert history.window(100, 100) == [100, 100]


@given(st.integers(1, 5), st.lists(st.integers(0, 2000), min_size=1, max_size=30))
def test_any_stamps_give_as_many_items_oldest_first(count: int, stamps_ns: list[int]):
    items = shown(count, *stamps_ns)

    assert len(items) == count
    assert items[-1] == stamps_ns[-1]
    assert items == sorted(items)
    assert set(items) <= set(stamps_ns)
