# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from vla_ros.nodes import queue_plot
from vla_ros.nodes.queue_plot import QueueSample, draw_queue

NOW_NS = 1_700_000_000_000_000_000
WINDOW_S = 30.0
TOP, BOTTOM, LEFT, RIGHT = (
    queue_plot._TOP,
    queue_plot._BOTTOM,
    queue_plot._LEFT,
    queue_plot._RIGHT,
)
# Most steps of the pictures here, which stand below the holds' names.
MOST = 20.0


def at(age_s: float) -> int:
    """The stamp of a moment before now."""
    return NOW_NS - round(age_s * 1e9)


def samples(begin_s: float, end_s: float, **facts: Any) -> list[QueueSample]:
    """What is said ten times a second, from one moment before now to another."""
    told = {"steps": 20.0, "asks_at": 10.0, "hold": "", "starved_ticks": 0, **facts}
    ages_s = np.arange(begin_s, end_s - 0.01, -0.1)
    return [QueueSample(at(age_s), **told) for age_s in ages_s]


def draw(said: list[QueueSample], chunks_ns: tuple[int, ...] = (), words: str = "") -> np.ndarray:
    return draw_queue(said, chunks_ns, now_ns=NOW_NS, window_s=WINDOW_S, words=words)


def column(age_s: float) -> int:
    return round(RIGHT - age_s / WINDOW_S * (RIGHT - LEFT))


def row(steps: float) -> int:
    return round(BOTTOM - steps / MOST * (BOTTOM - queue_plot._CURVES_TOP))


