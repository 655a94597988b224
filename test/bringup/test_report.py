# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from vla_ros.bringup.report import summary, table
from vla_ros.core.episode_log import EpisodeLog

MS = 1_000_000


def episode(seed: int, success: bool, holds: dict[str, int]) -> EpisodeLog:
    log = EpisodeLog({"episode": seed, "seed": seed, "success": success, "duration_s": 2.0})
    log.facts["counters"] = {
        "ticks": 100,
        "starved_ticks": 3,
        "observations_requested": 5,
        "chunks_received": 4,
        "holds": holds,
    }
    for tick in range(100):
        log.add("command", tick * 20 * MS, [0.0])
        log.add("tick_error_ms", tick * 20 * MS, 0.1 if tick else 5.0)
    # The anchor was 10 ms old; 4 ms until sent, 100 ms inference, 1 ms until joined, 8 more.
    log.add("chunk", 0, [0.010, 0.014, 0.114, 0.115, 0.123])
    return log


def test_figures_are_of_all_episodes() -> None:
    figures = summary(
        [episode(0, True, {"starting": 7}), episode(1, False, {"starting": 1, "starved": 3})]
    )
    assert figures["episodes"] == 2
    assert figures["successes"] == 1
    assert figures["success_rate"] == 0.5
    assert figures["control_rate_hz"] == pytest.approx(50.0)
    assert figures["tick_jitter_ms"] == {
        "p50": 0.1,
        "p99": pytest.approx(0.149, abs=0.5),
        "max": 5.0,
    }
    assert figures["pipeline_overhead_ms"]["p50"] == pytest.approx(5.0)
    assert figures["overhead_to_command_ms"]["p50"] == pytest.approx(13.0)
    assert figures["inference_ms"]["p99"] == pytest.approx(100.0)
    assert figures["request_to_chunk_ms"]["max"] == pytest.approx(105.0)
    assert figures["anchor_age_ms"]["p50"] == pytest.approx(10.0)
    assert figures["observations_sent"] == 10
    assert figures["chunks_received"] == 8
    assert figures["starved_ticks"] == 6
    assert figures["holds"] == {"starting": 8, "starved": 3}
    assert [run["seed"] for run in figures["runs"]] == [0, 1]
    json.dumps(figures, allow_nan=False)


def test_nothing_measured_is_said_and_not_made_up() -> None:
    figures = summary([EpisodeLog({"seed": 0, "duration_s": 1.0})])
    assert figures["tick_jitter_ms"] == {"p50": None, "p99": None, "max": None}
    assert figures["control_rate_hz"] is None
    json.dumps(figures, allow_nan=False)
    assert "none" in table(figures)


def test_no_episode_at_all() -> None:
    assert summary([])["success_rate"] is None
    assert "nan" in table(summary([]))


def test_the_table_has_a_row_a_person_can_read() -> None:
    text = table(summary([episode(0, True, {"starved": 3})]))
    assert "1 (100%)" in text
    assert "p50 5.00" in text
    assert "starved 3" in text
