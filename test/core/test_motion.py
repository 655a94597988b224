# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from test.core.bench import HOME, T0, TICK, boxed_robot
from test.core.helpers import robot
from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.filter import Filter, FilterSettings, MakeFilter, no_filter
from vla_ros.core.motion import Motion
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.tick import Tick

DT = TICK * 1e-9
STEP_S = 0.1
# The policy commands the arm's first joint and the hand; the robot's order is a, w, g.
COLUMNS = np.array([0, 2])
STILL = np.zeros(2)


class Halfway(Filter):
    """Goes half of the way with each tick; knows what it was told."""

    stopping_delay_s = 0.05

    def __init__(self) -> None:
        self.position = np.zeros(3)
        self.resets = 0

    def reset(self, position: NDArray[np.float64], velocity: NDArray[np.float64]) -> None:
        self.position = position.copy()
        self.resets += 1

    def step(
        self,
        target: NDArray[np.float64],
        target_velocity: NDArray[np.float64],
        *,
        dt_s: float,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        before, self.position = self.position, 0.5 * (self.position + target)
        return self.position, (self.position - before) / dt_s


def made(stage: Filter) -> MakeFilter:
    def make(name: str, robot: RobotSpec, settings: FilterSettings) -> Filter:
        return stage

    return make


def motion(
    make: MakeFilter = no_filter,
    *,
    body: RobotSpec | None = None,
    anchor: bool = True,
    **params: object,
) -> Motion:
    it = Motion(body or robot(), COLUMNS, STEP_S, make)
    it.configure(ExecutorParams(**params))  # type: ignore[arg-type]
    if anchor:
        it.anchor(HOME)
    return it


def move(
    it: Motion,
    index: int,
    arm: float,
    before: float,
    *,
    hand: float = 0.3,
    measured: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    due, was = np.array([arm, hand]), np.array([before, hand])
    return it.move(due, was, measured, Tick(T0 + index * TICK, TICK, "usual"))


def test_without_a_pose_there_is_no_command() -> None:
    it = motion(anchor=False)
    assert it.position is None
    assert it.hand_speed_share(STILL) == 1.0
    for command in (
        lambda: it.hold(DT),
        lambda: move(it, 1, 0.0, 0.0),
        lambda: it.recover(STILL, STILL, last_ns=T0, at_least_s=0.0),
    ):
        with pytest.raises(RuntimeError, match="anchor"):
            command()


def test_it_rests_where_it_was_anchored() -> None:
    it = motion()
    assert it.at_rest
    assert it.hold(DT) == pytest.approx(HOME)
    it.forget()
    assert it.position is None


def test_it_follows_what_is_due_and_leaves_other_joints_alone() -> None:
    it = motion()
    for index in range(1, 60):
        command = move(it, index, 0.1 + 0.005 * index, 0.095 + 0.005 * index, hand=0.8)
    assert command == pytest.approx([0.395, 0.2, 0.8])
    assert not it.at_rest


def test_an_offset_is_led_in_with_value_and_velocity_continuous() -> None:
    """From rest into a plan elsewhere that moves at once; the hand jumps, it is switched."""
    it = motion()
    plan = 0.3 + 0.3 * DT * np.arange(100)
    velocity = np.array([0.3, 0.0])
    it.recover(np.array([plan[0], 0.9]), velocity, last_ns=T0, at_least_s=0.0)
    assert it.offsets(np.array([T0]))[0] == pytest.approx([-0.2, 0.0])
    assert it.offset_rate(T0) == pytest.approx([-0.3, 0.0])
    path = np.array([move(it, index, plan[index], plan[index - 1]) for index in range(1, 100)])
    arm = np.concatenate([[HOME[0]] * 2, path[:, 0]])
    assert np.max(np.abs(np.diff(arm, n=2))) / DT**2 < 0.5 * 20.0
    assert arm[-1] == pytest.approx(plan[-1])
    assert it.limiter.clipped.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("offset", "at_least_s", "expected_s"),
    [
        (0.1, 0.0, 0.8),  # blend_steps
        (0.1, 2.0, 2.0),  # a soft start
        (0.8, 0.0, 1.875 * 0.8 / 1.0),  # within half of the joint's greatest velocity
    ],
)
def test_it_takes_as_long_as_it_must(offset: float, at_least_s: float, expected_s: float) -> None:
    it = motion(blend_steps=8.0)
    before = np.array([HOME[0] + offset, 0.3])
    it.recover(before, STILL, last_ns=T0, at_least_s=at_least_s)
    end = T0 + round(expected_s * 1e9)
    assert it.offsets(np.array([end - TICK]))[0][0] < 0.0
    assert it.offsets(np.array([end]))[0][0] == 0.0


def test_interfaces_that_do_not_decay_jump_as_far_as_limits_let_them() -> None:
    it = motion()
    none = np.array([False, False])
    it.join(np.array([0.4, 0.3]), STILL, last_ns=T0, decays=none)
    assert it.offsets(np.array([T0]))[0].tolist() == [0.0, 0.0]
    it.join(np.array([0.4, 0.3]), np.array([0.5, 0.5]), last_ns=T0, decays=~none)
    assert it.offsets(np.array([T0]))[0] == pytest.approx([-0.3, 0.0])
    assert it.offset_rate(T0) == pytest.approx([0.5, 0.0])


def moving(it: Motion, *, speed: float = 1.0) -> Motion:
    """Bring the arm to a speed."""
    for index in range(1, 15):
        arm = -0.5 + speed * DT * index
        move(it, index, arm, arm - speed * DT)
    return it


@pytest.mark.parametrize("stage", [None, Halfway()])
def test_a_hold_decelerates_within_limits_and_stays(stage: Halfway | None) -> None:
    params = {} if stage is None else {"filters": ("half",)}
    it = moving(motion(no_filter if stage is None else made(stage), **params))
    positions = [it.position]
    positions += [it.hold(DT) for _ in range(60)]
    arm = np.array([position[0] for position in positions if position is not None])
    assert np.all(np.abs(np.diff(arm, n=2)) <= 20.0 * DT**2 + 1e-9)
    assert np.ptp(arm[-10:]) < 1e-6
    assert it.at_rest


def test_a_filter_stands_before_the_limits_and_begins_from_the_last_command() -> None:
    stage = Halfway()
    it = motion(made(stage), filters=("half",))
    assert stage.position == pytest.approx(HOME)
    assert move(it, 1, 0.102, 0.102)[0] == pytest.approx(0.101)
    resets = stage.resets
    it.configure(ExecutorParams(filters=("half",)))
    assert stage.resets == resets + 1
    assert stage.position[0] == pytest.approx(0.101)


def test_behind_a_filter_seams_are_those_of_what_it_was_told_to_follow() -> None:
    it = motion(made(Halfway()), filters=("half",))
    move(it, 1, 0.12, 0.12)
    it.join(np.array([0.12, 0.3]), STILL, last_ns=T0, decays=np.array([True, True]))
    assert it.offsets(np.array([T0]))[0][0] == pytest.approx(0.0)


def test_a_filter_that_cannot_be_had_changes_nothing() -> None:
    it = motion()
    with refused(ConfigError, "filters: 'wave'"):
        it.configure(ExecutorParams(filters=("wave",), position_margin=0.5))
    for index in range(1, 100):
        command = move(it, index, 0.9, 0.9)
    assert command[0] == pytest.approx(0.9)


def test_commands_stay_near_what_is_measured() -> None:
    it = motion(max_relative_target=0.05)
    measured = HOME.copy()
    for index in range(1, 100):
        command = move(it, index, 0.9, 0.9, measured=measured)
    assert command == pytest.approx([0.15, 0.2, 0.3])
    for index in range(100, 200):
        command = move(it, index, 0.9, 0.9)
    assert command[0] == pytest.approx(0.9)


def test_a_margin_keeps_holds_and_moves_inside() -> None:
    it = motion(position_margin=0.3)
    for index in range(1, 100):
        command = move(it, index, 0.9, 0.9)
    assert command[0] == pytest.approx(0.7)
    it.anchor(np.array([0.9, 0.2, 0.5]))
    for _ in range(100):
        command = it.hold(DT)
    assert command == pytest.approx([0.7, 0.2, 0.5])


def test_it_gives_way_to_what_is_measured() -> None:
    it = moving(motion())
    it.give_way(HOME)
    for _ in range(100):
        command = it.hold(DT)
    assert command == pytest.approx(HOME)


def test_the_hand_stays_in_its_box(tmp_path: Path) -> None:
    it = motion(body=boxed_robot(tmp_path))
    path = [move(it, index, 0.9, 0.9)[0] for index in range(1, 100)]
    assert max(path) <= 0.3
    assert path[-1] == pytest.approx(0.3, abs=0.01)


def test_a_hand_outside_its_box_may_come_in_but_go_no_further_out(tmp_path: Path) -> None:
    it = motion(body=boxed_robot(tmp_path))
    it.anchor(np.array([0.6, 0.2, 0.3]))
    for index in range(1, 50):
        command = move(it, index, 0.9, 0.9)
    assert command[0] == pytest.approx(0.6)
    for index in range(50, 150):
        command = move(it, index, 0.1, 0.1)
    assert command[0] == pytest.approx(0.1)


def test_the_plan_is_as_fast_as_the_hand_may_be(tmp_path: Path) -> None:
    assert not motion().watches_hand_speed
    assert not motion(body=boxed_robot(tmp_path)).watches_hand_speed
    assert motion(body=boxed_robot(tmp_path)).hand_speed_share(np.array([9.0, 0.0])) == 1.0
    it = motion(body=boxed_robot(tmp_path, max_speed_m_s=0.25))
    assert it.watches_hand_speed
    assert it.hand_speed_share(np.array([1.0, 0.0])) == pytest.approx(0.25)
    assert it.hand_speed_share(np.array([0.1, 0.0])) == 1.0
    assert it.hand_speed_share(STILL) == 1.0
