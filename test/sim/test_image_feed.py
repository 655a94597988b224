# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vla_ros.sim.image_feed import FeedEnded, ImageFeed, Shown, image_feed

Feeds = tuple[ImageFeed, ImageFeed]


@pytest.fixture
def feeds() -> Iterator[Feeds]:
    one, other = image_feed()
    yield one, other
    one.close()
    other.close()


def shown(seed: int) -> Shown:
    return Shown(seed, np.arange(50.0) * (seed + 0.1))


def test_the_newest_posture_counts(feeds: Feeds):
    ours, its = feeds
    assert its.newest() is None
    for seed in range(5):
        ours.show(shown(seed))

    newest = its.newest()

    assert newest is not None
    assert newest.seed == 4
    np.testing.assert_array_equal(newest.posture, shown(4).posture)
    assert its.newest() is None


def test_a_busy_other_side_does_not_hold_up(feeds: Feeds):
    ours, its = feeds
    for seed in range(100_000):
        ours.show(shown(seed))

    assert its.newest() is not None
    ours.show(shown(7))
    newest = its.newest()
    assert newest is not None
    assert newest.seed == 7


def test_the_other_side_can_tell_something(feeds: Feeds):
    ours, its = feeds

    assert ours.told(0.0) is None
    its.tell("ready: ports")
    assert ours.told(1.0) == "ready: ports"


def test_the_end_is_noticed_on_both_sides(feeds: Feeds):
    ours, its = feeds
    ours.show(shown(1))
    ours.close()

    with pytest.raises(FeedEnded):
        its.newest()
    with pytest.raises(FeedEnded):
        its.tell("ready")


def test_the_end_of_who_renders_is_noticed(feeds: Feeds):
    ours, its = feeds
    its.close()

    with pytest.raises(FeedEnded):
        ours.told(1.0)
    with pytest.raises(FeedEnded):
        ours.show(shown(1))
