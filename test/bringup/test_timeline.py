# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from test.bringup.logs import at, episode, robot
from vla_ros.bringup.timeline import draw_seam, draw_timeline
from vla_ros.core.episode_log import EpisodeLog


def picture(path: Path) -> np.ndarray:
    read = cv2.imread(str(path))
    assert read is not None
    return read


def share(image: np.ndarray, colour: str) -> float:
    """How much of a picture is of a colour."""
    bgr = [int(colour[place : place + 2], 16) for place in (5, 3, 1)]
    return float((np.abs(image.astype(int) - bgr) < 6).all(axis=2).mean())


def test_a_picture_shows_every_joint_holds_and_blending_windows(tmp_path: Path) -> None:
    draw_timeline(episode(robot()), robot(), tmp_path / "timeline.png")
    image = picture(tmp_path / "timeline.png")
    assert image.shape[0] > 1200
    # 0.12 of 6 s are holds, 11 seams have blending windows of 0.25 s, in most of the panels.
    assert 0.01 < share(image, "#f4b6b6") < 0.03
    assert 0.12 < share(image, "#d9ebf7") < 0.3


def test_the_seam_is_a_closer_look_at_the_worst_one(tmp_path: Path) -> None:
    assert draw_seam(episode(robot()), robot(), tmp_path / "seam.png", width_s=1.0)
    image = picture(tmp_path / "seam.png")
    assert 0.04 < share(image, "#f4b6b6") < 0.12  # starved for a tenth of the second shown


def test_a_robot_of_many_joints_shows_those_that_move_most(tmp_path: Path) -> None:
    spec = robot("gr1_recording")
    draw_timeline(episode(spec), spec, tmp_path / "timeline.png")
    assert picture(tmp_path / "timeline.png").shape[0] < 2500


def test_a_long_episode_gets_a_wider_picture(tmp_path: Path) -> None:
    log = episode(robot())
    widths = []
    for duration_s in (6.0, 25.0, 1000.0):
        log.facts["duration_s"] = duration_s
        draw_timeline(log, robot(), tmp_path / "timeline.png")
        widths.append(picture(tmp_path / "timeline.png").shape[1])
    assert widths == [1350, 2250, 3000]


def test_an_empty_log_still_gives_a_picture_but_none_of_a_seam(tmp_path: Path) -> None:
    draw_timeline(EpisodeLog(), robot(), tmp_path / "timeline.png")
    assert picture(tmp_path / "timeline.png").size
    assert not draw_seam(EpisodeLog(), robot(), tmp_path / "seam.png")
    assert not (tmp_path / "seam.png").exists()


@pytest.mark.parametrize("missing", ["measured.joints", "queue", "chunk", "request", "command"])
def test_any_series_may_be_missing(missing: str, tmp_path: Path) -> None:
    arrays = episode(robot()).to_arrays()
    del arrays[missing], arrays[missing + "_ns"]
    log = EpisodeLog.from_arrays(arrays)
    draw_timeline(log, robot(), tmp_path / "timeline.png")
    assert picture(tmp_path / "timeline.png").size


def test_an_episode_that_ends_with_its_only_chunk_can_be_drawn(tmp_path: Path) -> None:
    log = EpisodeLog()
    for tick in range(10):
        log.add("command", at(20 * tick), np.zeros(len(robot().command_names)))
    log.add("chunk", at(0), [0.04, 0.05, 0.14, 0.15, 0.16])
    assert draw_seam(log, robot(), tmp_path / "seam.png")
    assert picture(tmp_path / "seam.png").size
