# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.arm import (
    ACCELERATION,
    CALIBRATION,
    OFFSET,
    SPEC,
    START,
    TICKS,
    arm_bus,
)
from test.support.servo_bus import ServoBus as Emulated
from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.core.goal_limiter import GoalLimiter
from vla_ros.drivers.servo_arm import ServoArm
from vla_ros.drivers.servo_bus import Feedback, ServoBus

TICK_S = 0.01
STEP = 0.05
STAY = np.full(6, np.nan)


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    with arm_bus(tmp_path) as made:
        yield made


def made(emulated: Emulated, *, dry_run: bool = False) -> ServoArm:
    bus = ServoBus(str(emulated.port), SPEC.ids, baud_rate=1_000_000, timeout_s=0.02)
    goals = GoalLimiter(np.full(6, -np.inf), np.full(6, np.inf), STEP)
    return ServoArm(bus, SPEC, CALIBRATION, goals, dry_run=dry_run)


@pytest.fixture
def arm(emulated: Emulated) -> Iterator[ServoArm]:
    opened = made(emulated)
    opened.open()
    yield opened
    opened.close()


def until(arm: ServoArm, emulated: Emulated, *, fault: bool) -> Feedback | None:
    """Ticks until there is a fault, or a measurement again."""
    end_s = time.monotonic() + 5.0
    while True:
        feedback = arm.measure(time.monotonic())
        if bool(arm.fault) == fault and (fault or feedback is not None):
            return feedback
        assert time.monotonic() < end_s, arm.fault
        time.sleep(TICK_S)


def follow(arm: ServoArm, target: np.ndarray, *, ticks: int) -> None:
    for _ in range(ticks):
        assert arm.measure(time.monotonic()) is not None
        arm.steer(target)
        time.sleep(TICK_S)


def test_opening_writes_the_registers_and_moves_nothing(emulated: Emulated, arm: ServoArm):
    look = emulated.look()

    assert [memory[ACCELERATION] for memory in look.memory.values()] == [254] * 6
    assert [look.memory[servo][16] for servo in (5, 6)] == [0, 500 & 0xFF]
    assert look.torque() == [False] * 6
    assert look.positions() == START.tolist()

    arm.close()
    writes = look.writes
    arm.open()
    assert emulated.look().writes == writes, "nothing differed any more"


def test_registers_are_not_kept_without_power(emulated: Emulated, arm: ServoArm):
    emulated.power_cycle()

    look = emulated.look()
    assert [memory[ACCELERATION] for memory in look.memory.values()] == [0] * 6
    assert look.word(6, 16) == 0


def test_torque_holds_the_arm_where_it_is(emulated: Emulated, arm: ServoArm):
    for servo in SPEC.ids:
        emulated.register(servo, 42, 77)  # an old goal

    arm.set_torque(on=True)
    follow(arm, STAY, ticks=10)

    look = emulated.look()
    assert look.torque() == [True] * 6
    assert look.goals() == START.tolist()
    assert look.positions() == START.tolist()
    np.testing.assert_allclose(arm.goal, TICKS.to_rad(START))

    arm.set_torque(on=False)
    assert emulated.look().torque() == [False] * 6
    assert arm.goal is None
    follow(arm, np.zeros(6), ticks=3)
    assert emulated.look().goals() == START.tolist()


