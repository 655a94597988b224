# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest

from test.core.refusals import refused
from test.support.simulated import table
from vla_ros.core.errors import ConfigError
from vla_ros.sim.judge import Judge, ObjectState, named_object

PLATE = (0.2, 0.1)
ON_PLATE = ObjectState((0.21, 0.09, 0.0205), 0.0, on_plate=True, held=False)
ON_TABLE = ObjectState((0.2, -0.1, 0.0125), 0.0, on_plate=False, held=False)
DONE = {"red": ON_PLATE, "green": ON_TABLE, "blue": ON_TABLE}


def judge() -> Judge:
    return Judge(table(), "red", PLATE)


def after_a_while(cubes: dict[str, ObjectState], *, hand_open: bool = True):
    judged = judge()
    judged.update(1.0, cubes, hand_open=hand_open)
    return judged.update(2.0, cubes, hand_open=hand_open)


def test_nothing_is_judged_before_the_first_moment():
    state = judge().state

    assert not state.success
    assert not state.failed


def test_the_named_object_on_the_plate_is_success_once_it_has_settled():
    judged = judge()

    assert not judged.update(1.0, DONE, hand_open=True).success
    assert not judged.update(1.2, DONE, hand_open=True).success
    state = judged.update(1.31, DONE, hand_open=True)

    assert state.success
    assert not state.failed
    assert judged.state == state
    assert "red" in state.detail


def test_settling_begins_anew_after_a_disturbance():
    judged = judge()
    judged.update(1.0, DONE, hand_open=True)
    judged.update(1.2, DONE, hand_open=False)

    assert not judged.update(1.4, DONE, hand_open=True).success
    assert judged.update(1.71, DONE, hand_open=True).success


@pytest.mark.parametrize(
    ("cubes", "words"),
    [
        ({"red": ON_TABLE}, "red is not on the plate"),
        ({"red": replace(ON_PLATE, position_m=(0.255, 0.1, 0.0205))}, "not on the plate"),
        ({"red": replace(ON_PLATE, position_m=(0.2, 0.1, 0.0455))}, "not on the plate"),
        ({"red": replace(ON_PLATE, position_m=(0.2, 0.1, 0.0125))}, "not on the plate"),
        ({"red": replace(ON_PLATE, speed_m_s=0.1)}, "red moves"),
        ({"red": replace(ON_PLATE, held=True)}, "not let go"),
        ({"blue": ON_PLATE}, "as well: blue"),
        ({"green": replace(ON_TABLE, on_plate=True)}, "as well: green"),
        ({"red": ON_TABLE, "green": ON_PLATE}, "as well: green"),
    ],
)
def test_what_is_missing_is_named(cubes: dict[str, ObjectState], words: str):
    state = after_a_while({**DONE, **cubes})

    assert not state.success
    assert not state.failed
    assert words in state.detail


def test_a_hand_that_is_not_open_has_not_let_go():
    state = after_a_while(DONE, hand_open=False)

    assert not state.success
    assert "not let go" in state.detail


@pytest.mark.parametrize("cube", ["red", "blue"])
def test_a_cube_that_fell_off_the_table_is_failure(cube: str):
    fallen = replace(ON_TABLE, position_m=(0.2, -0.1, -0.6))

    state = after_a_while({**DONE, cube: fallen})

    assert state.failed
    assert not state.success
    assert f"fell off the table: {cube}" in state.detail


@pytest.mark.parametrize(
    ("instruction", "cube"),
    [("put the red cube on the plate", "red"), ("Blue, please!", "blue")],
)
def test_an_instruction_names_a_cube(instruction: str, cube: str):
    assert named_object(instruction, ("red", "green", "blue")) == cube


@pytest.mark.parametrize(
    ("instruction", "named"),
    [("put the cube down", "none"), ("bored", "none"), ("red or blue", "red, blue")],
)
def test_an_instruction_that_does_not_name_one_cube_is_refused(instruction: str, named: str):
    with refused(ConfigError, repr(instruction), "red, green, blue", named):
        named_object(instruction, ("red", "green", "blue"))
