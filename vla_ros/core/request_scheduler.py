# SPDX-License-Identifier: Apache-2.0
"""One request in flight, how long answers take, a deadline, a pause after failure.

One thread, or an external lock. Moments are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan, nan

from vla_ros.core.executor_params import Patience
from vla_ros.core.hold_reasons import SERVER_SILENT
from vla_ros.core.latency import PercentileWindow
from vla_ros.core.observation import CommittedActions, ObservationRequest

_ANSWERS = 100
# So many answers must have come before their p95 means anything.
_ENOUGH = 5
# A request is not repeated sooner than this: a p95 of next to nothing must not flood the policy.
_SOONEST_REPEAT_S = 0.25


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last request came to nothing.

    Attributes:
        reason: The machine-readable reason, which a hold is named after.
        detail: The same in words, from where it happened.
    """

    reason: str
    detail: str


class RequestScheduler:
    """Keeps track of the one request that is in flight.

    Attributes:
        patience: How long an answer is waited for; may be changed at any time.
        requested: How many requests were made.
        repeated: How many of them because an answer took too long.
        failed: How many came to nothing.
        failure: Why the last one did; None once another has succeeded.
        last: The newest request; ids begin at 1.
    """

    def __init__(self, patience: Patience) -> None:
        """Nothing was asked yet."""
        self.patience = patience
        self.requested = 0
        self.repeated = 0
        self.failed = 0
        self.failure: Failure | None = None
        self.last: ObservationRequest | None = None
        self._in_flight: ObservationRequest | None = None
        # When each request was made that may still be answered: one that was repeated was late, not
        # lost, if its answer comes. Were its latency not counted, all after it would be repeated.
        self._asked_ns: dict[int, int] = {}
        self._not_before_ns: int | None = None
        self._answers_s = PercentileWindow(_ANSWERS)
        self._longest_s = nan
        # A policy's first answer takes longer than all others, after a failure once more.
        self._warm = False

    def latency_s(self, q: float) -> float:
        """The ``q``-th percentile of the time from a request to its answer; NaN: not known yet."""
        return self._answers_s.percentile(q) if len(self._answers_s) >= _ENOUGH else nan

    @property
    def expected_s(self) -> float:
        """How long an answer takes, p95; before that is known, as long as any has taken so far.

        NaN before the first.
        """
        p95_s = self.latency_s(95.0)
        return self._longest_s if isnan(p95_s) else p95_s

    def ready(self, now_ns: int) -> bool:
        """Whether a request may be made now; gives up on one that took too long."""
        flying = self._in_flight
        if flying is not None:
            took_s = (now_ns - flying.stamp_ns) * 1e-9
            if took_s > self.patience.timeout_s:
                detail = (
                    f"request {flying.request_id} had no answer within"
                    f" {self.patience.timeout_s:g} s"
                )
                self.fail(flying.request_id, Failure(SERVER_SILENT, detail), now_ns, pause_s=0.0)
            elif took_s > self._repeat_after_s():
                self.repeated += 1
                self._in_flight = None
        paused = self._not_before_ns is not None and now_ns < self._not_before_ns
        return not paused and self._in_flight is None

    def _repeat_after_s(self) -> float:
        latency_s = self.latency_s(95.0)
        if self.patience.repeat_factor == 0.0 or isnan(latency_s):
            return inf
        return max(self.patience.repeat_factor * latency_s, _SOONEST_REPEAT_S)

    def make(
        self,
        now_ns: int,
        *,
        epoch: int,
        must_go: bool,
        committed: CommittedActions | None = None,
        runs_out_ns: int | None = None,
    ) -> ObservationRequest:
        """Make a request; ``ready`` must have allowed it.

        Args:
            now_ns: Now.
            epoch: The epoch to ask in.
            must_go: Whether nothing is left to execute.
            committed: What will be executed meanwhile.
            runs_out_ns: When nothing will be left to execute; None: not known.
        """
        self.requested += 1
        self.last = ObservationRequest(
            self.requested, epoch, now_ns, must_go, committed, runs_out_ns
        )
        self._in_flight = self.last
        oldest_ns = now_ns - round(self.patience.timeout_s * 1e9)
        self._asked_ns = {id_: at for id_, at in self._asked_ns.items() if at >= oldest_ns}
        self._asked_ns[self.requested] = now_ns
        return self.last

    def answered(self, request_id: int, now_ns: int) -> None:
        """An answer came, of any use or none; its latency counts once."""
        asked_ns = self._asked_ns.pop(request_id, None)
        if asked_ns is None:
            return
        took_s = (now_ns - asked_ns) * 1e-9
        self._longest_s = max(took_s, self._longest_s)  # in this order NaN gives way
        if self._warm:
            self._answers_s.add(took_s)
        self._warm = True

    def succeed(self, request_id: int) -> None:
        """A request got its chunk."""
        self.failure = None
        self._land(request_id)

    def fail(
        self, request_id: int, failure: Failure, now_ns: int, *, pause_s: float | None = None
    ) -> None:
        """A request came to nothing.

        The failure of a request that is no longer in flight is news of the past, and ignored.

        Args:
            request_id: Which.
            failure: Why.
            now_ns: Now.
            pause_s: How long the next one waits; None: ``patience.retry_interval_s``.
        """
        if self._in_flight is None or self._in_flight.request_id != request_id:
            return
        self._asked_ns.pop(request_id, None)
        self.failed += 1
        self.failure = failure
        self._warm = False
        wait_s = self.patience.retry_interval_s if pause_s is None else pause_s
        self._not_before_ns = now_ns + round(wait_s * 1e9)
        self._land(request_id)

    def reset(self) -> None:
        """Forget what is in flight and what failed."""
        self._in_flight = None
        self._asked_ns.clear()
        self.failure = None
        self._not_before_ns = None

    def _land(self, request_id: int) -> None:
        if self._in_flight is not None and self._in_flight.request_id == request_id:
            self._in_flight = None
