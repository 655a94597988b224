# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.ros.stream_rate import StreamRate

SECOND = 1_000_000_000


def test_nothing_is_no_rate():
    assert StreamRate().hz(SECOND) == 0.0


def test_the_rate_of_the_last_two_seconds():
    rate = StreamRate()
    for tick in range(300):
        rate.received(tick * SECOND // 30)

    assert rate.hz(10 * SECOND) == pytest.approx(30.0, abs=0.5)
    assert rate.hz(11 * SECOND) == pytest.approx(15.0, abs=0.5)
    assert rate.hz(12 * SECOND) == 0.0


def test_a_change_of_rate_is_seen():
    rate = StreamRate()
    for tick in range(100):
        rate.received(tick * SECOND // 50)
    for tick in range(1, 21):
        rate.received(2 * SECOND + tick * SECOND // 10)

    assert rate.hz(4 * SECOND) == 10.0
