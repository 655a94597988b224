# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from test.core.bench import NAMES, STEP, T0, TICK
from test.core.helpers import MS, SECOND, policy, robot
from test.core.refusals import refused
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ChunkRefused, ConfigError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.plan import Plan

PARAMS = ExecutorParams(aggregate_fn="latest_only", interpolation="linear", smoothing_steps=0.0)
STILL = np.zeros(2)
RAMP = tuple(0.1 * index for index in range(10))
# Where a and g are among a, w and g.
COLUMNS = np.array([0, 2])


def plan(**params: object) -> Plan:
    given = dataclasses.replace(PARAMS, **params)  # type: ignore[arg-type]
    it = Plan(policy(), robot(), COLUMNS, given)
    it.restart_clock(T0)
    return it


def chunk(stamp: int, *arm: float, **more: int) -> ActionChunk:
    actions = np.array([[value, 0.5] for value in arm or RAMP])
    return ActionChunk(stamp, STEP, NAMES, actions, **more)


def offer(it: Plan, made: ActionChunk, now: int) -> None:
    it.offer(made, now, rate=STILL)


def due(it: Plan, now: int) -> float:
    planned = it.planned(now)
    assert planned is not None
    return float(planned[0])


def test_nothing_is_planned_at_first_nor_without_a_clock() -> None:
    it = Plan(policy(), robot(), COLUMNS, PARAMS)
    assert it.speed == 0.0
    assert it.planned(T0) is None
    assert it.ahead(T0, 1.0) is None
    assert it.left(T0) is None
    assert it.velocity().tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="nothing is due"):
        it.run(T0, 1.0)
    it.hold(T0, 1.0)
    assert it.speed == 0.0
    assert it.ahead(T0 + TICK, 1.0) is None
    with pytest.raises(RuntimeError, match="nothing is due"):
        it.run(T0 + TICK, 1.0)


def test_it_runs_along_its_chunk() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    assert it.velocity() == pytest.approx([1.0, 0.0])
    ahead = it.ahead(T0 + 250 * MS, 1.0)
    assert ahead == pytest.approx([0.25, 0.5])
    assert it.run(T0 + 250 * MS, 1.0) == pytest.approx([0.0, 0.5])
    assert due(it, T0 + 250 * MS) == pytest.approx(0.25)
    assert it.remaining_steps(T0 + 250 * MS) == pytest.approx(7.5)
    assert it.executed_steps == pytest.approx(2.5)


def test_at_half_speed_it_takes_twice_as_long_along_the_same_path() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.run(T0 + 200 * MS, 0.5)
    assert it.speed == 0.5
    assert due(it, T0 + 200 * MS) == pytest.approx(0.1)
    assert it.executed_steps == pytest.approx(1.0)


def test_during_a_hold_it_stands_still() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.run(T0 + 200 * MS, 1.0)
    it.hold(T0 + 900 * MS, 1.0)
    assert due(it, T0 + 900 * MS) == pytest.approx(0.2)
    assert it.remaining_steps(T0 + 5 * SECOND) == pytest.approx(8.0)


def test_an_action_of_an_observation_before_a_hold_is_due_where_the_robot_is() -> None:
    it = plan()
    it.hold(T0 + 800 * MS, 1.0)
    offer(it, chunk(T0 + 300 * MS), T0 + 800 * MS)
    assert due(it, T0 + 800 * MS) == pytest.approx(0.0)


def test_what_would_not_have_lasted_a_tick_is_over() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.run(T0 + 990 * MS, 1.0)
    it.hold(T0 + 1000 * MS, 0.5)
    assert it.planned(T0 + 1000 * MS) is not None
    it.hold(T0 + 1020 * MS, 1.0)
    assert it.planned(T0 + 1020 * MS) is None
    assert it.newest is not None  # but chunks have come


