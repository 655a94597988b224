# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vla_ros.bringup.timeline import draw_timeline
from vla_ros.core.config_files import config_file
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import load_robot_spec

MS = 1_000_000


def drawn(robot_name: str, path: Path, *, filled: bool) -> np.ndarray:
    robot = load_robot_spec(config_file("robots", robot_name))
    log = EpisodeLog({"seed": 1, "begun_ns": 0, "instruction": "do it", "success": True})
    for tick in range(100 if filled else 0):
        wave = np.sin(0.05 * tick + np.arange(len(robot.command_names)))
        log.add("command", tick * 20 * MS, wave)
        for name, stream in robot.state_streams.items():
            log.add(f"measured.{name}", tick * 20 * MS, np.zeros(len(stream.interfaces)))
        log.add("queue", tick * 20 * MS, [10 - tick % 10, 0.3, float(30 < tick < 60)])
    if filled:
        log.add("chunk", 100 * MS, [0.0, 0.01, 0.1, 0.11, 0.12])
    draw_timeline(log, robot, path)
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def test_a_picture_shows_every_joint_and_shades_holds(tmp_path: Path) -> None:
    picture = drawn("so101_sim", tmp_path / "timeline.png", filled=True)
    assert picture.shape[0] > 900
    shaded = (np.abs(picture.astype(int) - (0xB6, 0xB6, 0xF4)) < 6).all(axis=2)
    assert shaded.mean() > 0.05


def test_a_robot_of_many_joints_shows_those_that_move_most(tmp_path: Path) -> None:
    assert drawn("gr1_recording", tmp_path / "timeline.png", filled=True).shape[0] < 2500


def test_an_empty_log_still_gives_a_picture(tmp_path: Path) -> None:
    assert drawn("so101_sim", tmp_path / "timeline.png", filled=False).size
