# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from test.core.refusals import refused
from vla_ros.core.errors import ActionError, ConfigError, DeviceError
from vla_ros.drivers.unitree.inspire import InspireHands

# Unitree's ranges: four fingers, the thumb's bend and its rotation; the right hand, then the left.
LOWER = [0.0, 0.0, 0.0, 0.0, 0.0, -0.1] * 2
UPPER = [1.7, 1.7, 1.7, 1.7, 0.5, 1.3] * 2
HANDS = InspireHands(LOWER, UPPER)


def test_open_is_one_and_closed_is_zero():
    assert HANDS.normalized(LOWER).tolist() == [1.0] * 12
    assert HANDS.normalized(UPPER).tolist() == [0.0] * 12
    assert HANDS.radians([1.0] * 12).tolist() == pytest.approx(LOWER)
    assert HANDS.radians([0.0] * 12).tolist() == UPPER


def test_the_joints_keep_their_places():
    right = [0.17, 0.34, 0.85, 1.7, 0.1, 0.6]
    left = [0.0, 1.36, 1.53, 0.51, 0.4, -0.1]

    wire = HANDS.normalized(right + left)

    assert wire.tolist() == pytest.approx(
        [0.9, 0.8, 0.5, 0.0, 0.8, 0.5, 1.0, 0.2, 0.1, 0.7, 0.2, 1.0]
    )
    assert HANDS.radians(wire).tolist() == pytest.approx(right + left)


def test_a_command_beyond_the_ends_is_at_them():
    assert HANDS.normalized([-9.0] * 6 + [9.0] * 6).tolist() == [1.0] * 6 + [0.0] * 6


def test_a_measurement_beyond_the_ends_is_told_as_it_is():
    assert HANDS.radians([1.1] * 12)[0] == pytest.approx(-0.17)
    assert HANDS.radians([-0.1] * 12)[4] == pytest.approx(0.55)


@given(wire=st.lists(st.floats(0.0, 1.0), min_size=12, max_size=12))
def test_there_and_back_is_the_same(wire: list[float]):
    assert HANDS.normalized(HANDS.radians(wire)) == pytest.approx(np.array(wire), abs=1e-12)


def test_what_is_given_is_left_alone():
    lower, angles = list(LOWER), np.full(12, 9.0)
    hands = InspireHands(lower, UPPER)
    lower[0] = 1.0

    hands.normalized(angles)

    assert angles.tolist() == [9.0] * 12
    assert hands.radians([1.0] * 12)[0] == 0.0


@pytest.mark.parametrize("count", [0, 6, 11, 13])
def test_another_number_of_joints_is_refused(count: int):
    with refused(ActionError, "12 angles of the hands", f"({count},)"):
        HANDS.normalized([0.5] * count)
    with refused(DeviceError, "12 positions of the hands", f"({count},)"):
        HANDS.radians([0.5] * count)
    with refused(ConfigError, "12 angles of the open hands", f"({count},)"):
        InspireHands([0.0] * count, UPPER)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value: float):
    values = [0.5] * 7 + [value] + [0.5] * 4
    with refused(ActionError, "angles of the hands must be finite", f"{value} at 7"):
        HANDS.normalized(values)
    with refused(DeviceError, "positions of the hands must be finite", f"{value} at 7"):
        HANDS.radians(values)
    with refused(ConfigError, "angles of the closed hands must be finite", f"{value} at 7"):
        InspireHands(LOWER, values)


def test_a_joint_without_a_range_is_refused():
    with refused(ConfigError, "joint 11", "closed above -0.1 rad", "found -0.1 rad"):
        InspireHands(LOWER, [*UPPER[:11], -0.1])
