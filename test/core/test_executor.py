# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from test.core.bench import HOME, NAMES, STEP, T0, TICK, Bench, boxed_robot
from test.core.helpers import MS, POLICY, SECOND, policy, robot
from test.core.refusals import refused
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Hold, Measured, Move
from vla_ros.core.request_scheduler import Failure


def test_it_is_stopped_until_it_is_started() -> None:
    executor = ActionExecutor(robot(), policy(), ExecutorParams())
    assert executor.update(T0, None) == Hold("stopped", None)
    assert executor.poll_request(T0) is None
    assert executor.status(T0).mode == "idle"


def test_nothing_is_published_before_the_pose_is_known() -> None:
    executor = ActionExecutor(robot(), policy(), ExecutorParams())
    executor.start()
    assert executor.update(T0, None) == Hold("stale_state", None)


def test_it_holds_the_measured_pose_until_the_first_chunk() -> None:
    bench = Bench()
    command = bench.tick(2)
    assert isinstance(command, Hold)
    assert command.reason == "starting"
    assert command.positions == pytest.approx(HOME)
    assert bench.executor.status(bench.now).starved_ticks == 0


def test_the_first_command_starts_from_the_measured_pose_and_reaches_the_chunk() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.5] * 10)
    path = [bench.tick().positions for _ in range(48)]  # type: ignore[union-attr]
    arm = np.array([step[0] for step in path])  # type: ignore[index]
    assert abs(arm[0] - HOME[0]) < 0.01
    assert arm[-1] == pytest.approx(0.5)
    assert np.all(np.abs(np.diff(arm)) <= 2.0 * 0.02 + 1e-9)
    assert np.all([step[1] == HOME[1] for step in path])  # type: ignore[index]


def test_actions_are_executed_at_their_moments() -> None:
    bench = Bench()
    bench.tick(2)
    ramp = [0.1 + 0.02 * i for i in range(10)]
    bench.offer(*ramp)
    bench.tick(45)
    start = bench.now - 45 * TICK
    expected = np.interp(bench.now, [start + i * STEP for i in range(10)], ramp)
    assert bench.pose[0] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=30)
@given(st.integers(-8 * MS, 8 * MS), st.integers(1, 99), st.integers(1, 19))
def test_a_chunk_that_repeats_the_plan_changes_nothing(
    jitter: int, anchor_ms: int, offered_ms: int
) -> None:
    """Seams of agreeing chunks leave no trace, whatever the plan's corners, ticks and latency."""
    plan = 0.1 + 0.05 * np.sin(0.9 * np.arange(60))
    one, two = Bench(), Bench()
    for bench in (one, two):
        bench.tick(2)
        bench.offer(*plan[:30])
        bench.tick(42)
        bench.now += jitter  # a tick of another length than the one before it
        bench.tick()
    origin = T0 + 2 * TICK
    first = (two.now - anchor_ms * MS - origin) // STEP
    two.now += offered_ms * MS
    two.offer(*plan[first : first + 30], stamp=origin + first * STEP)
    two.now -= offered_ms * MS
    for _ in range(3):
        before, after = one.tick().positions, two.tick().positions
        assert before is not None
        assert before == pytest.approx(after, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(-8 * MS, 8 * MS), st.integers(STEP, 3 * STEP), st.integers(0, 19 * MS))
def test_a_smoothed_chunk_that_agrees_leaves_hardly_a_trace(
    jitter: int, age_ns: int, offered_ns: int
) -> None:
    """A chunk's ends are smoothed otherwise than its middle, most of all its first action.

    From the second one on it is less than 0.2 % of the height of a wave of 50 steps.
    """

    def wave(stamp_ns: int) -> list[float]:
        return list(0.2 * np.sin(2.0 * np.pi * ((stamp_ns - T0) / STEP + np.arange(30)) / 50.0))

    one, two = (Bench(interpolation="cubic", smoothing_steps=8.0) for _ in range(2))
    for bench in (one, two):
        bench.tick(2)
        bench.offer(*wave(bench.now))
        bench.tick(60)
        bench.now += jitter
        bench.tick()
    two.now += offered_ns
    two.offer(*wave(two.now - age_ns), stamp=two.now - age_ns)
    two.now -= offered_ns
    assert two.path(40) == pytest.approx(one.path(40), abs=0.0004)


