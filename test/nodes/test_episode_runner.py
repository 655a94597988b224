# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from test.nodes.episode_player import CAMERA, Stage, read, run, runner
from test.ros.harness import Domain


def test_episodes_are_run_and_logged(domain: Domain, tmp_path: Path) -> None:
    stage = domain.add(Stage)
    node = runner(domain, tmp_path, episodes=2, seed=7, film_camera=CAMERA)
    assert run(domain, node) == 0
    domain.spin_until(lambda: stage.instructions[-1:] == ["task 8"])
    warm_up = ["reset 7", "executor/start"]
    per_episode = ["executor/stop", "reset 7", "executor/start"]
    assert stage.calls == [
        *warm_up,
        *per_episode,
        *(call.replace("7", "8") for call in per_episode),
    ]
    first, second = read(tmp_path / "episode_00.npz"), read(tmp_path / "episode_01.npz")
    assert first.facts["success"] is True
    assert second.facts["success"] is False
    assert second.facts["detail"] == "as the test says"
    assert (first.facts["seed"], first.facts["instruction"]) == (7, "task 7")
    assert first.values("command")[-1] == pytest.approx([0.2] * 6)
    assert first.values("measured.joints")[-1] == pytest.approx([0.1] * 6)
    assert first.values("tick_error_ms").max() == pytest.approx(0.25)
    assert len(first.values("chunk")) > 3
    assert first.values("queue").shape[1] == 3
    assert first.facts["counters"]["holds"]["starved"] > 3
    assert len(list((tmp_path / "film").glob("*.jpg"))) > 3
    assert not list(tmp_path.glob("*.part"))


def test_a_refusal_ends_it_with_an_error(domain: Domain, tmp_path: Path) -> None:
    stage = domain.add(Stage)
    stage.refuse = True
    node = runner(domain, tmp_path, episodes=1)
    assert run(domain, node) == 1


def test_a_robot_that_does_not_come_to_rest_meets_no_new_world(
    domain: Domain, tmp_path: Path
) -> None:
    stage = domain.add(Stage)
    stage.obeys = False
    node = runner(domain, tmp_path, episodes=1)
    assert run(domain, node) == 1
    assert stage.calls == ["reset 0", "executor/start", "executor/stop"]


def test_an_unknown_camera_is_refused(domain: Domain, tmp_path: Path) -> None:
    node = runner(domain, tmp_path, film_camera="ceiling")
    assert not node.start()
