# SPDX-License-Identifier: Apache-2.0
"""When to ask for the next observation: one request in flight, a deadline, a pause after failure.

One thread, or an external lock. Moments are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.core.hold_reasons import SERVER_SILENT
from vla_ros.core.observation import ObservationRequest


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
        requested: How many requests were made.
        failed: How many came to nothing.
        failure: Why the last one did; None once another has succeeded.
        last_request_id: The newest request's id; ids begin at 1.
    """

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.requested = 0
        self.failed = 0
        self.failure: Failure | None = None
        self.last_request_id = 0
        self._in_flight: ObservationRequest | None = None
        self._not_before_ns: int | None = None

    def poll(
        self, now_ns: int, *, epoch: int, wanted: bool, must_go: bool, timeout_s: float
    ) -> ObservationRequest | None:
        """The request to make now, if any.

        Args:
            now_ns: Now.
            epoch: The epoch to ask in.
            wanted: Whether the queue runs low.
            must_go: Whether it has run out.
            timeout_s: After this a request in flight is given up as ``server_silent``.
        """
        flying = self._in_flight
        if flying is not None and now_ns - flying.stamp_ns > timeout_s * 1e9:
            detail = f"request {flying.request_id} had no answer within {timeout_s:g} s"
            self.fail(flying.request_id, Failure(SERVER_SILENT, detail), retry_ns=now_ns)
        paused = self._not_before_ns is not None and now_ns < self._not_before_ns
        if not wanted or paused or self._in_flight is not None:
            return None
        self.last_request_id += 1
        self.requested += 1
        self._in_flight = ObservationRequest(self.last_request_id, epoch, now_ns, must_go)
        return self._in_flight

    def succeed(self, request_id: int) -> None:
        """A request got its chunk."""
        self.failure = None
        self._land(request_id)

    def fail(self, request_id: int, failure: Failure, *, retry_ns: int) -> None:
        """A request came to nothing; the next one waits until ``retry_ns``.

        The failure of a request that is no longer in flight is news of the past, and ignored.
        """
        if self._in_flight is None or self._in_flight.request_id != request_id:
            return
        self.failed += 1
        self.failure = failure
        self._not_before_ns = retry_ns
        self._land(request_id)

    def reset(self) -> None:
        """Forget what is in flight and what failed."""
        self._in_flight = None
        self.failure = None
        self._not_before_ns = None

    def _land(self, request_id: int) -> None:
        if self._in_flight is not None and self._in_flight.request_id == request_id:
            self._in_flight = None