def test_a_seam_is_joined_in_value_and_velocity() -> None:
    """Chunks that go there and back again, each elsewhere: no corner, and no limit is needed."""
    bench = Bench(interpolation="cubic", smoothing_steps=8.0)
    bench.tick(2)
    arm = [HOME[0]] * 2
    for start, slope in ((0.1, 0.02), (0.15, -0.02), (0.05, 0.0), (0.2, 0.02), (0.1, 0.01)):
        bench.offer(*[start + slope * index for index in range(10)])
        arm.extend(bench.path(20))
    acceleration = np.diff(arm, n=2) / 0.02**2
    assert np.max(np.abs(acceleration)) < 5.0
    assert np.max(np.abs(np.diff(acceleration))) < 2.5
    assert bench.status.clipped.tolist() == [0, 0, 0]


def test_a_large_seam_takes_longer_and_stays_within_the_limits() -> None:
    bench = Bench(blend_steps=2.0)
    bench.tick(2)
    bench.offer(*[-0.8] * 20)
    bench.tick(95)
    bench.offer(*[0.8] * 50)
    arm = bench.path(160)
    assert arm[9] < -0.5
    assert np.max(np.abs(np.diff(arm))) / 0.02 < 0.5 * 2.0 + 1e-6
    assert arm[-1] == pytest.approx(0.8)
    assert bench.status.clipped.tolist() == [0, 0, 0]


def test_interfaces_may_be_joined_in_their_own_way() -> None:
    bench = Bench(aggregate_fn="conservative", aggregate_overrides=("a/position=latest_only",))
    bench.tick(2)
    bench.offer(*[0.10] * 10, hand=0.3)
    bench.tick(5)
    bench.offer(*[0.12] * 10, hand=0.9)
    bench.tick(10)
    assert bench.pose == pytest.approx([0.12, 0.2, 0.9])  # the hand is switched


def test_other_aggregates_mix_and_do_not_decay() -> None:
    bench = Bench(aggregate_fn="average")
    bench.tick(2)
    bench.offer(*[0.10] * 10)
    bench.tick(10)
    bench.offer(*[0.12] * 10)
    bench.tick(10)
    assert bench.pose[0] == pytest.approx(0.11)


def test_the_gripper_is_switched_at_once() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10, hand=0.9)
    command = bench.tick(3)
    assert isinstance(command, Move)
    assert command.positions[2] == pytest.approx(0.9)


def test_the_queue_runs_dry_and_the_arm_decelerates_and_holds() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.08 * i for i in range(10)])
    bench.tick(49)
    arm = bench.path(50)
    assert bench.reason() == "starved"
    assert np.ptp(arm[-10:]) < 1e-9
    status = bench.executor.status(bench.now)
    assert status.mode == "hold"
    assert status.starved_ticks > 40
    assert status.hold_ticks["starved"] == status.starved_ticks


def test_a_hold_is_named_after_the_last_failure() -> None:
    bench = Bench()
    bench.tick(2)
    request = bench.executor.poll_request(bench.now)
    assert request is not None
    assert request.must_go
    failure = Failure("stale_camera", "camera left is stale")
    bench.executor.fail(request.request_id, request.epoch + 1, failure, bench.now)
    assert bench.reason() == "starting"
    bench.executor.fail(request.request_id, request.epoch, failure, bench.now)
    assert bench.reason() == "stale_camera"
    assert bench.executor.status(bench.now).detail == "camera left is stale"
    bench.offer(*[0.1] * 10, request_id=2)
    assert isinstance(bench.tick(), Move)
    assert bench.executor.status(bench.now).detail == ""


def test_silence_is_named() -> None:
    bench = Bench(request_timeout_s=0.1)
    bench.tick(2)
    bench.executor.poll_request(bench.now)
    bench.tick(10)
    bench.executor.poll_request(bench.now)
    assert bench.reason() == "server_silent"


