# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import HORIZON, JOINTS, NAMES, POLICY, moves, policy
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import BackendSilent, RemotePolicyError
from vla_ros.serving.probe import Answer, Findings
from vla_ros.serving.probe_report import report, table

MS = 1_000_000
STEP_NS = 33_333_333


def answer(
    *, taken_ms: int = 10, inference_ms: int = 0, actions: np.ndarray | None = None
) -> Answer:
    """One that took so long, of which 1 ms was encoding and 2 ms decoding."""
    timing = ChunkTiming(0, 1 * MS, (taken_ms - 2) * MS, inference_ms * MS)
    rows = moves().astype(float) if actions is None else actions
    return Answer(ActionChunk(0, STEP_NS, NAMES, rows, timing=timing), 0, taken_ms * MS)


def made(*answers: Answer, text: str = POLICY, **changed: Any) -> dict[str, Any]:
    found = Findings(PolicyInfo("golden, wire B"), 0.004, list(answers))
    found = dataclasses.replace(found, **changed)
    return report(
        GoldenBackend(policy=policy(text)), found, wanted=max(len(answers), 1), advice=["look"]
    )


def test_times_are_told_apart():
    told = made(answer(taken_ms=900), *(answer(taken_ms=10, inference_ms=4) for _ in range(3)))

    assert told["first_round_trip_ms"] == 900.0
    assert {part: times["p50"] for part, times in told["times_ms"].items()} == {
        "round_trip": 10.0, "encode": 1.0, "server": 7.0, "inference": 4.0, "wire": 3.0,
        "decode": 2.0,
    }  # fmt: skip
    assert told["times_ms"]["round_trip"] == {"p50": 10.0, "p90": 10.0, "p99": 10.0, "max": 10.0}
    assert "not told" not in table(told)


def test_percentiles_are_of_all_answers_but_the_first():
    told = made(*(answer(taken_ms=taken) for taken in (500, *range(10, 111))))

    assert told["times_ms"]["round_trip"] == {"p50": 60.0, "p90": 100.0, "p99": 109.0, "max": 110.0}


def test_one_answer_alone_is_counted():
    assert made(answer(taken_ms=20))["times_ms"]["round_trip"]["max"] == 20.0


@pytest.mark.parametrize("inference_ms", [0, 50, -3])
def test_an_inference_time_that_is_missing_or_impossible_is_not_told(inference_ms: int):
    told = made(answer(), answer(inference_ms=4), answer(inference_ms=inference_ms))

    assert (told["times_ms"]["inference"], told["times_ms"]["wire"]) == (None, None)
    assert "    inference         not told" in table(told)


def test_the_table_has_it_all():
    told = made(answer(taken_ms=12), answer(taken_ms=10))
    lines = table(told).splitlines()

    assert lines[:6] == [
        "robot    six_joints",
        "policy   six_joints_policy (six_joints_policy.yaml), backend golden_backend",
        "shown    front, wrist; single_arm (5), gripper (1); annotation.human.task_description",
        "expected single_arm (5), gripper (1); horizon 16 at 30 Hz, 533 ms",
        "server   golden, wire B; connected in 4.0 ms",
        "answers  2 of 2 have these keys and shapes and are finite",
    ]
    assert "round trip               10.00     10.00     10.00     10.00" in lines
    assert "first round trip         12.00" in lines
    assert "joint_1/position    -9.000     9.000     0.125     0.275         0" in lines
    assert "note: " not in table(told)
    assert (told["ok"], told["remarks"], told["error"]) == (True, [], None)
    assert json.loads(json.dumps(told)) == told


def test_the_size_of_images_is_told():
    text = POLICY.replace("{camera: head}", "{camera: head, size: [224, 320], resize: pad}")
    told = made(answer(), text=text)

    assert told["shown"]["resized"] == {"front": {"size": [224, 320], "resize": "pad"}}
    assert table(told).splitlines()[2].startswith("shown    front (pad to 224x320), wrist; single")


def test_values_beyond_the_limits_are_counted_and_told():
    actions = moves().astype(float)
    actions[:3, 1] = 9.5
    actions[4, 2] = -100.0
    actions[5, 3] = 9.000001
    told = made(answer(), answer(actions=actions))

    assert {name: each["beyond"] for name, each in told["actions"].items() if each["beyond"]} == {
        JOINTS[1]: 3,
        JOINTS[2]: 1,
    }
    assert told["values_beyond_limits"] == 4
    assert told["actions"][JOINTS[2]]["least"] == -100.0
    [remark] = told["remarks"]
    assert f"4 of {2 * HORIZON * 6} values are beyond" in remark
    assert f"({JOINTS[1]}, {JOINTS[2]})" in remark
    assert f"note: {remark}" in table(told)
    assert told["ok"]


@pytest.mark.parametrize(
    ("taken_ms", "horizon", "slow"),
    [(260, 16, False), (270, 16, True), (30, 1, False), (40, 1, True)],
)
def test_a_policy_too_slow_for_its_chunks_is_told(taken_ms: int, horizon: int, slow: bool):
    text = POLICY.replace(f"horizon: {HORIZON}", f"horizon: {horizon}")
    late = answer(taken_ms=taken_ms, actions=moves()[:horizon].astype(float))
    told = made(late, late, text=text)

    assert [f"p99 round trip of {taken_ms} ms" in remark for remark in told["remarks"]] == (
        [True] if slow else []
    )


def test_what_failed_is_told_with_what_came_before():
    told = made(answer(), answer(), error=BackendSilent("no answer within 5 s"))

    assert not told["ok"]
    assert told["error"] == {
        "kind": "BackendSilent", "text": "no answer within 5 s", "next": ["look"],
    }  # fmt: skip
    assert told["times_ms"]["round_trip"]["max"] == 10.0
    assert table(told).endswith("\nfailed: no answer within 5 s\n  - look\n")


def test_a_server_cannot_tell_the_terminal_what_to_do():
    told = made(error=RemotePolicyError("bad\x1b[2J\x00\nkey é"))

    assert told["error"]["text"] == "bad\x1b[2J\x00\nkey é"
    assert "failed: bad\\x1b[2J\\x00\nkey é\n" in table(told)


def test_what_was_never_reached_has_no_times():
    told = made(info=None, connect_s=float("nan"), error=BackendSilent("x"))

    assert (told["server"], told["connect_ms"], told["times_ms"]) == (None, None, None)
    assert (told["actions"], told["first_round_trip_ms"]) == ({}, None)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert "time [ms]" not in table(told)
    assert "answers" not in table(told)
