# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.stream_buffer import StreamBuffer

stamps = st.lists(st.integers(0, 1000), min_size=1, max_size=40)


def test_an_empty_buffer_has_nothing() -> None:
    buffer = StreamBuffer[int](capacity=3)
    assert len(buffer) == 0
    assert buffer.newest() is None
    assert buffer.nearest(5) is None
    assert buffer.around(5) is None


@given(stamps, st.integers(1, 8))
def test_keeps_the_newest_distinct_stamps_in_order(pushed: list[int], capacity: int) -> None:
    buffer = StreamBuffer[int](capacity)
    for stamp in pushed:
        buffer.push(stamp, -stamp)
    kept = sorted(set(pushed))[-capacity:]
    assert buffer.newest() == (kept[-1], -kept[-1])
    # A late sample can have been refused when the buffer was full of newer ones; never the newest.
    assert len(buffer) <= capacity


@given(stamps, st.integers(-10, 1010))
def test_nearest_is_the_nearest(pushed: list[int], wanted: int) -> None:
    buffer = StreamBuffer[int](capacity=100)
    for stamp in pushed:
        buffer.push(stamp, stamp)
    nearest = buffer.nearest(wanted)
    assert nearest is not None
    assert nearest[0] == min(sorted(set(pushed)), key=lambda stamp: abs(stamp - wanted))


@given(stamps, st.integers(-10, 1010))
def test_around_encloses_the_moment(pushed: list[int], wanted: int) -> None:
    buffer = StreamBuffer[int](capacity=100)
    for stamp in pushed:
        buffer.push(stamp, stamp)
    around = buffer.around(wanted)
    assert around is not None
    before, after = around[0][0], around[1][0]
    inside = min(pushed) <= wanted <= max(pushed)
    assert before <= wanted <= after if inside else before == after
    assert not [stamp for stamp in pushed if before < stamp < after]


def test_a_repeated_or_very_late_sample_is_not_taken() -> None:
    buffer = StreamBuffer[str](capacity=2)
    assert buffer.push(10, "a")
    assert not buffer.push(10, "b")
    assert buffer.push(30, "c")
    assert not buffer.push(5, "too late: the buffer is full of newer ones")
    assert buffer.push(20, "late, but newer than the oldest")
    assert buffer.around(25) == ((20, "late, but newer than the oldest"), (30, "c"))


def test_clear_forgets() -> None:
    buffer = StreamBuffer[str](capacity=2)
    buffer.push(10, "a")
    buffer.clear()
    assert buffer.newest() is None


@given(stamps, st.integers(1, 8), st.integers(0, 1000))
def test_a_span_is_kept_whole_with_one_sample_before_it(
    pushed: list[int], capacity: int, span: int
) -> None:
    buffer = StreamBuffer[int](capacity, span_ns=span)
    for stamp in sorted(pushed):
        buffer.push(stamp, stamp)
    distinct = sorted(set(pushed))
    begin = distinct[-1] - span
    before = [stamp for stamp in distinct if stamp <= begin][-1:]
    needed = {*distinct[-capacity:], *before, *(stamp for stamp in distinct if stamp > begin)}
    assert len(buffer) == len(needed)
    assert all(buffer.nearest(stamp) == (stamp, stamp) for stamp in needed)


def test_a_span_is_not_kept_without_end() -> None:
    buffer = StreamBuffer[int](4, span_ns=1_000_000)
    for stamp in range(2000):
        buffer.push(stamp, stamp)
    assert len(buffer) == 512
    assert buffer.newest() == (1999, 1999)


def test_the_nearest_since_a_moment_is_not_from_before_it() -> None:
    buffer = StreamBuffer[str](capacity=4)
    for stamp, value in ((10, "a"), (20, "b"), (30, "c")):
        buffer.push(stamp, value)
    assert buffer.nearest(13, since_ns=12) == (20, "b")
    assert buffer.nearest(23, since_ns=12) == (20, "b")
    assert buffer.nearest(27, since_ns=12) == (30, "c")
    assert buffer.nearest(20, since_ns=20) == (20, "b")
    assert buffer.nearest(40, since_ns=40) == (30, "c")
