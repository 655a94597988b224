# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from vla_ros.core.tracking import TrackingWatch

NAMES = ("a/position", "b/position")


def lost(
    watch: TrackingWatch, *error: float, max_error: float = 0.1, patience_s: float = 0.05
) -> str:
    return watch.lost(
        np.array(error), np.zeros(2), 0.02, max_error=max_error, patience_s=patience_s
    )


def test_an_arm_that_stays_away_is_named_once_patience_is_over() -> None:
    watch = TrackingWatch(NAMES)
    said = [lost(watch, 0.0, -0.2) for _ in range(4)]
    assert said[:2] == ["", ""]
    assert said[2] == "b/position was more than 0.1 from its command for 0.05 s, now 0.2"


def test_the_worst_of_them_is_named() -> None:
    watch = TrackingWatch(NAMES)
    for _ in range(3):
        said = lost(watch, 0.3, 0.2)
    assert said.startswith("a/position was")


def test_one_that_has_been_far_for_a_moment_only_is_not_named() -> None:
    watch = TrackingWatch(NAMES)
    lost(watch, 0.0, 0.2)
    lost(watch, 0.0, 0.2)
    assert lost(watch, 0.9, 0.2).startswith("b/position was")


def test_coming_back_in_between_is_following() -> None:
    watch = TrackingWatch(NAMES)
    for error in (0.2, 0.2, 0.05, 0.2, 0.2):
        assert lost(watch, error, 0.0) == ""


def test_it_can_be_reset_and_switched_off() -> None:
    watch = TrackingWatch(NAMES)
    lost(watch, 0.2, 0.0)
    lost(watch, 0.2, 0.0)
    watch.reset()
    assert lost(watch, 0.2, 0.0) == ""
    for _ in range(10):
        assert lost(watch, 9.0, 9.0, max_error=0.0) == ""
