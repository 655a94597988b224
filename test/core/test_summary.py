# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from math import inf, isnan, nan

import numpy as np
import pytest

from test.core.helpers import policy, robot
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import ExecutorStatus
from vla_ros.core.summary import late_answers, least_threshold, summary

NAMES = robot().command_names


def status(**changes: object) -> ExecutorStatus:
    """An executor that moves, with chunks of one second."""
    fresh = ActionExecutor(robot(), policy(), ExecutorParams()).status(0)
    moving = {"mode": "move", "hold_reason": "", "detail": "", "chunk_s": 1.0}
    return dataclasses.replace(fresh, **{**moving, **changes})  # type: ignore[arg-type]


def test_nothing_has_happened_yet() -> None:
    assert summary(status(), NAMES) == (
        "move; queue 0 steps, 0.00 s; asked never; last chunk never; latency p50 - p95 -;"
        " starved 0 ticks; clipped nothing"
    )


def test_everything_in_one_line() -> None:
    line = summary(
        status(
            mode="hold",
            hold_reason="stale_camera",
            detail="camera left is 0.3 s old",
            remaining_steps=12.4,
            remaining_s=0.41,
            since_request_s=0.12,
            since_chunk_s=1.26,
            latency_p50_s=0.0831,
            latency_p95_s=0.1204,
            starved_ticks=7,
            clipped=np.array([0, 3, 0], dtype=np.uint64),
            clipped_by_max=np.array([0.0, 0.0123, 0.0]),
            chunks_dropped={"late": 2, "duplicate": 1},
        ),
        NAMES,
    )

    assert line == (
        "hold: stale_camera (camera left is 0.3 s old); queue 12 steps, 0.41 s; asked 0.1 s ago;"
        " last chunk 1.3 s ago; latency p50 83 ms p95 120 ms; starved 7 ticks;"
        f" clipped {NAMES[1]} 3 ticks (by 0.0123); dropped late 2, duplicate 1"
    )
    assert "\n" not in line


@pytest.mark.parametrize("latency_s", [nan, 0.1, 0.48])
def test_answers_in_time_are_no_cause_for_a_word(latency_s: float) -> None:
    now = status(latency_p95_s=latency_s, latency_budget_s=0.48)

    assert late_answers(ExecutorParams(), now) == ""


def test_who_waits_at_rest_has_all_the_time() -> None:
    now = status(latency_p95_s=9.0, latency_budget_s=inf)

    assert late_answers(ExecutorParams(scheduling="sync"), now) == ""


def test_a_threshold_that_cannot_work_is_told_with_one_that_would() -> None:
    params = ExecutorParams(chunk_size_threshold=0.3)
    now = status(latency_p95_s=0.41, latency_budget_s=0.28)

    assert late_answers(params, now) == (
        "the p95 latency of 410 ms is over the budget of 280 ms: set chunk_size_threshold to at"
        " least 0.45"
    )
    assert least_threshold(params, now) == pytest.approx(0.45)


@pytest.mark.parametrize("scheduling", ["async", "auto"])
def test_where_no_threshold_is_enough_that_is_said(scheduling: str) -> None:
    params = ExecutorParams(scheduling=scheduling)  # type: ignore[arg-type]
    now = status(latency_p95_s=0.6, latency_budget_s=0.48)

    assert "scheduling sync" in late_answers(params, now)


def test_without_a_latency_there_is_no_least_threshold() -> None:
    assert isnan(least_threshold(ExecutorParams(), status(latency_p95_s=nan)))
