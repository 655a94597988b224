# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from math import inf, nan

import pytest

from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.scheduling import (
    Outlook,
    asks_at_steps,
    execution_horizon,
    latency_budget_s,
    wants_observation,
)

# A chunk of two seconds that is answered within 0.3 s.
OUTLOOK = Outlook(
    remaining_steps=10.0, chunk_steps=20, step_s=0.1, latency_s=0.3, tick_s=0.02, rested_s=nan
)
ASYNC = ExecutorParams(chunk_size_threshold=0.4)
AUTO = ExecutorParams(scheduling="auto", chunk_size_threshold=0.4, latency_margin_s=0.05)
SYNC = ExecutorParams(scheduling="sync", settle_s=0.1)


def wants(params: ExecutorParams, remaining: float, rested_s: float = nan) -> bool:
    outlook = dataclasses.replace(OUTLOOK, remaining_steps=remaining, rested_s=rested_s)
    return wants_observation(params, outlook)


def test_async_asks_at_the_threshold_and_below() -> None:
    assert asks_at_steps(ASYNC, OUTLOOK) == pytest.approx(8.0)
    assert [wants(ASYNC, remaining) for remaining in (20.0, 8.1, 8.0, 0.0)] == [
        False,
        False,
        True,
        True,
    ]


def test_auto_asks_when_the_latency_leaves_its_margin_and_a_tick() -> None:
    assert asks_at_steps(AUTO, OUTLOOK) == pytest.approx((0.3 + 0.05 + 0.02) / 0.1)
    assert not wants(AUTO, 3.71)
    assert wants(AUTO, 3.69)


def test_auto_asks_as_async_until_the_latency_is_known() -> None:
    unknown = dataclasses.replace(OUTLOOK, latency_s=nan)
    assert asks_at_steps(AUTO, unknown) == asks_at_steps(ASYNC, unknown)


def test_at_half_speed_the_same_time_is_half_as_many_actions() -> None:
    slow = dataclasses.replace(OUTLOOK, step_s=0.2)
    assert asks_at_steps(AUTO, slow) == pytest.approx(1.85)


def test_sync_asks_at_rest_with_nothing_left_once_the_arm_has_settled() -> None:
    assert not wants(SYNC, 0.0)
    assert not wants(SYNC, 0.0, rested_s=0.09)
    assert not wants(SYNC, 0.5, rested_s=9.0)
    assert wants(SYNC, 0.0, rested_s=0.1)


def test_an_answer_may_take_as_long_as_the_queue_lasts() -> None:
    assert latency_budget_s(ASYNC, OUTLOOK) == pytest.approx(0.4 * 2.0 - 0.02)
    assert latency_budget_s(AUTO, OUTLOOK) == pytest.approx(0.5 * 2.0 - 0.02)
    eager = ExecutorParams(chunk_size_threshold=0.9)
    assert latency_budget_s(eager, OUTLOOK) == pytest.approx(0.5 * 2.0 - 0.02)
    assert latency_budget_s(SYNC, OUTLOOK) == inf


def test_so_many_actions_are_executed_before_the_next_chunk() -> None:
    assert execution_horizon(ASYNC, OUTLOOK) == 12
    assert execution_horizon(AUTO, OUTLOOK) == 16  # of 20, 0.35 s are left when it is replaced
    assert execution_horizon(AUTO, dataclasses.replace(OUTLOOK, latency_s=nan)) == 0
    assert execution_horizon(SYNC, OUTLOOK) == 0


def test_at_least_one_action_is_executed() -> None:
    assert execution_horizon(ExecutorParams(chunk_size_threshold=1.0), OUTLOOK) == 1
    assert execution_horizon(AUTO, dataclasses.replace(OUTLOOK, latency_s=9.0)) == 1
