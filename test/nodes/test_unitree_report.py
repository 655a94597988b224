# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from vla_ros.drivers.unitree.body_command import Phase
from vla_ros.nodes.unitree_report import command_status, state_status, task_status
from vla_ros.ros.diagnostics import Level
from vla_ros.ros.stream_rate import StreamRate


def inlet(*, age_s: float | None = 0.0, same_for_s: float = 0.0, problem: str = "") -> Any:
    now_ns = time.monotonic_ns()
    return SimpleNamespace(
        topic="rt/x",
        received_ns=None if age_s is None else now_ns - round(1e9 * age_s),
        problem=problem,
        same_for_s=lambda _: same_for_s,
        repeated=7,
        refused=8,
        malformed=9,
    )


@pytest.mark.parametrize(
    ("told", "level", "text"),
    [
        ({}, Level.OK, "is measured"),
        ({"same_for_s": 1.5}, Level.WARN, "still, or frozen"),
        ({"problem": "rt/x: bad", "same_for_s": 1.5}, Level.ERROR, "rt/x: bad"),
        ({"age_s": 0.5, "problem": "rt/x: bad"}, Level.ERROR, "nothing has come on rt/x for 0.2 s"),
        ({"age_s": None}, Level.ERROR, "nothing has come on rt/x in domain 3: is that"),
    ],
)
def test_the_worst_of_a_part_is_said(told: dict[str, Any], level: Level, text: str):
    status = state_status("arm", inlet(**told), StreamRate(), "domain 3")

    assert (status.name, status.level) == ("arm", level)
    assert text in status.message


def test_figures_of_a_part_are_told():
    rate = StreamRate()
    for age in range(100):
        rate.received(time.monotonic_ns() - 10_000_000 * (100 - age))

    values = state_status("arm", inlet(age_s=0.1, same_for_s=0.25), rate, "domain 3").values

    assert values["rate_hz"] == "50.0"
    assert 0.1 <= float(values["age_s"]) < 0.2
    assert [values[name] for name in ("same_for_s", "repeated", "refused", "malformed")] == [
        *("0.2", "7", "8", "9")
    ]
    assert state_status("arm", inlet(age_s=None), rate, "").values["age_s"] == ""


@pytest.mark.parametrize(
    ("phase", "listeners", "dry_run", "level", "text"),
    [
        (Phase.SILENT, 1, False, Level.OK, "nothing is sent before somebody commands"),
        (Phase.FOLLOWING, 1, False, Level.OK, "follows"),
        (Phase.HOLDING, 2, False, Level.OK, "keeps its place"),
        (Phase.UNMEASURED, 1, False, Level.WARN, "its state is stale"),
        (Phase.RELEASING, 1, False, Level.WARN, "is being given back"),
        (Phase.FOLLOWING, 0, False, Level.WARN, "nobody listens on rt/arm_sdk: simulators"),
        (Phase.SILENT, 0, True, Level.WARN, "dry run: nothing is sent"),
    ],
)
def test_how_a_robot_is_commanded_is_said(
    phase: Phase, listeners: int, dry_run: bool, level: Level, text: str
):
    link: Any = SimpleNamespace(command_topic="rt/arm_sdk", listeners=listeners)

    status = command_status(link, phase, ["a", "b"], dry_run=dry_run)

    assert (status.name, status.level) == ("commands", level)
    assert text in status.message
    assert status.values == {
        "topic": "rt/arm_sdk",
        "listeners": str(listeners),
        "not_commanded": "a, b",
    }


@pytest.mark.parametrize(
    ("played", "expected", "level", "text"),
    [
        ("", "stack", Level.OK, "no simulator tells one"),
        ("stack", "", Level.OK, "stack"),
        ("stack", "stack", Level.OK, "stack"),
        ("fold", "stack", Level.WARN, "the simulator plays fold, expected stack"),
    ],
)
def test_another_task_than_the_expected_one_is_reported(
    played: str, expected: str, level: Level, text: str
):
    status = task_status(played, expected)

    assert (status.level, status.message) == (level, text)