def reach(image: np.ndarray, colour: tuple[int, int, int], rows: slice) -> tuple[float, float]:
    """From which age to which a colour is seen in some rows."""
    seen = np.flatnonzero((image[rows] == colour).all(axis=2).any(axis=0))
    ages_s = (RIGHT - seen) * WINDOW_S / (RIGHT - LEFT)
    return float(ages_s.max()), float(ages_s.min())


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the picture."""
    texts: list[str] = []
    put = cv2.putText

    def record(image: np.ndarray, text: str, *rest: Any) -> None:
        texts.append(text)
        put(image, text, *rest)

    monkeypatch.setattr(queue_plot.cv2, "putText", record)
    return texts


def test_the_queue_and_the_asking_level_are_where_they_belong():
    image = draw([*samples(25.0, 15.0), *samples(14.9, 5.0, steps=4.0)])

    assert image.shape == (queue_plot.HEIGHT_PX, queue_plot.WIDTH_PX, 3)
    assert image.dtype == np.uint8
    assert tuple(image[row(20.0), column(20.0)]) == queue_plot._QUEUE
    assert tuple(image[row(4.0), column(10.0)]) == queue_plot._QUEUE
    assert tuple(image[row(20.0), column(10.0)]) != queue_plot._QUEUE
    level = row(10.0)
    begin_s, end_s = reach(image, queue_plot._ASKS, slice(level, level + 1))
    assert (begin_s, end_s) == pytest.approx((25.0, 5.0), abs=0.3)
    dashes = (image[level, column(24.0) : column(6.0)] == queue_plot._ASKS).all(axis=1)
    assert 0.5 < dashes.mean() < 0.7


def test_nothing_is_drawn_where_nothing_was_said():
    image = draw([*samples(25.0, 20.0), *samples(10.0, 5.0)])

    line = (image[row(20.0)] == queue_plot._QUEUE).all(axis=1)
    assert line[column(22.0)]
    assert not line[column(19.5) : column(10.5)].any()
    assert line[column(7.0)]


def test_what_is_older_than_the_window_is_left_out():
    image = draw(samples(200.0, 5.0, steps=40.0)[:1] + samples(20.0, 5.0), (at(31.0), at(-1.0)))

    assert tuple(image[row(20.0), column(10.0)]) == queue_plot._QUEUE
    assert not (image[:BOTTOM] == queue_plot._CHUNK).all(axis=2).any()


def test_holds_are_shaded_and_named_each_with_its_own_edge(written: list[str]):
    said = [
        *samples(29.0, 20.1),
        *samples(20.0, 15.1, hold="server_unavailable"),
        *samples(15.0, 10.1, hold="stale_camera"),
        *samples(10.0, 0.0),
    ]

    image = draw(said)

    shaded = reach(image, queue_plot._HOLD, slice(BOTTOM - 10, BOTTOM - 9))
    assert shaded == pytest.approx((20.1, 10.1), abs=0.15)
    assert tuple(image[BOTTOM - 10, column(15.1)]) == queue_plot._PAPER
    assert "server unavailable" in written
    assert "stale camera" in written


def test_of_holds_that_are_too_near_to_each_other_the_longest_is_named(written: list[str]):
    said = [
        *samples(20.0, 17.1, hold="starved"),
        *samples(17.0, 16.6),
        *samples(16.5, 16.3, hold="stale_state"),
        *samples(16.2, 0.0),
    ]

    image = draw(said)

    assert "stale state" not in written
    # In the panel and in the legend.
    assert written.count("starved") == 2
    assert reach(image, queue_plot._HOLD, slice(BOTTOM - 10, BOTTOM - 9))[1] < 16.5


def test_a_hold_does_not_reach_over_a_time_of_which_nothing_is_known():
    image = draw([*samples(25.0, 20.0, hold="starting"), *samples(5.0, 0.0)])

    shaded = reach(image, queue_plot._HOLD, slice(BOTTOM - 10, BOTTOM - 9))
    assert shaded == pytest.approx((25.0, 20.0), abs=0.15)


def test_starvation_is_marked_at_the_bottom():
    said = [
        *samples(20.0, 12.1),
        *[QueueSample(at(12.0 - 0.1 * k), 20.0, 10.0, "starved", k + 1) for k in range(20)],
        *samples(10.0, 0.0, starved_ticks=20),
    ]

    image = draw(said)

    marked = reach(image, queue_plot._STARVED, slice(BOTTOM - 3, BOTTOM - 2))
    assert marked == pytest.approx((12.1, 10.1), abs=0.15)
    assert not (image[: BOTTOM - 10] == queue_plot._STARVED).all(axis=2).any()


def test_chunks_are_marked_where_they_came_into_effect():
    image = draw(samples(20.0, 0.0), (at(15.0), at(7.5)))

    marked = (image[TOP - 5] == queue_plot._CHUNK).all(axis=1)
    for age_s in (15.0, 7.5):
        assert marked[column(age_s)]
        assert tuple(image[BOTTOM - 30, column(age_s)]) == queue_plot._CHUNK_LINE
    assert not marked[column(14.0) : column(8.5)].any()


@pytest.mark.parametrize("asks_at", [float("inf"), float("nan")])
def test_a_level_that_is_not_known_is_not_drawn(asks_at: float, written: list[str]):
    image = draw(samples(20.0, 0.0, asks_at=asks_at))

    assert not (image[:BOTTOM] == queue_plot._ASKS).all(axis=2).any()
    assert written.count("20.0 steps left - moves") == 1


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ([], "the executor has said nothing yet"),
        (samples(5.0, 0.0), "20.0 steps left, asks at 10 - moves"),
        (samples(5.0, 0.0, hold="stale_state"), "20.0 steps left, asks at 10 - holds: stale state"),
        (samples(9.0, 4.0), "no word from the executor for 4 s"),
    ],
)
def test_the_title_says_what_is_so_now(said: list[QueueSample], title: str, written: list[str]):
    draw(said, words="and more")

    assert title in written
    assert "and more" in written


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(0.0, ["0", "1", "5"]), (20.0, ["0", "5", "20"]), (1600.0, ["0", "500", "1500"])],
)
def test_the_axis_has_round_numbers_up_to_the_most(
    steps: float, expected: list[str], written: list[str]
):
    draw(samples(5.0, 0.0, steps=steps, asks_at=0.0))

    assert set(expected) <= set(written)
    numbers = [text for text in written if text.isdigit()]
    assert len(numbers) <= 7
    assert [text for text in written if text in ("now", "-5 s", "-10 s")] == [
        "now",
        "-5 s",
        "-10 s",
    ]
