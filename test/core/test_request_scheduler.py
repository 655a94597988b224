# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.hold_reasons import SERVER_SILENT
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.request_scheduler import Failure, RequestScheduler

SECOND = 1_000_000_000
FAILURE = Failure("stale_camera", "camera left is stale")


def poll(
    scheduler: RequestScheduler, now: int, *, wanted: bool = True, must_go: bool = False
) -> ObservationRequest | None:
    return scheduler.poll(now, epoch=3, wanted=wanted, must_go=must_go, timeout_s=2.0)


def test_asks_when_wanted_and_only_once() -> None:
    it = RequestScheduler()
    assert poll(it, 0, wanted=False) is None
    request = poll(it, 10, must_go=True)
    assert request == ObservationRequest(request_id=1, epoch=3, stamp_ns=10, must_go=True)
    assert poll(it, 20) is None
    it.succeed(1)
    assert poll(it, 30) == ObservationRequest(request_id=2, epoch=3, stamp_ns=30, must_go=False)
    assert it.requested == 2


def test_a_failure_is_kept_and_the_next_request_waits() -> None:
    it = RequestScheduler()
    poll(it, 0)
    it.fail(1, FAILURE, retry_ns=100)
    assert it.failure == FAILURE
    assert it.failed == 1
    assert poll(it, 99) is None
    assert poll(it, 100) is not None
    it.succeed(2)
    assert it.failure is None


def test_silence_is_a_failure_after_the_deadline() -> None:
    it = RequestScheduler()
    poll(it, 0)
    assert poll(it, 2 * SECOND) is None
    again = poll(it, 2 * SECOND + 1)
    assert again is not None
    assert again.request_id == 2
    assert it.failure is not None
    assert it.failure.reason == SERVER_SILENT
    assert "request 1 had no answer within 2 s" in it.failure.detail


def test_news_of_a_request_that_is_not_in_flight_changes_nothing() -> None:
    it = RequestScheduler()
    poll(it, 0)
    it.fail(7, FAILURE, retry_ns=0)
    assert it.failure is None
    it.succeed(7)
    assert poll(it, 10) is None


def test_reset_forgets_what_flies_and_what_failed() -> None:
    it = RequestScheduler()
    poll(it, 0)
    it.fail(1, FAILURE, retry_ns=SECOND)
    it.reset()
    assert it.failure is None
    assert poll(it, 1) is not None


events = st.lists(
    st.tuples(st.sampled_from(["tick", "succeed", "fail", "reset"]), st.integers(0, 900_000_000)),
    max_size=60,
)


@given(events)
def test_at_most_one_request_flies(script: list[tuple[str, int]]) -> None:
    it, now, flying = RequestScheduler(), 0, None
    for event, delay in script:
        now += delay
        if event == "tick":
            request = poll(it, now)
            if request is not None:
                assert flying is None or now - flying.stamp_ns > 2 * SECOND
                flying = request
        elif event == "reset":
            it.reset()
            flying = None
        elif flying is not None:
            if event == "succeed":
                it.succeed(flying.request_id)
            else:
                it.fail(flying.request_id, FAILURE, retry_ns=now)
            flying = None
    assert it.requested == it.last_request_id
