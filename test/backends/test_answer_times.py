# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from math import inf

import pytest

from vla_ros.backends._answer_times import AnswerTimes


def times(*took_s: float) -> AnswerTimes:
    made = AnswerTimes()
    for each in took_s:
        made.add(each)
    return made


def test_nobody_is_given_up_before_it_is_known_how_long_answers_take():
    assert times(*[0.3] * 4).patience_s(0.0) == inf


@pytest.mark.parametrize(
    ("took_s", "runs_out_in_s", "patience_s"),
    [
        (0.3, inf, 0.9),
        # The other one's answer is in time: 0.55 + 0.45 = 1.
        (0.3, 1.0, 0.55),
        # It cannot be in time; answers vary by so much.
        (0.3, 0.5, 0.45),
        (0.3, -1.0, 0.45),
        # The network alone varies by more than quick answers do.
        (0.02, inf, 0.25),
        (0.02, 0.1, 0.25),
    ],
)
def test_another_is_asked_in_time_for_the_robot(
    took_s: float, runs_out_in_s: float, patience_s: float
):
    assert times(*[took_s] * 5).patience_s(runs_out_in_s) == pytest.approx(patience_s)


def test_old_answers_are_forgotten():
    assert times(*[2.0] * 50, *[0.3] * 50).patience_s() == pytest.approx(0.9)
