# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.bringup.logs import BEGUN_NS, at, episode, robot
from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog


def test_a_whole_episode_lasts_as_long_as_it_says() -> None:
    view = View.of(episode(robot()))
    assert (view.origin_ns, view.begin_s, view.end_s, view.width_s) == (BEGUN_NS, 0.0, 6.0, 6.0)


def test_a_log_without_facts_lasts_from_its_first_to_its_last_sample() -> None:
    log = EpisodeLog()
    for stamp_ns in (at(500), at(1500)):
        log.add("command", stamp_ns, [0.0])
    view = View.of(log)
    assert view.origin_ns == at(500)
    assert view.end_s == pytest.approx(1.0)
    assert View.of(EpisodeLog()).width_s > 0.0


@pytest.mark.parametrize(
    ("middle_s", "edges"), [(3.0, (1.5, 4.5)), (0.2, (0.0, 3.0)), (5.9, (3.0, 6.0))]
)
def test_a_part_stays_inside_the_whole(middle_s: float, edges: tuple[float, float]) -> None:
    part = View(0, 0.0, 6.0).around(middle_s, 3.0)
    assert (part.begin_s, part.end_s) == pytest.approx(edges)


def test_a_part_of_a_short_episode_is_the_whole() -> None:
    assert View(0, 0.0, 2.0).around(1.0, 3.0) == View(0, 0.0, 2.0)


def test_samples_are_those_that_can_be_seen() -> None:
    log = episode(robot())
    times_s, values = View.of(log).around(3.0, 1.0).samples(log, "queue")
    assert times_s[[0, -1]] == pytest.approx([2.4, 3.6])
    assert len(values) == len(times_s) == 61
    nothing, none = View.of(log).samples(log, "hold.paused")
    assert nothing.size == none.size == 0
    assert View(0, 1.0, 2.0).shows(np.array([0.0, 0.0]), np.array([1.5, 0.5])).tolist() == [
        True,
        False,
    ]
