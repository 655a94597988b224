# SPDX-License-Identifier: Apache-2.0
"""The judge of the fault run finds what it is there to find."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from test.core.helpers import robot
from test.system.command_check import CommandCheck, Pause
from vla_ros.core.limits import CommandLimiter

TICK_NS = 20_000_000
ROBOT = robot()
D = len(ROBOT.command_names)


def followed(targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the executor's own limiter makes of targets."""
    limiter = CommandLimiter(ROBOT)
    limiter.anchor(np.zeros(D))
    return np.array(
        [
            limiter.follow(target, np.zeros(D), dt_s=TICK_NS * 1e-9, within=limiter.within(0.0))
            for target in targets
        ]
    )


def as_fast_as_allowed() -> NDArray[np.float64]:
    """Commands that touch every limit."""
    far = np.where(np.arange(200) // 50 % 2 == 0, 1.0, -1.0)[:, np.newaxis] * np.full(D, 100.0)
    return followed(far)


def sent(count: int, *, jitter_ns: int = 0) -> NDArray[np.int64]:
    draw = np.random.default_rng(1)
    return np.arange(count) * TICK_NS + draw.integers(0, jitter_ns + 1, count)


def judged(
    commands: NDArray[np.float64],
    sent_ns: NDArray[np.int64] | None = None,
    *,
    late_s: NDArray[np.float64] | float = 0.002,
    pauses: tuple[Pause, ...] = (),
) -> CommandCheck:
    stamps = sent(len(commands)) if sent_ns is None else sent_ns
    check = CommandCheck(ROBOT, stamps, commands, late_s=late_s)
    check.run(list(pauses))
    return check


def test_commands_at_the_limits_are_within_them():
    commands = as_fast_as_allowed()
    check = CommandCheck(ROBOT, sent(len(commands)), commands, late_s=0.0)
    margins = check.run([])
    assert margins.velocity == pytest.approx(1.0)
    assert margins.acceleration == pytest.approx(1.0)
    # Rounding aside, which is all that a check without any tolerance may find here.
    assert not judged(commands).breaches


def test_times_of_sending_that_jitter_are_no_breach():
    commands = as_fast_as_allowed()
    stamps = sent(len(commands), jitter_ns=1_900_000)
    assert not judged(commands, stamps).breaches
    assert judged(commands, stamps, late_s=1e-5).breaches


def test_a_tick_that_was_late_excuses_its_neighbours_alone():
    commands = as_fast_as_allowed()
    stamps = sent(len(commands))
    stamps[[40, 140]] += 19_000_000
    late_s = np.full(len(commands), 0.002)
    late_s[39:42] += 0.02
    found = [at_ns for at_ns, _ in judged(commands, stamps, late_s=late_s).breaches]
    assert found
    assert min(found) >= stamps[139]


def test_no_tick_is_so_late_that_a_command_may_jump():
    commands = np.zeros((200, D))
    commands[100:] = 0.51
    stamps = sent(200)
    stamps[100:] += 10 * TICK_NS
    found = judged(commands, stamps, late_s=1.0).breaches
    assert any("jumps" in words for _, words in found), found


def test_in_a_stall_the_robot_comes_to_rest_as_it_likes():
    commands = np.zeros((200, D))
    commands[:100, 0] = np.arange(100) * 0.0099
    commands[100:] = commands[99]
    stamps = sent(200)
    assert any("acceleration" in words for _, words in judged(commands, late_s=0.0).breaches)
    stamps[100:] += 6 * TICK_NS
    assert not judged(commands, stamps, late_s=0.0).breaches
    commands[100:, 0] += 0.21
    assert any("jumps" in words for _, words in judged(commands, stamps).breaches)


def test_what_was_measured_outside_the_limits_may_come_in_and_not_go_further_out():
    lower, upper = ROBOT.limit_array("lower"), ROBOT.limit_array("upper")
    inward = upper + np.linspace(0.02, -0.02, 200)[:, np.newaxis]
    assert not judged(inward).breaches
    assert not judged(lower - inward + upper).breaches
    outward = upper + np.linspace(-0.02, 0.02, 200)[:, np.newaxis]
    assert any("position" in words for _, words in judged(outward).breaches)


def test_missed_ticks_are_no_breach():
    targets = np.linspace(0.0, 1.0, 200)[:, np.newaxis] * np.full(D, 0.5)
    commands = followed(targets)
    kept = np.delete(np.arange(len(commands)), [60, 61, 90])
    assert not judged(commands[kept], sent(len(commands))[kept]).breaches


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda it: it[100:].__setitem__((slice(None), 0), np.nan), "not finite"),
        (lambda it: it.__setitem__((100, 0), 100.0), "position"),
        (lambda it: it[100:].__iadd__(0.2), "velocity"),
        (lambda it: it[100:].__iadd__(np.arange(100)[:, np.newaxis] * 0.03), "acceleration"),
    ],
)
def test_what_is_beyond_a_limit_is_found(spoil, text: str):
    commands = np.zeros((200, D))
    spoil(commands)
    found = judged(commands).breaches
    assert any(text in words for _, words in found), found


def test_nothing_may_move_in_a_pause():
    commands = np.zeros((200, D))
    commands[150:] += 1e-4
    stamps = sent(200)
    early = Pause(int(stamps[50]), int(stamps[120]), "~/stop")
    late = Pause(int(stamps[50]), int(stamps[190]), "~/stop")
    assert not judged(commands, pauses=(early,)).breaches
    ((at_ns, words),) = judged(commands, pauses=(late,)).breaches
    assert at_ns == stamps[150]
    assert "after ~/stop" in words


def test_after_a_pause_commands_begin_at_the_measured_pose():
    commands = np.zeros((200, D))
    commands[100:] = 0.3
    stamps = sent(200)
    pause = Pause(int(stamps[50]), int(stamps[100]), "~/stop")
    assert any("velocity" in words for _, words in judged(commands).breaches)
    check = judged(commands, pauses=(pause,))
    assert not check.breaches
    assert check.first([pause], stamps, commands) == 0.0
    assert not check.breaches
    assert check.first([pause], stamps, commands * 0.0) == pytest.approx(0.3)
    assert "from the measured pose" in check.breaches[0][1]
