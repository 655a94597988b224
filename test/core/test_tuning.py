# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from test.core.helpers import MS, POLICY, policy, robot
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.tuning import Advice, Tuner, in_words

NAMES = ("a/position", "g/position")
STEP = 100 * MS
REST = np.zeros((10, 2))


def tuned(
    latency_s: float,
    *,
    actions: NDArray[np.float64] = REST,
    planned: NDArray[np.float64] | None = None,
    count: int = 20,
    params: ExecutorParams | None = None,
) -> dict[str, Advice]:
    """Advice for a policy of ten actions at 10 Hz that always answers the same, by name."""
    tuner = Tuner(robot(), policy())
    for index in range(count):
        asked_ns = (10 + index) * 1000 * MS
        timing = ChunkTiming(requested_ns=asked_ns)
        chunk = ActionChunk(asked_ns, STEP, NAMES, actions, timing=timing)
        tuner.see(chunk, asked_ns + round(latency_s * 1e9), planned=planned)
    given = params or ExecutorParams(actions_per_chunk=10)
    return {advice.name: advice for advice in tuner.advise(given)}


def test_too_little_says_nothing() -> None:
    assert tuned(0.1, count=4) == {}
    assert Tuner(robot(), policy()).measured() == "no chunk came"


@pytest.mark.parametrize(
    ("now", "value"),
    [
        (0.1, 0.30),  # 1.2 * 0.2 s + two ticks of 20 ms = 0.28 s, of a chunk of one second
        (0.5, 0.5),
        (0.9, 0.70),  # more would keep the policy busy for more than 70 % of its time
    ],
)
def test_the_threshold_leaves_time_for_the_answer_and_the_policy(now: float, value: float) -> None:
    advice = tuned(0.2, params=ExecutorParams(actions_per_chunk=10, chunk_size_threshold=now))

    assert advice["chunk_size_threshold"].value == pytest.approx(value)
    assert advice["actions_per_chunk"].value == 10


def test_too_short_a_chunk_is_made_longer() -> None:
    advice = tuned(0.2, params=ExecutorParams(actions_per_chunk=3))

    assert advice["actions_per_chunk"].value == 6
    assert advice["chunk_size_threshold"].value == pytest.approx(0.5)


def test_a_server_that_is_slower_than_a_chunk_lasts_needs_waiting_for() -> None:
    advice = tuned(0.9)

    assert advice["scheduling"].value == "sync"
    assert "chunk_size_threshold" not in advice


def test_a_request_is_given_up_long_after_the_worst_answer() -> None:
    hasty, patient = ExecutorParams(request_timeout_s=0.5), ExecutorParams(request_timeout_s=60.0)

    assert tuned(0.7)["request_timeout_s"].value == 5.0  # as it is
    assert tuned(0.7, params=hasty)["request_timeout_s"].value == 3.0
    assert tuned(0.2, params=patient)["request_timeout_s"].value == 10.0


def test_chunks_that_disagree_are_blended_longer() -> None:
    slow = ExecutorParams(blend_steps=30.0)
    near = tuned(0.2, planned=np.array([0.001, 0.0]), params=slow)
    far = tuned(0.2, planned=np.array([0.6, 0.0]))
    gripper_alone = tuned(0.2, planned=np.array([0.0, 0.9]), params=slow)

    assert near["blend_steps"].value == gripper_alone["blend_steps"].value == 8.0
    # 1.875 * 0.6 rad within half of 2 rad/s takes 1.125 s
    assert far["blend_steps"].value == 12.0
    assert "disagree by 0.600" in far["blend_steps"].why
    assert "blend_steps" not in tuned(0.2)


def test_a_chunk_that_trembles_is_smoothed_and_one_that_does_not_is_left_alone() -> None:
    trembling = np.zeros((10, 2))
    trembling[::2, 0] = 0.08  # at 10 Hz: 16 rad/s^2, where 10 are allowed
    switched_alone = np.zeros((10, 2))
    switched_alone[::2, 1] = 1.0

    off = ExecutorParams(smoothing_steps=0.0)
    assert tuned(0.2, params=off)["smoothing_steps"].value == 0.0
    assert tuned(0.2, actions=switched_alone, params=off)["smoothing_steps"].value == 0.0
    assert tuned(0.2, actions=trembling, params=off)["smoothing_steps"].value == 4.0
    assert tuned(0.2, actions=trembling)["smoothing_steps"].value == 8.0  # as it is
    assert tuned(0.2, actions=1e9 * trembling)["smoothing_steps"].value == 16.0
    assert tuned(0.2, params=ExecutorParams(smoothing_steps=30.0))["smoothing_steps"].value == 8.0


def test_a_chunk_of_two_actions_or_a_hand_alone_cannot_tremble() -> None:
    off = ExecutorParams(smoothing_steps=0.0)
    assert tuned(0.01, actions=REST[:2], params=off)["smoothing_steps"].value == 0.0
    text = POLICY.replace("  arm: {interfaces: [a/position], unit: rad}\n  hand", "  hand")
    tuner = Tuner(robot(), policy(text))
    for index in range(5):
        chunk = ActionChunk(
            index * 1000 * MS, STEP, ("g/position",), np.eye(10)[:, :1], timing=ChunkTiming(1)
        )
        tuner.see(chunk, index * 1000 * MS + 10 * MS, planned=None)
    [smoothing] = [a for a in tuner.advise(off) if a.name == "smoothing_steps"]
    assert smoothing.value == 0.0


def test_it_is_printed_as_what_to_type() -> None:
    advice = [
        Advice("blend_steps", 8.0, 4.0, "so it is"),
        Advice("scheduling", "sync", "sync", "ok"),
    ]

    assert in_words("20 chunks", advice, "/executor").splitlines() == [
        "20 chunks",
        "ros2 param set /executor blend_steps 4.0  # now 8.0: so it is",
        "scheduling is right at sync: ok",
    ]
    assert "let the robot run" in in_words("no chunk came", [], "/executor")


def test_what_was_measured_is_told() -> None:
    tuner = Tuner(robot(), policy())
    tuner.see(ActionChunk(0, STEP, NAMES, REST), 5, planned=None)  # its request is not known
    assert tuner.measured() == "no chunk came"
    chunk = ActionChunk(0, STEP, NAMES, REST, timing=ChunkTiming(requested_ns=100 * MS))
    tuner.see(chunk, 250 * MS, planned=None)
    assert tuner.measured() == "2 chunks; latency p50 150 ms, p95 150 ms, p99 150 ms, worst 150 ms"
