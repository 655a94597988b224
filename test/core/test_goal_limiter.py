# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.goal_limiter import GoalLimiter

STAY = np.nan


def limiter(*, max_step: float = 0.5) -> GoalLimiter:
    return GoalLimiter(np.array([-1.0, -np.inf]), np.array([1.0, np.inf]), max_step)


def test_goals_go_to_the_target_in_steps_and_stay_there():
    goals = limiter()
    goals.hold(np.array([0.0, 0.0]))

    path = [goals.toward(np.array([0.8, -0.2])).tolist() for _ in range(3)]

    assert path == [[0.5, -0.2], [0.8, -0.2], [0.8, -0.2]]
    assert goals.limited.tolist() == [1, 0]


def test_goals_stay_within_their_bounds():
    goals = limiter(max_step=10.0)
    goals.hold(np.array([0.0, 0.0]))

    assert goals.toward(np.array([7.0, 7.0])).tolist() == [1.0, 7.0]
    assert goals.toward(np.array([-7.0, 7.0])).tolist() == [-1.0, 7.0]
    assert goals.limited.tolist() == [2, 0]


def test_a_servo_out_of_bounds_is_held_there_and_comes_back_in_steps():
    goals = limiter()
    goals.hold(np.array([1.8, 0.0]))

    assert goals.toward(np.array([STAY, STAY])).tolist() == [1.8, 0.0]
    assert goals.toward(np.array([2.0, STAY])).tolist() == [pytest.approx(1.3), 0.0]
    assert goals.toward(np.array([2.0, STAY])).tolist() == [1.0, 0.0]
    assert goals.limited.tolist() == [2, 0]


def test_what_is_held_is_a_copy():
    goals, position = limiter(), np.array([0.1, 0.2])
    goals.hold(position)
    position[:] = 9.0

    assert goals.goal.tolist() == [0.1, 0.2]


def test_nothing_moves_before_something_is_held_and_after_it_was_let_go():
    goals = limiter()
    with pytest.raises(RuntimeError, match="needs hold"):
        goals.toward(np.zeros(2))
    goals.hold(np.zeros(2))
    goals.let_go()

    assert goals.goal is None
    with pytest.raises(RuntimeError, match="needs hold"):
        goals.toward(np.zeros(2))


def test_the_step_can_be_changed():
    goals = limiter()
    goals.hold(np.zeros(2))
    goals.max_step = 0.0

    assert goals.toward(np.ones(2)).tolist() == [0.0, 0.0]
