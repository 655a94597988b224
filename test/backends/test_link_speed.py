# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import pytest

from vla_ros.backends._link_speed import JPEG_UP_TO_BIT_S, link_speed


class Link:
    """One of a speed and a way of its own; keeps what was sent."""

    def __init__(self, bit_s: float, *, round_trip_s: float = 0.0002) -> None:
        self.bit_s, self.round_trip_s = bit_s, round_trip_s
        self.sent: list[int] = []

    def __call__(self, size: int) -> float:
        self.sent.append(size)
        return self.round_trip_s + 8 * size / self.bit_s


@pytest.mark.parametrize("bit_s", [1e6, 1e8, 0.9e9, 1.1e9, 2.5e9, 1e10, 4e10])
@pytest.mark.parametrize("round_trip_s", [0.0, 0.0002, 0.02])
def test_the_speed_is_found(bit_s: float, round_trip_s: float):
    assert link_speed(Link(bit_s, round_trip_s=round_trip_s)) == pytest.approx(bit_s, rel=0.01)


def test_a_slow_link_is_not_kept_busy():
    crawling, slow, fast = Link(1e6), Link(1e8), Link(1e10)
    for link in (crawling, slow, fast):
        link_speed(link)

    assert crawling.sent.count(64 * 1024) == 1
    assert max(slow.sent) == 64 * 1024
    assert sum(8 * size for size in slow.sent) / slow.bit_s < 0.1
    assert max(fast.sent) == 1024 * 1024


def test_what_others_do_meanwhile_does_not_count():
    link = Link(1e10)
    delays = itertools.cycle([0.01, 0.005, 0.0])

    assert link_speed(lambda size: link(size) + next(delays)) > JPEG_UP_TO_BIT_S


def test_a_clock_that_sees_no_difference_is_no_error():
    assert link_speed(lambda _: 0.001) > JPEG_UP_TO_BIT_S