def test_a_stale_state_holds_and_a_fresh_one_recovers() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.05 * i for i in range(10)])
    bench.tick(5)
    bench.age_s = 0.11
    assert bench.reason() == "stale_state"
    bench.age_s = 0.01
    assert isinstance(bench.tick(), Move)


def test_a_chunk_that_came_in_before_a_hold_is_joined_at_rest_after_it() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.1 * i for i in range(30)])
    bench.tick(30)
    bench.offer(*[0.9 - 0.001 * i for i in range(30)])
    bench.age_s = 1.0
    held = bench.tick(25).positions
    assert held is not None
    bench.age_s = 0.0
    path = [held[0]]
    for _ in range(5):
        command = bench.tick()
        assert isinstance(command, Move)
        path.append(command.positions[0])
    # It was at rest: it sets out gently, not with the old plan's speed of 1 rad/s.
    assert np.all(np.abs(np.diff(path)) < 0.2 * 0.02)


def test_a_stop_latches_and_no_chunk_in_flight_overtakes_it() -> None:
    bench = Bench()
    bench.tick(2)
    epoch = bench.executor.status(bench.now).epoch
    bench.offer(*[0.1 + 0.05 * i for i in range(10)])
    bench.tick(10)
    bench.executor.stop()
    with pytest.raises(ActionError, match="is of epoch"):
        bench.offer(*[0.9] * 10, epoch=epoch)
    path = bench.path(50)
    assert np.all(np.abs(np.diff(path, n=2)) <= 20.0 * 0.02**2 + 1e-9)
    assert np.ptp(path[-20:]) < 1e-9
    assert bench.reason() == "stopped"
    assert bench.executor.status(bench.now).mode == "stopped"
    assert bench.executor.poll_request(bench.now) is None
    bench.pose = HOME
    bench.executor.start()
    bench.executor.start()  # a second start changes nothing
    command = bench.tick()
    assert isinstance(command, Hold)
    assert command.positions == pytest.approx(HOME)  # from the measured pose again


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epoch": 99}, "is of epoch 99, the present one is 1"),
        (
            {"names": ("a/position",), "actions": np.zeros((3, 1))},
            "two_joint_policy commands a/pos",
        ),
        ({"stamp_ns": T0 - 2 * SECOND}, "was over"),
    ],
)
def test_a_bad_chunk_is_dropped_whole(change: dict[str, object], words: str) -> None:
    bench = Bench()
    bench.tick(2)
    chunk = ActionChunk(bench.now, STEP, NAMES, np.zeros((10, 2)), request_id=1, epoch=1)
    bench.executor.poll_request(bench.now)
    with pytest.raises(ActionError, match=words):
        bench.executor.offer(dataclasses.replace(chunk, **change), bench.now)  # type: ignore[arg-type]
    assert bench.reason() == "bad_chunk"
    status = bench.executor.status(bench.now)
    assert sum(status.chunks_dropped.values()) == 1
    assert (status.chunks_received, status.requests_failed) == (0, 1)


def test_only_actions_per_chunk_actions_are_used() -> None:
    bench = Bench(actions_per_chunk=4)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    status = bench.executor.status(bench.now)
    assert status.remaining_steps == pytest.approx(4.0)
    assert status.queue_fraction == pytest.approx(1.0)
    assert status.remaining_s == pytest.approx(0.4)


def test_parameters_change_live() -> None:
    bench = Bench(chunk_size_threshold=0.0)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    assert bench.executor.poll_request(bench.now) is None
    bench.executor.configure(ExecutorParams(chunk_size_threshold=1.0))
    assert bench.executor.params.chunk_size_threshold == 1.0
    assert bench.executor.poll_request(bench.now) is not None


def test_parameters_that_cannot_work_change_nothing() -> None:
    bench = Bench()
    with refused(ConfigError, "aggregate_overrides: w/position is not commanded by the policy"):
        bench.configure(aggregate_overrides=("w/position=average",))
    with refused(ConfigError, "filters: 'low_pass' cannot be had"):
        bench.configure(filters=("low_pass",))
    assert bench.executor.params.aggregate_overrides == ()
    with refused(ConfigError, "filters: 'low_pass'"):
        Bench(filters=("low_pass",))


