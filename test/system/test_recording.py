# SPDX-License-Identifier: Apache-2.0
"""A real recording goes round the real ring: what is published is what was recorded, in time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gr1_pick_and_place"
EPISODES = sorted(DATA.glob("*.npz")) if DATA.is_dir() else []


@pytest.mark.slow
@pytest.mark.flaky(reruns=2)
@pytest.mark.timeout(150)
@pytest.mark.parametrize(
    "recording",
    [pytest.param(path, id=path.stem) for path in EPISODES]
    or [pytest.param(None, marks=pytest.mark.skip(reason=f"no recordings at {DATA}"))],
)
def test_every_command_is_the_recorded_action_of_its_moment(
    recording: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "vla_ros.bringup.demo", "--recording", str(recording)]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "demo")],
        check=False,
        capture_output=True,
        text=True,
        timeout=140,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "demo" / "summary.json").read_text())
    followed = figures["runs"][0]["followed"]
    assert followed["ticks"] > 500
    assert followed["share"] >= 0.99, followed