def test_goals_move_a_little_per_tick_and_arrive(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    start = TICKS.to_rad(START)
    target = start + np.array([0.3, -0.3, 0.3, -0.3, 0.3, 0.3])

    follow(arm, target, ticks=1)
    np.testing.assert_allclose(np.abs(arm.goal - start), STEP)
    follow(arm, target, ticks=60)

    assert emulated.look().goals() == TICKS.to_ticks(target).tolist()
    reached = arm.measure(time.monotonic())
    assert reached is not None
    assert np.abs(TICKS.to_rad(reached.position) - target).max() <= 1.01 * np.abs(TICKS.scale).max()


def test_a_dry_run_writes_nothing(emulated: Emulated):
    arm = made(emulated, dry_run=True)
    before = emulated.look()
    arm.open()

    follow(arm, np.zeros(6), ticks=5)
    with refused(DeviceError, "this is a dry run"):
        arm.set_torque(on=True)

    after = emulated.look()
    assert after.writes == before.writes == 0
    assert after.memory == before.memory
    arm.close()


def test_one_bad_packet_is_no_fault(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    emulated.spoil(corrupt=1)

    assert arm.measure(time.monotonic()) is None
    time.sleep(TICK_S)
    assert arm.measure(time.monotonic()) is not None
    assert (arm.fault, arm.failed_reads, arm.recoveries) == ("", 1, 0)
    assert arm.goal is not None


@pytest.mark.parametrize("corrupt", [8, 14])
def test_some_bad_packets_do_not_keep_it_from_opening_and_holding(emulated: Emulated, corrupt: int):
    arm = made(emulated)
    emulated.spoil(corrupt=corrupt)
    arm.open()
    emulated.spoil(corrupt=1)
    arm.set_torque(on=True)
    assert arm.goal is not None
    arm.close()


def test_a_missing_servo_is_named_and_comes_back(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    emulated.spoil(missing={3})
    begun_s = time.monotonic()

    until(arm, emulated, fault=True)
    assert time.monotonic() - begun_s < 0.2
    end_s = time.monotonic() + 2.0
    while not arm.silent and time.monotonic() < end_s:
        arm.measure(time.monotonic())
    assert arm.silent == (SPEC.interfaces[2],)
    assert arm.fault == f"{emulated.port}: no answer from {SPEC.interfaces[2]} (id 3)"
    assert (arm.newest, arm.goal) == (None, None)

    emulated.spoil(missing=set())
    until(arm, emulated, fault=False)
    assert (arm.silent, arm.recoveries) == ((), 1)
    assert arm.goal is not None


def test_an_arm_is_held_where_it_is_after_the_cable_was_pulled(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    follow(arm, STAY, ticks=3)

    begun_s = time.monotonic()
    emulated.pull()
    until(arm, emulated, fault=True)
    lost_s = time.monotonic() - begun_s
    # Somebody moves a joint meanwhile.
    emulated.servo(1, pushed=2300.0 - 12.0)
    emulated.servo(1, pushed=None)
    emulated.register(1, 40, 0)
    assert arm.measure(time.monotonic()) is None
    begun_s = time.monotonic()
    emulated.plug()
    until(arm, emulated, fault=False)
    back_s = time.monotonic() - begun_s
    follow(arm, STAY, ticks=20)

    assert (lost_s < 0.2, back_s < 0.5) == (True, True), (lost_s, back_s)
    look = emulated.look()
    assert look.torque() == [True] * 6
    assert look.goals() == look.positions()
    assert arm.recoveries == 1


def test_goals_that_cannot_be_sent_count_as_failures(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    follow(arm, STAY, ticks=1)
    emulated.pull()

    for _ in range(3):
        arm.steer(STAY)
    assert arm.measure(time.monotonic()) is None
    assert arm.fault, "at the first read already"


def test_servos_that_lost_their_power_hold_again_where_they_are(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    follow(arm, STAY, ticks=3)
    emulated.spoil(missing=set(SPEC.ids))
    until(arm, emulated, fault=True)
    emulated.power_cycle()
    emulated.spoil(missing=set())
    until(arm, emulated, fault=False)
    follow(arm, STAY, ticks=10)

    look = emulated.look()
    assert look.torque() == [True] * 6
    assert [memory[ACCELERATION] for memory in look.memory.values()] == [254] * 6
    assert look.positions() == START.tolist()


def test_an_arm_that_was_let_go_stays_so(emulated: Emulated, arm: ServoArm):
    until(arm, emulated, fault=False)
    emulated.pull()
    until(arm, emulated, fault=True)
    emulated.plug()
    until(arm, emulated, fault=False)

    assert emulated.look().torque() == [False] * 6


def test_another_arm_is_refused(emulated: Emulated):
    emulated.eeprom(2, OFFSET, 31, sign_bit=11)
    arm = made(emulated)

    with refused(
        ConfigError,
        f"{SPEC.interfaces[1]} holds homing_offset 31, and the calibration says 30",
        "calibrate_so101 --apply",
    ):
        arm.open()
    assert emulated.look().writes == 0


def test_another_arm_behind_the_cable_is_not_moved(emulated: Emulated, arm: ServoArm):
    arm.set_torque(on=True)
    until(arm, emulated, fault=False)
    emulated.pull()
    until(arm, emulated, fault=True)
    emulated.eeprom(6, 11, 3000)
    emulated.plug()
    writes = emulated.look().writes
    end_s = time.monotonic() + 2.0
    while "holds range_max 3000" not in arm.fault and time.monotonic() < end_s:
        assert arm.measure(time.monotonic()) is None

    assert "holds range_max 3000, and the calibration says 3440" in arm.fault
    assert emulated.look().writes == writes


def test_a_port_that_is_not_there_is_said_to_be(emulated: Emulated):
    emulated.pull()

    with refused(DeviceError, f"{emulated.port} cannot be opened: "):
        made(emulated).open()