def test_half_speed_takes_twice_as_long_along_the_same_path() -> None:
    wave = 0.1 + 0.2 * np.sin(0.7 * np.arange(20))
    paths = {}
    for scale in (1.0, 0.5):
        bench = Bench(interpolation="cubic", speed_scale=scale)
        bench.executor.update(bench.now, Measured(HOME, 0.0))
        bench.configure(speed_scale=scale)
        bench.path(30)  # until the speed is reached
        bench.offer(*wave)
        bench.path(30)
        paths[scale] = bench
    assert paths[0.5].status.executed_steps == pytest.approx(3.0)
    assert paths[1.0].status.executed_steps == pytest.approx(6.0)
    # Once the start is led in, the same positions come at half the pace.
    slow, fast = paths[0.5].path(160), paths[1.0].path(65)
    assert slow[2 * np.arange(20, 60) + 31] == pytest.approx(fast[20:60], abs=1e-6)


def test_speed_changes_never_break_the_acceleration_limit() -> None:
    bench = Bench(interpolation="cubic")
    bench.tick(2)
    bench.offer(*np.linspace(0.1, 0.9, 10))
    arm = [HOME[0]] * 2
    for scale in (1.0, 0.2, 0.9, 0.0, 0.0):
        bench.configure(speed_scale=scale)
        arm.extend(bench.path(12))
    assert np.max(np.abs(np.diff(arm, n=2))) / 0.02**2 <= 20.0 + 1e-6
    assert bench.status.clipped.tolist() == [0, 0, 0]


def test_at_speed_zero_it_holds_and_going_on_is_a_new_epoch() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*np.linspace(0.1, 0.5, 10))
    bench.tick(10)
    bench.configure(speed_scale=0.0)
    bench.tick(20)
    assert bench.reason() == "paused"
    assert bench.poll() is None
    assert np.ptp(bench.path(20)) < 1e-9
    epoch = bench.status.epoch
    bench.configure(speed_scale=1.0)
    assert bench.status.epoch == epoch + 1
    assert bench.reason() == "starting"
    assert bench.poll() is not None


def test_after_a_start_it_sets_out_softly() -> None:
    paths = {}
    for soft_start_s in (0.0, 1.0):
        bench = Bench(soft_start_s=soft_start_s, blend_steps=1.0)
        bench.tick(2)
        bench.offer(*[0.1 + 0.06 * index for index in range(15)])
        paths[soft_start_s] = bench.path(65)
    fastest = {key: np.max(np.diff(path[:20])) / 0.02 for key, path in paths.items()}
    assert fastest[1.0] < 0.5 * fastest[0.0]
    # The plan's clock ran half as fast on average for one second.
    assert paths[1.0][-1] == pytest.approx(paths[0.0][-1] - 0.5 * 0.6, abs=0.01)
    assert np.max(np.abs(np.diff(paths[1.0], n=2))) / 0.02**2 < 5.0


def test_every_start_is_soft_and_leads_in_as_long() -> None:
    bench = Bench(soft_start_s=1.0, blend_steps=1.0)
    for _ in range(2):
        start, executed = float(bench.pose[0]), bench.status.executed_steps
        bench.tick(2)
        bench.offer(*[start + 0.04] * 15)
        arm = bench.path(60)
        assert arm[25] == pytest.approx(start + 0.02, abs=0.002)
        assert arm[-1] == pytest.approx(start + 0.04)
        # 1.2 s, of which the first one at half speed on average
        assert bench.status.executed_steps - executed == pytest.approx(7.0, abs=0.2)
        bench.executor.stop()
        bench.tick(10)
        bench.executor.start()


def test_commands_stay_near_the_measured_pose_if_they_are_told_to() -> None:
    bench = Bench(max_relative_target=0.05)
    bench.tick(2)
    bench.offer(*[0.8] * 50)
    for _ in range(100):
        bench.now += TICK
        command = bench.executor.update(bench.now, Measured(HOME, 0.0))
    assert command.positions == pytest.approx([0.15, 0.2, 0.3])


