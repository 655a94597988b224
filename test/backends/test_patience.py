# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from vla_ros.backends import _patience
from vla_ros.backends._patience import Backoff, ChannelTimes
from vla_ros.core.errors import BackendUnavailable


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(_patience.time, "monotonic", lambda: now[0])
    return now


def test_attempts_get_rarer_until_one_works(now_s: list[float]):
    backoff = Backoff("tcp://x:1", ChannelTimes(backoff_s=0.1, backoff_max_s=0.35))
    backoff.check()
    for wait_s in (0.1, 0.2, 0.35, 0.35):
        error = backoff.failed("it is gone")
        assert str(error) == f"tcp://x:1: it is gone; the next attempt is in {wait_s:.2f} s"
        now_s[0] += wait_s - 0.05
        with pytest.raises(BackendUnavailable, match=r"x:1: it is gone; .* is in 0\.05 s"):
            backoff.check()
        now_s[0] += 0.06
        backoff.check()
    backoff.worked()
    assert "in 0.10 s" in str(backoff.failed("again"))


def test_failures_without_end_are_no_overflow(now_s: list[float]):
    backoff = Backoff("x", ChannelTimes(backoff_s=0.1, backoff_max_s=1e9))
    for _ in range(2000):
        error = backoff.failed("no")
    assert "in 6553.60 s" in str(error)
