# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from vla_ros.bringup.recorded import Recorded, recorded


def test_the_recording_plays_and_is_replayed(tmp_path: Path) -> None:
    recording = tmp_path / "episode.npz"
    made = recorded(Recorded(recording, server_port=7002))
    names = [process.name for process in made.processes]
    assert names == ["policy_server", "recording_source", "aggregator", "inference", "executor"]
    server = made.programs[0].arguments
    assert f"recording={recording}" in server
    assert made.nodes[0].parameters["recording"] == str(recording)
    inference = next(node for node in made.nodes if node.executable == "inference")
    assert inference.parameters["backend.port"] == 7002
