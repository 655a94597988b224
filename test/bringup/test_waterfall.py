# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from test.bringup.logs import at, episode, robot
from vla_ros.bringup.view import View
from vla_ros.bringup.waterfall import draw_waterfall, legend_entries, rows
from vla_ros.core.episode_log import EpisodeLog


def drawn(log: EpisodeLog, view: View) -> tuple[Axes, list[str]]:
    axis = Figure().subplots()
    draw_waterfall(axis, rows(log, view), view)
    return axis, [text.get_text() for text in axis.texts]


def test_every_request_says_what_became_of_it() -> None:
    log = episode(robot())
    found = rows(log, View.of(log))
    assert [row.number for row in found] == list(range(1, 15))
    lacks = {row.number: row.lack for row in found if row.lack}
    assert lacks == {3: "server_silent", 4: "dropped: late", 14: "under way"}
    first = found[0]
    assert first.stamps_s == pytest.approx((0.36, 0.4, 0.41, 0.5, 0.51, 0.52))
    assert first.begin_s == pytest.approx(0.36)
    assert first.end_s == pytest.approx(0.92)  # where the next chunk takes over
    silent, dropped = found[2], found[3]
    assert (silent.begin_s, silent.end_s) == pytest.approx((1.2, 1.5))
    assert (dropped.begin_s, dropped.end_s) == pytest.approx((1.6, 1.85))


def test_a_request_that_nobody_answered_ends_with_the_next_one() -> None:
    log = EpisodeLog()
    for number, ms in ((1, 0), (2, 500), (3, 900)):
        log.add("request", at(ms), number)
    log.add("command", at(1000), [0.0])
    found = rows(log, View.of(log))
    assert [row.lack for row in found] == ["no answer", "no answer", "under way"]
    assert [row.end_s for row in found] == pytest.approx([0.5, 0.9, 1.0])


def test_a_chunk_is_shown_without_its_request_and_without_times_that_are_not_known() -> None:
    log = EpisodeLog()
    log.add("chunk", at(0), [0.04, np.nan, np.nan, 0.2, 0.22])
    (row,) = rows(log, View.of(log))
    assert (row.number, row.lack) == (0, "")
    assert row.stamps_s == pytest.approx((0.0, 0.04, 0.04, 0.04, 0.2, 0.22))


def test_only_what_can_be_seen_has_a_row() -> None:
    log = episode(robot())
    view = View.of(log).around(2.12, 0.6)
    assert [row.number for row in rows(log, view)] == [2, 4, 5, 6]


def test_the_picture_has_a_bar_for_each_phase_and_words_for_each_lack() -> None:
    log = episode(robot())
    axis, words = drawn(log, View.of(log))
    assert len(axis.patches) == 11 * 4 + 3
    inference = axis.patches[1]
    assert inference.get_x() == pytest.approx(0.41)
    assert inference.get_width() == pytest.approx(0.09)
    assert "age 40, until sent 10, inference 90, back 10, tick 10 ms" in words
    assert {"server silent", "dropped: late", "under way"} <= set(words)
    assert len(words) == 14
    assert len(legend_entries()) == 7


def test_many_requests_are_drawn_without_words() -> None:
    log = EpisodeLog()
    for number in range(60):
        log.add("chunk", at(400 * number), [0.04, 0.05, 0.14, 0.15, 0.16])
    axis, words = drawn(log, View.of(log))
    assert words == []
    assert len(axis.get_yticks()) == 15