@pytest.mark.parametrize(
    ("made", "kind", "words"),
    [
        (
            dataclasses.replace(chunk(T0), step_ns=102 * MS),
            "other_step",
            "the chunk's step is 0.102",
        ),
        (chunk(T0 + 101 * MS), "early", "is 0.101 s in the future"),
        (chunk(T0 - 5001 * MS), "late", "was 5.001 s old when it came"),
        (chunk(T0 - 31 * MS), "out_of_order", "of an older observation than what is queued"),
        (chunk(T0, request_id=7), "duplicate", "request 7 has its chunk already"),
        (
            dataclasses.replace(chunk(T0), names=NAMES[::-1]),
            "other_interfaces",
            "commands g/position, a/position; policy two_joint_policy commands a/position, g/posi",
        ),
    ],
)
def test_a_chunk_that_is_not_for_now_changes_nothing(
    made: ActionChunk, kind: str, words: str
) -> None:
    it = plan()
    newest = chunk(T0 - 30 * MS, 0.7, 0.7, request_id=7)
    offer(it, newest, T0)
    with pytest.raises(ChunkRefused, match=words) as refusal:
        offer(it, made, T0)
    assert refusal.value.kind == kind
    assert it.newest is newest
    assert due(it, T0) == pytest.approx(0.7)


def test_a_chunk_may_be_a_step_early_or_answer_no_request_in_particular() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    offer(it, chunk(T0), T0)
    offer(it, chunk(T0 + STEP, 0.9, 0.9), T0)
    assert due(it, T0) == pytest.approx(0.9)


def test_after_a_clear_older_chunks_are_welcome() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.clear()
    assert it.newest is None
    assert it.planned(T0) is None
    offer(it, chunk(T0 - STEP), T0)
    assert due(it, T0) == pytest.approx(0.1)


def test_a_seam_is_the_difference_of_both_plans_velocities() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.take_seam()
    it.run(T0 + 200 * MS, 1.0)
    it.offer(chunk(T0 + 200 * MS, *[0.9] * 10), T0 + 210 * MS, rate=np.array([0.25, 0.0]))
    # What comes in before the next tick is the same seam.
    offer(it, chunk(T0 + 200 * MS, *[0.5] * 10), T0 + 215 * MS)
    assert it.take_seam() == pytest.approx([1.25, 0.0])
    assert it.take_seam() is None


def test_a_chunk_that_repeats_the_plan_has_no_seam_at_any_speed() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.take_seam()
    it.run(T0 + 200 * MS, 0.5)
    offer(it, chunk(T0 + 200 * MS, *RAMP[1:]), T0 + 230 * MS)
    assert it.take_seam() == pytest.approx([0.0, 0.0])


def left(it: Plan, now: int) -> tuple[int, NDArray[np.float64]]:
    found = it.left(now)
    assert found is not None
    stamp_ns, track = found
    return stamp_ns, track.actions[:, 0]


def test_what_is_left_begins_when_it_would_have_begun_at_full_speed() -> None:
    it = plan()
    offer(it, chunk(T0), T0)
    it.run(T0 + 200 * MS, 0.5)
    stamp_ns, arm = left(it, T0 + 200 * MS)
    assert stamp_ns == T0 + 100 * MS
    assert arm == pytest.approx(RAMP)
    it.run(T0 + 1100 * MS, 1.0)
    assert it.left(T0 + 1100 * MS) is None


def test_it_knows_what_is_joined_how() -> None:
    it = plan(aggregate_fn="offset_decay", aggregate_overrides=("g/position=average",))
    assert it.decays.tolist() == [True, False]
    assert it.chunk_steps == 10
    it.configure(dataclasses.replace(PARAMS, actions_per_chunk=4))
    assert it.decays.tolist() == [False, False]
    assert it.chunk_steps == 4


def test_parameters_that_do_not_fit_the_policy_are_refused() -> None:
    it = plan()
    bad = dataclasses.replace(PARAMS, aggregate_overrides=("w/position=average",))
    for use in (it.configure, it.joining):
        with refused(ConfigError, "w/position is not commanded by the policy"):
            use(bad)
    assert it.decays.tolist() == [False, False]
