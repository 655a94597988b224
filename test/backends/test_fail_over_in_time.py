# SPDX-License-Identifier: Apache-2.0
"""An executor, two servers of a 300 ms model, and the death of one at any moment of a chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from test.core.bench import TICK, Bench
from test.core.helpers import POLICY, SECOND
from test.support.fake_remotes import FakeRemote, FakeServer, StillWatch, fake_remote
from test.support.gr00t_samples import STAMP_NS, observation
from vla_ros.backends import _fail_over
from vla_ros.backends._fail_over import FailOver
from vla_ros.core.errors import BackendSilent, BackendUnavailable

# A chunk of 50 actions at 30 Hz lasts 1.67 s.
LONG = POLICY.replace("rate_hz: 10", "rate_hz: 30").replace("horizon: 10", "horizon: 50")
MODEL_S = 0.3
# From a request to its observation at the policy, and the observation's age when it was made.
WAY_S, AGE_S = 0.03, 0.03
SETTLED_S = 6.0


class Doomed(FakeRemote):
    """It dies at a moment, or falls silent, also in the middle of an inference."""

    now_s: Any = None
    dies_at_s = 0.0
    how = ""

    def _ask(self, what: str, takes_s: float = 0.0) -> None:
        if self.now_s() + takes_s < self.dies_at_s:
            super()._ask(what, takes_s)
        elif self.how == "silent":
            self.server.wait(self.timeout_s)
            raise BackendSilent("no answer")
        else:
            self.server.wait(max(self.dies_at_s - self.now_s(), 0.0))
            raise BackendUnavailable("the connection was lost")


class Loop:
    """The ring in simulated time."""

    def __init__(self, *, dies_at_s: float, how: str, threshold: float) -> None:
        self.bench = Bench(policy_text=LONG, scheduling="async", chunk_size_threshold=threshold)
        self.began_ns = self.bench.now
        self.now_s = 0.0
        server, other = (FakeServer(wait=self._wait, takes_s=MODEL_S) for _ in range(2))
        clock = {"now_ns": lambda: self.began_ns + round(self.now_s * SECOND)}
        sound = fake_remote(other, port=2, **clock)
        doomed = Doomed(
            sound.config, server=server, robot=sound.robot, policy=sound.policy, **clock
        )
        doomed.now_s, doomed.dies_at_s, doomed.how = self.monotonic, dies_at_s, how
        self.backend = FailOver([doomed, sound])
        self.answers: list[tuple[int, int, int]] = []
        self.starved = 0

    def _wait(self, seconds: float) -> None:
        self.now_s += seconds

    def monotonic(self) -> float:
        return self.now_s

    def run(self, seconds: float) -> Loop:
        """Until a moment of the ring's life; ``starved`` counts from the end of the last run."""
        bench = self.bench
        before = bench.status.starved_ticks
        while bench.now < self.began_ns + seconds * SECOND:
            while self.answers and self.answers[0][0] <= bench.now:
                _, stamp_ns, request_id = self.answers.pop(0)
                bench.offer(*[0.1] * 50, stamp=stamp_ns, request_id=request_id)
            bench.tick(length=TICK)
            request = bench.poll()
            if request is None:
                continue
            self.now_s = (bench.now - self.began_ns) / SECOND + WAY_S
            stamp_ns = request.stamp_ns - round(AGE_S * SECOND)
            self.backend.infer(observation(stamp_ns=STAMP_NS, request=request))
            answered_ns = self.began_ns + round(self.now_s * SECOND)
            self.answers.append((answered_ns, stamp_ns, request.request_id))
        self.starved = bench.status.starved_ticks - before
        return self


@pytest.mark.parametrize(("how", "threshold"), [("dead", 0.5), ("silent", 0.5), ("silent", 0.9)])
def test_the_robot_never_starves_whenever_a_server_dies(
    how: str, threshold: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(_fail_over, "Watch", StillWatch)
    starved = {}
    # A chunk is asked for every 0.83 s.
    for moment_s in np.arange(SETTLED_S, SETTLED_S + 0.9, 0.05):
        loop = Loop(dies_at_s=float(moment_s), how=how, threshold=threshold)
        monkeypatch.setattr(_fail_over, "time", loop)
        loop.backend.connect()
        assert loop.run(SETTLED_S).starved == 0
        starved[round(moment_s, 2)] = loop.run(SETTLED_S + 3.0).starved
        assert loop.backend.in_use == "127.0.0.1:2"
    assert {moment: ticks for moment, ticks in starved.items() if ticks} == {}