def test_an_arm_that_does_not_follow_is_stopped_until_it_is_started() -> None:
    bench = Bench(max_tracking_error=0.1, tracking_error_s=0.2)
    bench.tick(2)
    bench.offer(*[0.8] * 50)
    commands = []
    for _ in range(100):
        bench.now += TICK
        commands.append(bench.executor.update(bench.now, Measured(HOME, 0.0)))
    assert isinstance(commands[0], Move)
    last = commands[-1]
    assert isinstance(last, Hold)
    assert last.reason == "not_following"
    assert "a/position was more than 0.1 from its command for 0.2 s" in bench.status.detail
    assert last.positions == pytest.approx(HOME)  # it does not go on pushing
    arm = [command.positions[0] for command in commands if command.positions is not None]
    assert np.max(np.abs(np.diff(arm, n=2))) / 0.02**2 <= 20.0 + 1e-6
    assert bench.poll() is None
    bench.executor.start()
    assert bench.reason() == "starting"
    bench.offer(*[0.1] * 10)
    assert bench.moves()


def test_a_plan_is_executed_no_faster_than_the_hand_may_move(tmp_path: Path) -> None:
    bench = Bench(body=boxed_robot(tmp_path, max_speed_m_s=0.1), soft_start_s=0.2)
    bench.tick(2)
    bench.offer(*np.linspace(0.1, -0.8, 10))
    bench.tick(60)  # until it has set out, and its speed is the plan's
    assert np.abs(np.diff(bench.path(100))) / 0.02 == pytest.approx(0.1)
    assert bench.status.speed == pytest.approx(0.1)


def test_no_seam_makes_the_hand_faster_than_it_may_be(tmp_path: Path) -> None:
    bench = Bench(body=boxed_robot(tmp_path, max_speed_m_s=0.1), blend_steps=1.0)
    bench.tick(2)
    bench.offer(*[0.1] * 20)
    bench.tick(20)
    bench.offer(*[-0.6] * 20)
    path = bench.path(120)
    assert np.abs(np.diff(path)).max() / 0.02 == pytest.approx(0.1)


def test_what_is_planned_can_be_looked_at() -> None:
    bench = Bench()
    bench.tick(2)
    assert bench.executor.planned(bench.now) is None
    bench.offer(*[0.1, 0.2, 0.3], hand=0.9)
    bench.tick()
    assert bench.executor.planned(bench.now) == pytest.approx([0.12, 0.9])


def test_a_clock_that_jumps_back_begins_a_new_epoch() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    epoch = bench.executor.status(bench.now).epoch
    bench.now -= SECOND
    assert bench.reason() == "clock_jumped"
    assert bench.executor.status(bench.now).epoch == epoch + 1
    assert bench.reason() == "starting"


def test_after_a_clock_jumped_back_sync_counts_its_rest_anew() -> None:
    bench = Bench(scheduling="sync")
    bench.tick(20)
    bench.now -= 5 * SECOND
    bench.tick(3)
    bench.offer(*[0.1] * 10)
    assert bench.moves()


def test_a_clock_that_jumped_back_leaves_the_arm_decelerating() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.1 * index for index in range(10)])
    moving = bench.path(20)
    bench.now -= SECOND
    path = np.concatenate([moving, bench.path(10)])
    assert np.abs(np.diff(path, n=2)).max() <= 20.0 * 0.02**2 + 1e-9
    assert path[-1] > moving[-1]


def test_while_the_clock_stands_still_nothing_changes() -> None:
    bench, other = Bench(), Bench()
    for it in (bench, other):
        it.tick(2)
        assert isinstance(it.tick(length=0), Hold)
        it.offer(*[0.1 + 0.05 * index for index in range(10)])
    for _ in range(30):
        command = bench.tick()
        assert bench.tick(length=0) is command
        assert isinstance(command, Move)
        assert command.positions == pytest.approx(other.tick().positions)


