# SPDX-License-Identifier: Apache-2.0
"""How long one server is waited for where another one could be asked. Pure; one thread."""

from __future__ import annotations

from math import inf

from vla_ros.core.latency import PercentileWindow

_ANSWERS = 50
# So many answers must have come before their p95 means anything.
_ENOUGH = 5
# Bounds of the wait, in times of the p95, and in seconds: answers vary.
_LONGEST = 3.0
_SHORTEST = 1.5
_LEAST_S = 0.25
# What is kept back for the other server's answer, in times of the p95.
_KEPT_BACK = 1.5


class AnswerTimes:
    """How long the last answers took, and what follows of it."""

    def __init__(self) -> None:
        """No answer has come yet."""
        self._window = PercentileWindow(_ANSWERS)

    def add(self, took_s: float) -> None:
        """Take the time of an answer."""
        self._window.add(took_s)

    def patience_s(self, runs_out_in_s: float = inf) -> float:
        """After how long without an answer another server is asked.

        So that the other one's answer comes before the robot has nothing left to execute, where
        that can be; but no sooner than an answer may well take, and not at all before it is known
        how long answers take.

        Args:
            runs_out_in_s: For how long the robot has something to execute.
        """
        if len(self._window) < _ENOUGH:
            return inf
        p95_s = self._window.percentile(95.0)
        spare_s = runs_out_in_s - _KEPT_BACK * p95_s
        return max(min(_LONGEST * p95_s, spare_s), _SHORTEST * p95_s, _LEAST_S)
