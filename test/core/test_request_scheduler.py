# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.executor_params import Patience
from vla_ros.core.hold_reasons import SERVER_SILENT
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.request_scheduler import Failure, RequestScheduler

MS = 1_000_000
SECOND = 1_000_000_000
PATIENCE = Patience(timeout_s=2.0, repeat_factor=4.0, retry_interval_s=0.1)
FAILURE = Failure("stale_camera", "camera left is stale")


def ask(scheduler: RequestScheduler, now: int) -> ObservationRequest | None:
    if not scheduler.ready(now):
        return None
    return scheduler.make(now, epoch=3, must_go=False)


def answered_after(scheduler: RequestScheduler, *latencies_ms: int, start: int = 0) -> int:
    """Ask again and again, and get an answer each time; when the last one came."""
    now = start
    for latency_ms in latencies_ms:
        request = ask(scheduler, now)
        assert request is not None
        now += latency_ms * MS
        scheduler.answered(request.request_id, now)
        scheduler.succeed(request.request_id)
    return now


def test_one_request_flies_at_a_time() -> None:
    it = RequestScheduler(PATIENCE)
    assert it.ready(10)
    request = it.make(10, epoch=3, must_go=True)
    assert request == ObservationRequest(request_id=1, epoch=3, stamp_ns=10, must_go=True)
    assert it.last is request
    assert ask(it, 20) is None
    it.succeed(1)
    assert ask(it, 30) == ObservationRequest(request_id=2, epoch=3, stamp_ns=30, must_go=False)
    assert it.requested == 2


def test_a_failure_is_kept_and_the_next_request_waits() -> None:
    it = RequestScheduler(PATIENCE)
    ask(it, 0)
    it.fail(1, FAILURE, 50 * MS)
    assert it.failure == FAILURE
    assert it.failed == 1
    assert ask(it, 149 * MS) is None
    assert ask(it, 150 * MS) is not None
    it.succeed(2)
    assert it.failure is None


def test_silence_is_a_failure_after_the_deadline() -> None:
    it = RequestScheduler(PATIENCE)
    ask(it, 0)
    assert ask(it, 2 * SECOND) is None
    again = ask(it, 2 * SECOND + 1)
    assert again is not None
    assert again.request_id == 2
    assert it.failure is not None
    assert it.failure.reason == SERVER_SILENT
    assert "request 1 had no answer within 2 s" in it.failure.detail
    assert it.repeated == 0


def test_news_of_a_request_that_is_not_in_flight_changes_nothing() -> None:
    it = RequestScheduler(PATIENCE)
    ask(it, 0)
    it.fail(7, FAILURE, 0)
    assert it.failure is None
    it.succeed(7)
    it.answered(7, 5)
    assert ask(it, 10) is None


def test_reset_forgets_what_flies_and_what_failed() -> None:
    it = RequestScheduler(PATIENCE)
    ask(it, 0)
    it.fail(1, FAILURE, 0)
    it.reset()
    assert it.failure is None
    assert ask(it, 1) is not None
    it.reset()
    assert ask(it, 2) is not None


def test_latency_is_told_once_enough_answers_came_and_the_warm_up_is_left_out() -> None:
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, 1500, 100, 100, 100, 100)
    assert isnan(it.latency_s(50.0))
    answered_after(it, 200, start=now)
    assert it.latency_s(50.0) == pytest.approx(0.1)
    assert it.latency_s(100.0) == pytest.approx(0.2)


def test_until_the_p95_is_known_the_longest_answer_so_far_is_expected() -> None:
    it = RequestScheduler(PATIENCE)
    assert isnan(it.expected_s)
    now = answered_after(it, 300, 100, 200)
    assert it.expected_s == pytest.approx(0.3)
    answered_after(it, 100, 100, 100, start=now)
    assert it.expected_s == pytest.approx(it.latency_s(95.0))


def test_the_first_answer_after_a_failure_is_a_warm_up_too() -> None:
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, *[100] * 8)
    request = ask(it, now)
    assert request is not None
    it.fail(request.request_id, FAILURE, now)
    answered_after(it, 1500, 100, start=now + SECOND)
    assert it.latency_s(100.0) == pytest.approx(0.1)


def test_an_answer_that_takes_far_longer_than_usual_is_asked_for_again() -> None:
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, *[100] * 8)
    ask(it, now)
    assert ask(it, now + 400 * MS) is None
    again = ask(it, now + 401 * MS)
    assert again is not None
    assert again.request_id == 10
    assert (it.repeated, it.failed, it.failure) == (1, 0, None)


def test_a_fast_server_is_not_flooded() -> None:
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, *[1] * 8)
    ask(it, now)
    assert ask(it, now + 250 * MS) is None
    assert ask(it, now + 251 * MS) is not None


@pytest.mark.parametrize(("factor", "answers"), [(0.0, 8), (4.0, 5)])
def test_without_a_factor_or_a_known_latency_nothing_is_repeated(
    factor: float, answers: int
) -> None:
    it = RequestScheduler(Patience(timeout_s=2.0, repeat_factor=factor, retry_interval_s=0.1))
    now = answered_after(it, *[100] * answers)
    ask(it, now)
    assert ask(it, now + 1900 * MS) is None


def test_an_answer_that_was_late_but_not_lost_counts() -> None:
    """Else a server that has become slow would be asked twice for ever."""
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, *[100] * 8)
    for _ in range(20):
        first = ask(it, now)
        again = ask(it, now + 401 * MS)
        for request in (first, again):
            if request is not None:
                it.answered(request.request_id, request.stamp_ns + 600 * MS)
                it.succeed(request.request_id)
        now += 2 * SECOND
    assert it.latency_s(95.0) == pytest.approx(0.6)
    assert it.repeated < 5


def test_an_answer_long_after_the_deadline_does_not_count() -> None:
    it = RequestScheduler(PATIENCE)
    now = answered_after(it, *[100] * 8)
    ask(it, now)
    ask(it, now + 401 * MS)
    ask(it, now + 3 * SECOND)
    it.answered(9, now + 3 * SECOND)
    it.answered(10, now + 3 * SECOND)
    assert it.latency_s(100.0) == pytest.approx(0.1)


events = st.lists(
    st.tuples(st.sampled_from(["tick", "succeed", "fail", "reset"]), st.integers(0, 900 * MS)),
    max_size=60,
)


@given(events)
def test_at_most_one_request_flies(script: list[tuple[str, int]]) -> None:
    it, now, flying = RequestScheduler(PATIENCE), 0, None
    for event, delay in script:
        now += delay
        if event == "tick":
            request, repeated = flying, it.repeated
            flying = ask(it, now) or flying
            if request is not None and flying is not request:
                assert it.repeated > repeated or now - request.stamp_ns > 2 * SECOND
        elif event == "reset":
            it.reset()
            flying = None
        elif flying is not None:
            it.answered(flying.request_id, now)
            if event == "succeed":
                it.succeed(flying.request_id)
            else:
                it.fail(flying.request_id, FAILURE, now)
            flying = None
    assert it.requested == (0 if it.last is None else it.last.request_id)