def test_after_a_stall_it_goes_on_from_rest_where_it_was() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.1 * index for index in range(10)])
    before = bench.path(20)
    command = bench.tick(length=500 * MS)
    assert isinstance(command, Hold)
    assert command.reason == "stalled"
    assert command.positions == pytest.approx(bench.pose)
    assert bench.pose[0] == before[-1]
    after = bench.path(60)
    assert after[0] - before[-1] <= 20.0 * 0.02**2 + 1e-9
    assert bench.status.executed_steps == pytest.approx(10.0, abs=0.25)  # nothing of it was lost


def test_a_plan_that_a_stall_has_outlived_is_over() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    bench.tick()
    assert isinstance(bench.tick(length=2 * SECOND), Hold)
    assert bench.reason() == "starved"


def test_a_start_after_a_long_silence_begins_where_the_robot_is_now() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.1 * index for index in range(10)])
    bench.tick(20)
    bench.executor.stop()  # and no tick in which it could come to rest
    bench.pose = np.array([-0.4, 0.2, 0.3])
    bench.executor.start()
    assert bench.tick(length=SECOND).positions == pytest.approx([-0.4, 0.2, 0.3])


def test_a_start_while_it_decelerates_does_not_break_the_acceleration_limit() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.1 * index for index in range(10)])
    path = bench.path(20)
    bench.executor.stop()
    path = np.append(path, bench.path(1))
    bench.executor.start()
    path = np.append(path, bench.path(10))
    assert np.abs(np.diff(path, n=2)).max() <= 20.0 * 0.02**2 + 1e-9


def test_what_was_begun_softly_is_not_cut_short_by_the_next_chunk() -> None:
    bench = Bench(soft_start_s=1.0, aggregate_fn="latest_only")
    bench.tick(2)
    bench.offer(*[0.4] * 10)
    bench.tick(5)
    bench.offer(*[0.4] * 10)
    arm = bench.path(60)
    assert np.diff(arm).max() / 0.02 < 0.7  # of a joint that may move at 2 rad/s
    assert arm[-1] == pytest.approx(0.4)


def test_a_reset_discards_what_is_queued() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    epoch = bench.executor.reset()
    assert epoch == bench.executor.status(bench.now).epoch
    assert bench.reason() == "starting"


def test_a_policy_for_another_robot_is_refused() -> None:
    other = policy(POLICY.replace("a/position", "nose/position"))
    with pytest.raises(ConfigError, match="nose/position"):
        ActionExecutor(robot(), other, ExecutorParams())


@pytest.mark.parametrize(
    ("aggregate_fn", "seconds"),
    [("offset_decay", 0.4), ("crossfade", 0.4), ("latest_only", 0.0), ("average", 0.0)],
)
def test_how_long_a_chunk_is_joined_is_told(aggregate_fn: str, seconds: float) -> None:
    bench = Bench(aggregate_fn=aggregate_fn, blend_steps=4.0)
    bench.tick(2)
    bench.offer(*[0.10] * 10)
    bench.tick(5)
    bench.offer(*[0.11] * 10)
    bench.tick()
    assert bench.executor.blend_s == pytest.approx(seconds)


@pytest.mark.parametrize("absurd", [1e6, -1e300, 1.7e308])
def test_absurd_actions_are_limited_and_forgotten_with_the_next_chunk(absurd: float) -> None:
    bench = Bench(interpolation="cubic", smoothing_steps=8.0)
    bench.tick(2)
    bench.offer(*[absurd if i % 2 else -absurd for i in range(10)], hand=absurd)
    path = bench.path(20)
    assert np.all(np.isfinite(path))
    assert np.all(np.abs(path) <= 1.0 + 1e-9)
    assert np.max(np.abs(np.diff(path, n=2))) <= 20.0 * 0.02**2 + 1e-9
    bench.offer(*[0.2] * 40)
    bench.tick(190)
    assert bench.pose[0] == pytest.approx(0.2, abs=1e-3)


def test_a_chunk_of_ten_thousand_actions_does_not_keep_the_robot_waiting() -> None:
    bench = Bench(smoothing_steps=8.0, actions_per_chunk=20)
    bench.tick(2)
    begun_s = time.process_time()
    bench.offer(*[0.1] * 10_000)
    assert time.process_time() - begun_s < 5.0  # a matrix of all of them takes minutes
    assert bench.status.remaining_steps == 20.0
