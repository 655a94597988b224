# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from test.core.helpers import policy, robot
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Measured
from vla_ros.ros.diagnostics import Level
from vla_ros.ros.executor_state import (
    ExecutorFigures,
    execution_status,
    overhead_ms,
    state_to_message,
    timing_to_message,
)
from vla_ros.ros.stamps import ns_from_time

MS = 1_000_000
NAMES = robot().command_names
# Asked for at 1000 ms, sent at 1004, answered at 1104, of an image of 980 ms.
CHUNK = ActionChunk(
    980 * MS,
    100 * MS,
    ("a/position", "g/position"),
    np.zeros((4, 2)),
    request_id=3,
    timing=ChunkTiming(1000 * MS, 1004 * MS, 1104 * MS),
)


def executor() -> ActionExecutor:
    return ActionExecutor(robot(), policy(), ExecutorParams())


def message_of(core: ActionExecutor, figures: ExecutorFigures, now_ns: int):
    return state_to_message(
        core.status(now_ns), NAMES, figures, tick_errors_ms=[0.1, 0.3], missed_ticks=4,
        now_ns=now_ns,
    )  # fmt: skip


def test_before_anything_is_known():
    message = message_of(executor(), ExecutorFigures(), 5 * MS)

    assert ns_from_time(message.header.stamp) == 5 * MS
    assert message.mode == "idle"
    assert (list(message.command), list(message.measured)) == ([], [])
    assert message.missed_ticks == 4
    assert list(message.tick_errors_ms) == [0.1, 0.3]
    assert math.isnan(message.overhead_ms_p50)
    assert math.isnan(message.request_to_chunk_ms_p95)
    assert math.isnan(message.since_chunk_s)


def test_what_the_executor_says_is_in_the_message():
    core = executor()
    core.start()
    pose = np.array([0.1, 0.2, 0.3])
    for tick in range(3):
        core.update(tick * 20 * MS, Measured(pose, 0.0))

    message = message_of(core, ExecutorFigures(), 60 * MS)

    assert (message.mode, message.hold_reason) == ("hold", "starting")
    assert (list(message.hold_reasons), list(message.hold_ticks)) == (["starting"], [3])
    assert message.ticks == 3
    assert list(message.names) == list(NAMES)
    np.testing.assert_allclose(message.command, pose)
    np.testing.assert_allclose(message.measured, pose)
    assert list(message.clipped) == [0, 0, 0]


def test_requests_and_chunks_are_counted():
    core = executor()
    core.start()
    epoch = core.status(0).epoch
    for turn in range(8):
        now_ns = turn * 1000 * MS
        core.update(now_ns, Measured(np.array([0.1, 0.2, 0.3]), 0.0))
        request = core.poll_request(now_ns)
        assert request is not None
        chunk = replace(CHUNK, stamp_ns=now_ns, request_id=request.request_id, epoch=epoch)
        core.offer(chunk, now_ns + 120 * MS)
        core.update(now_ns + 130 * MS, None)
    with pytest.raises(ChunkRefused):
        core.offer(chunk, now_ns + 130 * MS)

    message = message_of(core, ExecutorFigures(), now_ns + 130 * MS)

    assert (message.observations_requested, message.chunks_received) == (8, 8)
    assert (message.chunks_dropped, list(message.drop_kinds)) == (1, ["duplicate"])
    assert list(message.drop_counts) == [1]
    assert message.request_to_chunk_ms_p95 == pytest.approx(120.0)
    assert message.latency_budget_ms == pytest.approx(0.5 * 1000.0 - 20.0)
    assert message.since_request_s == pytest.approx(0.13)
    assert message.since_chunk_s == pytest.approx(0.01)


def test_latencies_of_a_joined_chunk():
    figures = ExecutorFigures()
    figures.joined(CHUNK, 1109 * MS)

    message = message_of(executor(), figures, 0)

    assert message.overhead_ms_p50 == message.overhead_ms_p99 == pytest.approx(9.0)
    assert message.anchor_age_ms_p50 == pytest.approx(20.0)
    assert overhead_ms(CHUNK, 1120 * MS) == pytest.approx(20.0)


def test_tick_errors_are_shown_as_percentiles():
    figures = ExecutorFigures()
    for error_ms in (0.1, 0.2, 0.9):
        figures.tick_error.add(error_ms)

    message = message_of(executor(), figures, 0)

    assert message.tick_error_ms_p50 == pytest.approx(0.2)
    assert message.tick_error_ms_max == pytest.approx(0.9)


def test_a_chunks_way():
    message = timing_to_message(CHUNK, joined_ns=1109 * MS, commanded_ns=1120 * MS, blend_s=0.25)

    assert message.request_id == 3
    assert ns_from_time(message.header.stamp) == 980 * MS
    times = [
        ns_from_time(getattr(message, name)) // MS
        for name in ("requested", "sent", "received", "joined", "commanded")
    ]
    assert times == [1000, 1004, 1104, 1109, 1120]
    assert ns_from_time(message.blend) == 250 * MS


def test_diagnostics():
    core = executor()
    status = execution_status(core.status(0), NAMES, ExecutorFigures(), "SCHED_FIFO 50")

    assert (status.level, status.message) == (Level.WARN, "idle: stopped")
    assert status.values["scheduling"] == "SCHED_FIFO 50"
    assert status.values["clipped_ticks"] == ""
