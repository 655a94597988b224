# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.bringup.followed import followed, recording_start_ns

TIMES = np.arange(20) * 0.05
ACTIONS = np.stack([np.sin(TIMES), np.where(TIMES > 0.5, 3.0, -3.0)], axis=1)


def commands_at(seconds: np.ndarray) -> np.ndarray:
    """What an executor does: the arm interpolates, the hand switches."""
    arm = np.interp(seconds, TIMES, ACTIONS[:, 0])
    hand = ACTIONS[np.floor(seconds / 0.05 + 1e-9).astype(int), 1]
    return np.stack([arm, hand], axis=1)


def test_the_right_actions_in_time_are_followed() -> None:
    computed = np.arange(0.0, 0.9, 0.02)
    seen = computed + 0.004
    result = followed(seen, commands_at(computed), TIMES, ACTIONS, tick_s=0.02)
    assert result.ticks > 40
    assert result.within == result.ticks
    assert result.share == 1.0


@pytest.mark.parametrize("shift_s", [0.1, -0.1])
def test_the_right_actions_at_another_time_are_not(shift_s: float) -> None:
    computed = np.arange(0.2, 0.7, 0.02)
    commands = commands_at(computed + shift_s)
    result = followed(computed, commands, TIMES, ACTIONS, tick_s=0.02)
    assert result.share < 0.2
    assert result.worst_rad > 0.01


def test_what_lies_outside_the_recording_is_not_compared() -> None:
    seconds = np.array([-0.5, 0.01, 5.0])
    result = followed(seconds, np.zeros((3, 2)), TIMES, ACTIONS, tick_s=0.02)
    assert result.ticks == 0
    assert result.share == 0.0


def test_the_start_is_found_from_any_state() -> None:
    states = np.stack([TIMES, TIMES**2], axis=1)
    assert (
        recording_start_ns(9_000_000_000 + 350_000_000, states[7], TIMES, states) == 9_000_000_000
    )
