# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from vla_ros.bringup.demo_stage import RUNNER, Stage, make_stage
from vla_ros.core.errors import ConfigError


def staged(**given: Any) -> Stage:
    options = {
        "output": Path("out"),
        "episodes": None,
        "seed": 3,
        "latency_ms": 10.0,
        "instruction": "",
        "recording": None,
        "robot": None,
        "policy": None,
        "backend": None,
        "server": None,
    }
    return make_stage(argparse.Namespace(**{**options, **given}))


def runner(stage: Stage) -> dict[str, Any]:
    [found] = [node for node in stage.deployment.nodes if node.executable == RUNNER]
    return dict(found.parameters)


def names(stage: Stage) -> list[str]:
    return [process.name for process in stage.deployment.processes]


def test_the_arm_is_what_is_shown_unless_somebody_says_otherwise() -> None:
    stage = staged()

    assert stage.robot.name == "so101_sim"
    assert stage.episodes == runner(stage)["episodes"] == 5
    assert "simulation" in names(stage)
    assert runner(stage)["seed"] == 3
    assert runner(stage)["film_camera"] in stage.robot.cameras


def test_the_humanoid_is_behind_its_bridges_and_on_this_machine_alone() -> None:
    stage = staged(robot="g1", episodes=2)

    assert stage.robot.name == "g1_inspire"
    assert {"unitree_stand_in", "unitree_bridge", "image_stream_bridge"} < set(names(stage))
    told = runner(stage)
    assert (told["source"], told["episodes"]) == ("unitree", 2)
    assert told["episode_timeout_s"] == stage.episode_s
    assert told["instruction"]
    [bridge] = [node for node in stage.deployment.nodes if node.executable == "unitree_bridge"]
    assert bridge.parameters["network_interface"] == "lo"
    assert bridge.parameters["domain"] == 1


def test_a_recording_is_played_once(tmp_path: Path) -> None:
    recording = tmp_path / "episode.npz"
    recording.touch()
    stage = staged(recording=recording)

    assert stage.robot.name == "gr1_recording"
    assert stage.episodes == 1
    assert runner(stage)["recording"] == str(recording)


def test_an_unknown_robot_is_refused() -> None:
    with pytest.raises(ConfigError, match="--robot must be one of so101, g1, found 'atlas'"):
        staged(robot="atlas")


def test_a_server_that_runs_already_is_asked() -> None:
    stage = staged(backend="gr00t_http", server="gpu.lab:8000")

    assert "policy_server" not in names(stage)
    [inference] = [node for node in stage.deployment.nodes if node.executable == "inference"]
    assert inference.parameters["backend"] == "gr00t_http"
    assert inference.parameters["backend.host"] == "gpu.lab"


@pytest.mark.parametrize("more", [{"robot": "g1"}, {"recording": Path("episode.npz")}])
def test_only_the_arm_can_be_told_of_a_server(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="go with --robot so101 alone"):
        staged(server="gpu.lab:8000", **more)
