# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from builtin_interfaces.msg import Duration, Time

from vla_ros.ros.stamps import duration_from_ns, ns_from_time, time_from_ns


@pytest.mark.parametrize("ns", [0, 1, 999_999_999, 1_000_000_000, 1_795_220_412_221_820_121])
def test_there_and_back_again(ns: int):
    assert ns_from_time(time_from_ns(ns)) == ns
    assert ns_from_time(duration_from_ns(ns)) == ns


def test_seconds_and_nanoseconds():
    assert time_from_ns(2_500_000_000) == Time(sec=2, nanosec=500_000_000)
    assert duration_from_ns(-500_000_000) == Duration(sec=-1, nanosec=500_000_000)
    assert ns_from_time(Duration(sec=-1, nanosec=500_000_000)) == -500_000_000
