# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.helpers import MS, POLICY, SECOND, policy, robot
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, Hold, Measured, Move
from vla_ros.core.request_scheduler import Failure

NAMES = ("a/position", "g/position")
TICK = 20 * MS
STEP = 100 * MS
T0 = 10 * SECOND
# command_names of the test's robot: a, w, g
HOME = np.array([0.1, 0.2, 0.3])


class Bench:
    """An executor, a clock, and a robot that is where it was told to be."""

    def __init__(self, **params: object) -> None:
        self.executor = ActionExecutor(robot(), policy(), ExecutorParams(**params))  # type: ignore[arg-type]
        self.now = T0
        self.pose = HOME
        self.age_s = 0.0
        self.executor.start()

    def tick(self, count: int = 1) -> Command:
        for _ in range(count):
            self.now += TICK
            command = self.executor.update(self.now, Measured(self.pose, self.age_s))
            if isinstance(command, Move):
                self.pose = command.positions
        return command

    def offer(self, *arm: float, hand: float = 0.3, stamp: int | None = None, **more: int) -> None:
        actions = np.array([[value, hand] for value in arm])
        stamp = self.now if stamp is None else stamp
        epoch = more.pop("epoch", self.executor.status(self.now).epoch)
        chunk = ActionChunk(stamp, STEP, NAMES, actions, epoch=epoch, **more)
        self.executor.offer(chunk, self.now)

    def reason(self) -> str:
        command = self.tick()
        assert isinstance(command, Hold)
        return command.reason


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


def test_a_seam_is_joined_in_value_and_velocity() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1 + 0.05 * i for i in range(10)])
    bench.tick(20)
    bench.offer(*[0.9 - 0.05 * i for i in range(10)])
    arm = [bench.tick().positions[0] for _ in range(40)]  # type: ignore[union-attr,index]
    acceleration = np.diff(arm, n=2) / 0.02**2
    assert np.max(np.abs(acceleration)) <= 20.0 + 1e-6


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
    arm = [bench.tick().positions[0] for _ in range(50)]  # type: ignore[union-attr,index]
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
    path = [bench.tick().positions[0] for _ in range(50)]  # type: ignore[union-attr,index]
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
    assert (status.chunks_dropped, status.chunks_received, status.requests_failed) == (1, 0, 1)


def test_only_actions_per_chunk_actions_are_used() -> None:
    bench = Bench(actions_per_chunk=4)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    status = bench.executor.status(bench.now)
    assert status.remaining_steps == pytest.approx(4.0)
    assert status.queue_fraction == pytest.approx(1.0)
    assert status.remaining_s == pytest.approx(0.4)


def test_a_larger_threshold_asks_earlier() -> None:
    asked = {}
    for threshold in (0.2, 0.8):
        bench = Bench(chunk_size_threshold=threshold)
        bench.tick(2)
        bench.offer(*[0.1] * 10)
        start = bench.now
        while bench.executor.poll_request(bench.now) is None:
            bench.tick()
        asked[threshold] = (bench.now - start) / STEP
    assert asked[0.8] == pytest.approx(2.0, abs=0.2)
    assert asked[0.2] == pytest.approx(8.0, abs=0.2)


def test_parameters_change_live() -> None:
    bench = Bench(chunk_size_threshold=0.0)
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    assert bench.executor.poll_request(bench.now) is None
    bench.executor.configure(ExecutorParams(chunk_size_threshold=1.0))
    assert bench.executor.params.chunk_size_threshold == 1.0
    assert bench.executor.poll_request(bench.now) is not None


def test_a_clock_that_jumps_back_begins_a_new_epoch() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    epoch = bench.executor.status(bench.now).epoch
    bench.now -= SECOND
    assert bench.reason() == "clock_jumped"
    assert bench.executor.status(bench.now).epoch == epoch + 1
    assert bench.reason() == "starting"


def test_a_clock_that_stands_still_holds() -> None:
    bench = Bench()
    bench.tick(2)
    bench.offer(*[0.1] * 10)
    command = bench.executor.update(bench.now, Measured(HOME, 0.0))
    assert isinstance(command, Hold)


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


script = st.lists(
    st.tuples(
        st.sampled_from(["tick", "chunk", "late", "stop", "start", "reset", "stale", "fail"]),
        st.floats(-3.0, 3.0),
    ),
    max_size=60,
)


@given(script)
def test_whatever_happens_commands_stay_within_the_limits(events: list[tuple[str, float]]) -> None:
    bench = Bench()
    commands = [(bench.now, HOME)]
    anchored = False
    for event, value in events:
        if event in ("chunk", "late"):
            stamp = bench.now - (2 * SECOND if event == "late" else 0)
            try:
                bench.offer(*np.linspace(value, -value, 10), hand=value, stamp=stamp)
            except ActionError:
                assert bench.executor.status(bench.now).chunks_dropped
        elif event == "stop":
            bench.executor.stop()
        elif event == "start":
            anchored = anchored and bench.executor.status(bench.now).mode != "stopped"
            bench.executor.start()
        elif event == "reset":
            bench.executor.reset()
        elif event == "fail":
            bench.executor.poll_request(bench.now)
            epoch = bench.executor.status(bench.now).epoch
            last = bench.executor.status(bench.now).last_request_id
            bench.executor.fail(last, epoch, Failure("policy_error", "no"), bench.now)
        bench.age_s = 1.0 if event == "stale" else 0.0
        command = bench.tick()
        if command.positions is None:
            anchored = False
            continue
        if not anchored:
            commands = [(bench.now, command.positions)]
            anchored = True
            continue
        commands.append((bench.now, command.positions))
        moved = np.abs(commands[-1][1] - commands[-2][1])
        assert np.all(moved <= np.array([2.0, 2.0, 50.0]) * 0.02 + 1e-9)
        assert np.all(commands[-1][1] <= 1.0 + 1e-9)
        assert np.all(commands[-1][1] >= np.array([-1.0, -1.0, 0.0]) - 1e-9)
        assert np.all(np.isfinite(commands[-1][1]))
