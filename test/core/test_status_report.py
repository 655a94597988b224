# SPDX-License-Identifier: Apache-2.0
"""What the executor tells of itself."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from test.core.bench import HOME, STEP, T0, TICK, Bench
from test.core.helpers import MS
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor_status import Measured
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.status_report import Tally


def test_at_first_nothing_is_known() -> None:
    status = Bench().status
    assert (status.mode, status.hold_reason, status.detail) == ("idle", "starting", "")
    assert status.command is None
    assert status.measured is None
    assert (status.last_request_id, status.last_chunk_id) == (0, 0)
    assert np.isnan([status.since_request_s, status.since_chunk_s]).all()
    assert np.isnan([status.latency_p50_s, status.latency_p95_s]).all()
    assert (status.ticks, status.hold_ticks, status.chunks_dropped) == (0, {}, {})


def test_it_tells_what_is_queued_executed_and_commanded() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    bench.tick(20)
    status = bench.status
    assert (status.mode, status.hold_reason, status.epoch) == ("move", "", 1)
    assert status.remaining_steps == pytest.approx(6.0)
    assert status.remaining_s == pytest.approx(0.6)
    assert status.queue_fraction == pytest.approx(0.6)
    assert status.executed_steps == pytest.approx(4.0)
    assert status.speed == 1.0
    assert status.chunk_s == pytest.approx(1.0)
    assert status.latency_budget_s == pytest.approx(0.5 - 0.02)
    assert status.command == pytest.approx(bench.pose)
    assert status.measured is not None
    assert (status.ticks, status.hold_ticks) == (22, {"starting": 2})


def test_it_counts_requests_and_what_became_of_them() -> None:
    bench = Bench(repeat_factor=1.0, chunk_size_threshold=1.0)
    for _ in range(7):
        bench.tick(2)
        request = bench.poll()
        assert request is not None
        bench.tick(5)
        bench.offer(*[0.1] * 10, request_id=request.request_id)
    status = bench.status
    assert (status.observations_requested, status.chunks_received) == (7, 7)
    assert (status.last_request_id, status.last_chunk_id) == (7, 7)
    assert status.latency_p50_s == pytest.approx(0.1)
    assert status.latency_p95_s == pytest.approx(0.1)
    assert status.since_request_s == pytest.approx(0.1)
    assert status.since_chunk_s == 0.0
    bench.poll()
    bench.tick(20)
    assert bench.poll() is not None  # it was silent for longer than is usual
    assert bench.status.requests_repeated == 1
    bench.executor.fail(9, 1, Failure("policy_error", "no cube"), bench.now)
    assert bench.status.requests_failed == 1
    assert bench.status.detail == "no cube"


def test_it_counts_what_was_dropped_by_its_kind() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    for stamp, epoch in ((T0 - STEP, 1), (bench.now + 2 * STEP, 1), (bench.now, 7), (bench.now, 8)):
        with contextlib.suppress(ChunkRefused):
            bench.offer(*[0.1] * 10, stamp=stamp, epoch=epoch)
    assert bench.status.chunks_dropped == {"out_of_order": 1, "early": 1, "old_epoch": 2}


def test_it_tells_why_it_holds_or_was_stopped() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 2)
    bench.tick(20)
    status = bench.status
    assert (status.mode, status.hold_reason) == ("hold", "starved")
    assert status.starved_ticks == status.hold_ticks["starved"] > 0
    bench.executor.stop("stopped", "somebody pressed the button")
    bench.tick()
    status = bench.status
    assert (status.mode, status.hold_reason) == ("stopped", "stopped")
    assert status.detail == "somebody pressed the button"


def test_it_tells_what_was_clipped_and_by_how_much() -> None:
    bench = Bench(aggregate_fn="latest_only")
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    bench.tick()
    before = bench.status
    bench.offer(*[0.9] * 10)
    bench.tick()
    status = bench.status
    assert before.clipped.tolist() == [0, 0, 0]
    assert status.clipped.tolist() == [1, 0, 0]
    # In one tick from rest a joint goes 20 rad/s^2 * (20 ms)^2.
    assert status.clipped_by_max[0] == pytest.approx(0.8 - 0.008)
    bench.tick()
    assert status.clipped.tolist() == [1, 0, 0]  # a status is of its moment


def test_a_stale_pose_is_not_measured_anew() -> None:
    bench = Bench()
    bench.tick()
    bench.executor.update(bench.now + TICK, Measured(np.zeros(3), 9.0))
    assert bench.status.measured == pytest.approx(HOME)


def test_a_tally_counts_what_was_joined() -> None:
    tally = Tally()
    tally.joined(5, 7 * MS)
    tally.joined(6, 9 * MS)
    assert (tally.received, tally.last_chunk_id, tally.joined_ns) == (2, 6, 9 * MS)
