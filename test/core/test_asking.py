# SPDX-License-Identifier: Apache-2.0
"""When observations are asked for and what requests say, seen from outside of the executor."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test.core.bench import NAMES, STEP, TICK, Bench
from test.core.helpers import MS, POLICY, SECOND, policy
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor_status import Hold, Move
from vla_ros.core.observation import CommittedActions, ObservationRequest

# Chunks of 50 actions at 30 Hz: 1.67 s.
LONG = POLICY.replace("rate_hz: 10", "rate_hz: 30").replace("horizon: 10", "horizon: 50")
AGE_S = 0.03


@dataclass
class Ring:
    """A bench whose requests are answered with a still chunk after a latency."""

    bench: Bench
    latency_s: float
    asked: list[ObservationRequest] = field(default_factory=list)
    answers: list[tuple[int, ObservationRequest]] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)

    def run(self, seconds: float) -> Ring:
        for _ in range(round(seconds * SECOND / TICK)):
            bench = self.bench
            while self.answers and self.answers[0][0] <= bench.now:
                _, request = self.answers.pop(0)
                stamp = request.stamp_ns - round(AGE_S * SECOND)
                bench.offer(*[0.1] * 50, stamp=stamp, request_id=request.request_id)
            if isinstance(bench.tick(), Move):
                self.moved.append(bench.now)
            request = bench.poll()
            if request is not None:
                self.asked.append(request)
                self.answers.append((bench.now + round(self.latency_s * SECOND), request))
        return self


def ring(latency_s: float, **params: object) -> Ring:
    return Ring(Bench(policy_text=LONG, **params), latency_s)


@pytest.mark.parametrize("latency_s", [0.05, 0.1, 0.2, 0.4, 0.6])
def test_auto_asks_for_hardly_more_than_the_fewest_and_never_starves(latency_s: float) -> None:
    it = ring(latency_s, scheduling="auto").run(60.0)
    # A chunk lasts from its observation on; asked any later, the queue would run dry.
    fewest = 60.0 / (50 / 30 - latency_s - AGE_S)
    assert len(it.asked) <= 1.2 * fewest
    assert it.bench.status.starved_ticks == 0


def test_auto_asks_when_the_latency_and_the_margin_are_left() -> None:
    it = ring(0.2, scheduling="auto", latency_margin_s=0.1).run(30.0)
    while it.bench.now != it.asked[-1].stamp_ns:
        it.run(TICK * 1e-9)
    remaining_s = it.bench.status.remaining_s
    asks_s = 0.2 + 0.1 + 0.02
    assert asks_s - 0.02 <= remaining_s <= asks_s + 1e-9


@pytest.mark.parametrize(("speed", "slower"), [(1.0, 1.0), (0.5, 2.0)])
def test_a_request_says_when_there_is_nothing_left(speed: float, slower: float) -> None:
    it = ring(0.2, scheduling="async", chunk_size_threshold=0.5, speed_scale=speed).run(10.0)
    first, *others = it.asked
    assert first.runs_out_ns == first.stamp_ns
    for request in others:
        assert request.runs_out_ns is not None
        left_s = (request.runs_out_ns - request.stamp_ns) * 1e-9
        # Half of a chunk, and what is left of it when the tick comes that asks.
        assert 25 / 30 * slower - 0.021 <= left_s <= 25 / 30 * slower + 1e-6


def test_auto_follows_a_latency_that_changes() -> None:
    it = ring(0.05, scheduling="auto").run(20.0)
    it.latency_s = 0.6
    it.run(20.0)
    starved = it.bench.status.starved_ticks
    it.run(40.0)
    assert it.bench.status.starved_ticks == starved
    assert it.bench.status.latency_p95_s == pytest.approx(0.6)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_async_asks_at_the_threshold(threshold: float) -> None:
    bench = Bench(chunk_size_threshold=threshold)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    start = bench.now
    while bench.poll() is None:
        bench.tick()
    assert (bench.now - start) / STEP == pytest.approx(10.0 * (1.0 - threshold), abs=0.2)


def test_an_empty_queue_must_go() -> None:
    bench = Bench()
    bench.tick(2)
    request = bench.poll()
    assert request is not None
    assert request.must_go
    assert request.committed is None
    bench.offer(*[0.1] * 10, request_id=request.request_id)
    bench.tick(30)
    request = bench.poll()
    assert request is not None
    assert not request.must_go
    assert request.committed is not None


@settings(max_examples=15)
@given(st.floats(0.0, 1.2), st.sampled_from([0.05, 0.1, 0.3]))
def test_sync_never_moves_blind(latency_s: float, settle_s: float) -> None:
    """It moves, comes to rest, settles, asks, and does not move before the answer is there."""
    it = ring(latency_s, scheduling="sync", execution_horizon=9, settle_s=settle_s).run(8.0)
    assert len(it.asked) > 3
    for request in it.asked[1:]:
        answered_ns = request.stamp_ns + round(latency_s * SECOND)
        quiet_ns = request.stamp_ns - round(settle_s * SECOND)
        assert not [moment for moment in it.moved if quiet_ns < moment <= answered_ns]
        assert request.must_go
        assert request.committed is None
    # Each chunk's nine actions are executed and no more; the last one's last tick is the first of
    # the hold.
    status = it.bench.status
    assert 8.4 * (status.chunks_received - 1) - 1e-6 <= status.executed_steps
    assert status.executed_steps <= 9.0 * status.chunks_received


def test_sync_refuses_what_was_seen_before_it_came_to_rest() -> None:
    bench = Bench(scheduling="sync", settle_s=0.0)
    bench.tick(3)
    bench.offer(*[0.1 + 0.05 * index for index in range(10)])
    seen = bench.now
    bench.tick()
    with pytest.raises(ChunkRefused, match="has moved since") as refusal:
        bench.offer(*[0.1] * 10, stamp=seen)
    assert refusal.value.kind == "blind"
    bench.tick(70)
    with pytest.raises(ChunkRefused, match="has moved since"):
        bench.offer(*[0.1] * 10, stamp=seen + SECOND - TICK)
    bench.offer(*[0.1] * 10)
    assert isinstance(bench.tick(), Move)


def test_while_it_waits_at_rest_it_says_so() -> None:
    bench = Bench(scheduling="sync")
    assert bench.reason() == "starting"
    bench.tick(10)
    bench.offer(*[0.1] * 3)
    bench.tick(20)
    assert bench.reason() == "waiting"
    assert bench.status.starved_ticks == 0


def test_nothing_is_asked_while_a_request_flies_or_after_a_failure() -> None:
    bench = Bench(retry_interval_s=0.1)
    bench.tick(2)
    assert bench.poll() is not None
    bench.tick(10)
    assert bench.poll() is None


def committed(bench: Bench) -> CommittedActions:
    request = bench.poll()
    assert request is not None
    assert request.committed is not None
    return request.committed


@settings(max_examples=30)
@given(
    st.floats(-0.3, 0.3),
    st.integers(0, 150 * MS),
    st.sampled_from(["linear", "cubic"]),
)
def test_what_is_committed_is_what_is_commanded_if_no_chunk_comes(
    disagreement: float, age_ns: int, interpolation: str
) -> None:
    """A new chunk is being led in while the next one is asked for."""
    bench = Bench(
        policy_text=POLICY.replace("horizon: 10", "horizon: 30"),
        interpolation=interpolation,
        chunk_size_threshold=1.0,
        blend_steps=4.0,
    )
    bench.tick(2)
    bench.offer(*0.05 * np.sin(0.3 * np.arange(30)))
    bench.tick(60)
    wave = disagreement + 0.05 * np.sin(0.2 * np.arange(30))
    bench.offer(*wave, stamp=bench.now - age_ns)
    bench.tick(3)
    asked_ns = bench.now
    prefix = committed(bench).anchored(asked_ns - age_ns, asked_ns)
    assert prefix is not None
    assert prefix.names == NAMES
    positions = {bench.now: bench.pose}
    while bench.moves():
        positions[bench.now] = bench.pose
    moments = np.array(list(positions))
    arm = np.array([pose[0] for pose in positions.values()])
    due = asked_ns - age_ns + np.arange(len(prefix.actions)) * policy().step_ns
    then = (due >= asked_ns) & (due <= moments[-1])
    # Both are sampled, and lines between actions cut the corners of what is led in.
    assert prefix.actions[then, 0] == pytest.approx(
        np.interp(due[then], moments, arm), abs=0.006 + 0.03 * abs(disagreement)
    )


def test_a_prefix_says_how_long_it_will_take_and_how_many_will_be_executed() -> None:
    it = ring(0.2, scheduling="async", chunk_size_threshold=0.4).run(20.0)
    last = it.asked[-1].committed
    assert last is not None
    assert last.inference_delay_s == pytest.approx(0.2)
    assert last.execution_horizon == 30


def test_without_an_answer_so_far_none_is_expected_to_take_time() -> None:
    bench = Bench(chunk_size_threshold=1.0)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    bench.tick(3)
    assert committed(bench).inference_delay_s == 0.0


def test_what_ends_between_the_tick_and_the_question_is_not_committed() -> None:
    bench = Bench(chunk_size_threshold=0.0)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    bench.tick(49)
    request = bench.executor.poll_request(bench.now + TICK)
    assert request is not None
    assert request.must_go
    assert request.committed is None


def test_what_there_is_to_decide_from_slows_down_with_the_robot() -> None:
    bench = Bench(speed_scale=0.5, control_rate_hz=100.0, actions_per_chunk=6)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    status = bench.status
    assert status.chunk_s == pytest.approx(1.2)
    assert status.remaining_s == pytest.approx(1.2)
    assert status.latency_budget_s == pytest.approx(0.5 * 1.2 - 0.01)
    assert status.latency_p95_s == pytest.approx(nan, nan_ok=True)


def test_nothing_is_asked_while_it_is_paused_or_stopped() -> None:
    bench = Bench()
    bench.tick(2)
    bench.configure(speed_scale=0.0)
    assert isinstance(bench.tick(20), Hold)
    assert bench.poll() is None
    bench.configure(speed_scale=1.0)
    bench.executor.stop()
    assert bench.poll() is None
