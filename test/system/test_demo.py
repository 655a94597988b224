# SPDX-License-Identifier: Apache-2.0
"""`make demo`, shortened to one episode: processes, ring, simulation, report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest


@pytest.mark.flaky(reruns=1)
@pytest.mark.timeout(150)
def test_an_episode_succeeds_and_leaves_its_report(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    command = [sys.executable, "-m", "vla_ros.bringup.demo", "--output", str(output)]
    done = subprocess.run(
        [*command, "--episodes", "1", "--seed", "3", "--latency-ms", "50"],
        check=False,
        capture_output=True,
        text=True,
        timeout=140,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "episode 1/1" in done.stdout
    figures = json.loads((output / "summary.json").read_text())
    assert figures["episodes"] == 1
    assert figures["successes"] == 1, figures
    assert figures["inference_ms"]["p50"] >= 50.0
    assert figures["chunks_received"] > 5
    for name in ("control_rate_hz", "starved_ticks", "observations_sent", "holds"):
        assert figures[name] is not None, name
    for name in ("tick_jitter_ms", "pipeline_overhead_ms"):
        assert figures[name]["p50"] is not None
        assert figures[name]["p99"] is not None
    for name in ("timeline.png", "seam.png"):
        assert cv2.imread(str(output / name)) is not None, name
    assert cv2.VideoCapture(str(output / "film.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) > 30
