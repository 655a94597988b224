# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from vla_ros.sim.rollout import main, parser, run, summary

FAST = ("--renderer", "raycast")


def test_a_scripted_episode_runs_and_succeeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "out" / "rollout.json"

    status = main(
        [*FAST, "--episodes", "1", "--seed", "3", "--latency-ms", "100", "--json", str(path)]
    )

    assert status == 0
    shown = capsys.readouterr().out
    assert "scripted pick and place" in shown
    assert "1 of 1 (100.0%)" in shown
    facts = json.loads(path.read_text())
    assert facts["success_rate"] == 1.0
    assert facts["holds"].keys() == {"starting"}
    assert facts["starved_ticks"] == 0
    assert facts["chunks_received"] >= 5
    assert facts["seeds"]["3"]["success"] is True
    assert 3.0 < facts["duration_s"]["p50"] < 10.0


def test_an_episode_that_fails_is_told_of(capsys: pytest.CaptureFixture[str]):
    status = main([*FAST, "--backend", "hold", "--episodes", "2", "--max-duration-s", "0.5"])

    assert status == 0
    shown = capsys.readouterr().out
    assert shown.count("FAILED") == 2
    assert "is not on the plate" in shown
    assert "0 of 2 (0.0%)" in shown


def test_the_instruction_is_followed(capsys: pytest.CaptureFixture[str]):
    options = parser().parse_args(
        [*FAST, "--episodes", "1", "--instruction", "the blue one!", "--max-duration-s", "0.2"]
    )

    (result,) = run(options)

    assert result.instruction == "the blue one!"
    assert "blue is" in result.task.detail


def test_no_episodes_make_an_empty_summary():
    facts = summary([])

    assert facts["episodes"] == facts["successes"] == facts["success_rate"] == 0
    assert facts["duration_s"] == {}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--robot", "no_robot"], "no_robot"),
        (["--scene", "no_scene"], "no_scene"),
        (["--policy", "no_policy"], "no_policy"),
        (["--instruction", "dance"], "must name exactly one object"),
        (["--seed", "-5"], "seed"),
    ],
)
def test_what_is_wrong_is_said(arguments: list[str], part: str, caplog: pytest.LogCaptureFixture):
    assert main([*FAST, "--episodes", "1", *arguments]) == 2
    assert part in caplog.text


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert main([*FAST, "--episodes", "0", "--json", str(tmp_path)]) == 2
    assert str(tmp_path) in caplog.text


def test_an_unknown_backend_is_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as info:
        main(["--backend", "crystal_ball"])

    assert info.value.code == 2
    assert "crystal_ball" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("latency_ms", [0, 100, 300])
def test_the_scripted_policy_succeeds(latency_ms: int):
    options = parser().parse_args(
        [*FAST, "--episodes", "40", f"--latency-ms={latency_ms}", "--latency-jitter-ms=20"]
    )

    assert summary(run(options))["success_rate"] >= 0.95
