# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from test.nodes.episode_player import Stage, read, run, runner
from test.ros.harness import Domain


def test_a_given_instruction_is_used(domain: Domain, tmp_path: Path) -> None:
    stage = domain.add(Stage)
    node = runner(domain, tmp_path, episodes=1, instruction="put the red cube on the plate")
    assert run(domain, node) == 0
    assert set(stage.instructions) == {"put the red cube on the plate"}


def test_an_episode_without_a_verdict_ends_in_time(domain: Domain, tmp_path: Path) -> None:
    stage = domain.add(Stage)
    stage.judges = False
    node = runner(domain, tmp_path, episodes=1, episode_timeout_s=1.0)
    assert run(domain, node) == 0
    log = read(tmp_path / "episode_00.npz")
    assert log.facts["success"] is False
    assert log.facts["duration_s"] == pytest.approx(1.0, abs=0.5)


def test_a_recording_is_played_to_its_end(domain: Domain, tmp_path: Path) -> None:
    recording = tmp_path / "recording.npz"
    np.savez(recording, timestamp_s=np.arange(20) * 0.05)
    stage = domain.add(Stage)
    node = runner(domain, tmp_path, episodes=1, source="recording", recording=str(recording))
    assert run(domain, node) == 0
    played = ["recording_source/start", "executor/start"]
    assert stage.calls == [*played, "executor/stop", *played]
    log = read(tmp_path / "episode_00.npz")
    assert log.facts["duration_s"] == pytest.approx(0.75, abs=0.5)
    assert log.facts["recording"] == str(recording)


def test_a_unitree_simulator_goes_on_to_its_next_world_at_every_reset(
    domain: Domain, tmp_path: Path
) -> None:
    stage = domain.add(Stage)
    node = runner(domain, tmp_path, episodes=2, source="unitree", instruction="lift it", seed=3)
    assert run(domain, node) == 0
    # The first world is shown by the first reset: none is spent on warming up.
    episode = ["executor/stop", "unitree_bridge/reset_all", "executor/start"]
    assert stage.calls == ["executor/start", *episode, *episode]
    assert set(stage.instructions) == {"lift it"}
    first, second = (read(tmp_path / f"episode_0{index}.npz").facts for index in range(2))
    assert (first["seed"], second["seed"]) == (3, 4)
    assert first["success"] is second["success"] is True
    assert first["instruction"] == "lift it"


def test_what_was_judged_before_the_reset_does_not_count(domain: Domain, tmp_path: Path) -> None:
    stage = domain.add(Stage)
    stage.judges = False
    stage.judged.success = True
    node = runner(
        domain, tmp_path, episodes=1, source="unitree", instruction="lift", episode_timeout_s=1.0
    )
    assert run(domain, node) == 0
    assert read(tmp_path / "episode_00.npz").facts["success"] is False
