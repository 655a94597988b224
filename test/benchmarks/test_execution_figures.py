# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.execution.__main__ import budget_s, map_cases, table_cases
from benchmarks.execution.metrics import fewest_observations, smoothness
from benchmarks.execution.sampled_policy import detoured
from benchmarks.execution.tables import Column, markdown, rows
from benchmarks.execution.toy_world import DURATION_S, Target, ToyCase, chunk_of, run


def test_a_jump_at_a_seam_is_found_and_one_elsewhere_is_not_taken_for_it() -> None:
    commands = np.zeros((40, 2))
    commands[20:, 0] = 0.3
    commands[30:, 1] = 0.5
    seams = np.zeros(40, dtype=bool)
    seams[20] = True

    figures = smoothness(commands, seams, 0.01)

    assert figures.largest_step == pytest.approx(0.5)
    assert figures.largest_seam_step == pytest.approx(0.3)
    assert figures.largest_seam_jump == pytest.approx(0.3)


def test_acceleration_and_jerk_are_those_of_a_known_curve() -> None:
    times = np.arange(0.0, 1.0, 0.01)
    commands = np.stack([times**3, np.zeros_like(times)], axis=1)

    figures = smoothness(commands, np.zeros(len(times), dtype=bool), 0.01)

    assert figures.rms_jerk == pytest.approx(6.0)
    assert figures.rms_acceleration == pytest.approx(math.sqrt(12.0), rel=0.03)
    assert figures.largest_seam_step == 0.0


def test_the_fewest_observations_are_those_that_follow_each_other_just_in_time() -> None:
    # A chunk of 1.5 s whose observation is 0.5 s old when it comes serves for a second.
    assert fewest_observations(10.0, 1.5, [0.5]) == pytest.approx(10.0)
    assert math.isnan(fewest_observations(10.0, 1.5, []))
    assert math.isnan(fewest_observations(10.0, 0.4, [0.5]))


def test_a_detour_begins_where_the_robot_is_and_leaves_slow_motion_alone() -> None:
    fast, slow = np.linspace(0.0, 1.0, 30), np.full(20, 1.0)
    arm = np.concatenate([fast, slow])
    actions = np.stack([arm, 0.5 * arm, np.full(50, 0.3)], axis=1)
    switched = np.array([False, False, True])

    one, other = (detoured(actions, switched, 0.2, np.random.default_rng(seed)) for seed in (1, 2))

    for chunk in (one, other):
        np.testing.assert_allclose(chunk[0], actions[0], atol=0.02)
        np.testing.assert_allclose(chunk[32:], actions[32:], atol=0.02)
        np.testing.assert_array_equal(chunk[:, 2], actions[:, 2])
    assert np.abs(one - other).max() > 0.05


def test_no_policy_knows_a_jump_before_it_has_happened() -> None:
    target, jump_s = Target(3), Target(3).jumps_s[0]
    before, after = (
        chunk_of(target, jump_s + offset_s, np.random.default_rng(0)) for offset_s in (-0.01, 0.01)
    )

    assert np.abs(after - before)[:, 2:].max() > 0.2
    assert np.abs(after - before)[:, 2:].min() > 0.2


def test_a_toy_run_is_the_same_each_time() -> None:
    one, other = (run(ToyCase("offset_decay", 0.2, 1)) for _ in range(2))

    assert one == other
    assert one["late"] == 0
    assert one["asked"] > DURATION_S


def test_rows_are_means_and_the_worst_is_the_worst() -> None:
    results = [
        {"name": "a", "duration_s": 1.0, "largest_step": 0.1, "success": True},
        {"name": "a", "duration_s": 3.0, "largest_step": 0.3, "success": False},
    ]

    table = rows(results, ("name",))

    assert table["a",]["duration_s"] == 2.0
    assert table["a",]["largest_step"] == 0.3
    assert table["a",]["success"] == 0.5
    text = markdown(table, ("executor",), (Column("success %", "success", ".0f", 100.0),))
    assert text.splitlines()[-1] == "| a | 50 |"


def test_the_bound_is_what_the_threshold_leaves_and_no_more_than_half_a_chunk() -> None:
    assert budget_s(30, 0.3) == pytest.approx(0.29)
    assert budget_s(30, 0.9) == pytest.approx(0.465)


def test_every_case_that_is_asked_for_is_run() -> None:
    cases = list(table_cases(1, 2))

    assert {case.latency_s for case in cases} == {0.0, 0.05, 0.1, 0.2, 0.4, 0.8}
    assert {case.kind for case in cases} == {"constant", "jitter", "spikes", "lost"}
    assert len({case.changes for case in map_cases(1)}) == 12
