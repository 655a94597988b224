# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.bringup.logs import STEP_RAD, WORST, at, episode, robot
from vla_ros.bringup.seams import course, seams, worst_seam
from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog


def test_a_seam_is_where_a_chunk_is_first_commanded() -> None:
    log = episode(robot())
    found = seams(log, View.of(log))
    assert len(found) == 11
    assert [seam.at_s for seam in found[:3]] == pytest.approx([0.52, 0.92, 2.12])
    assert {seam.blend_s for seam in found} == {0.25}
    assert len(seams(log, View.of(log).around(2.2, 1.0))) == 2


def test_a_chunk_that_was_never_commanded_is_no_seam_and_a_blend_may_be_missing() -> None:
    log = EpisodeLog({"begun_ns": at(0), "duration_s": 1.0})
    log.add("chunk", at(100), [0.01, 0.02, 0.1, 0.11, np.nan])
    log.add("chunk", at(500), [0.01, 0.02, 0.1, 0.11, 0.12])
    found = seams(log, View.of(log))
    assert [seam.blend_s for seam in found] == [0.0]
    assert seams(EpisodeLog(), View.of(log)) == []


def test_a_course_has_exact_differences() -> None:
    times_s = np.array([0.0, 0.1, 0.3, 0.4, 0.40001])
    moved = course(times_s, np.array([[0.0], [1.0], [1.0], [3.0], [3.0]]))
    assert moved is not None
    assert moved.velocity_s == pytest.approx([0.05, 0.2, 0.35])
    assert moved.velocity[:, 0] == pytest.approx([10.0, 0.0, 20.0])
    assert moved.acceleration_s == pytest.approx([0.1, 0.3])
    assert moved.acceleration[:, 0] == pytest.approx([-10.0 / 0.15, 20.0 / 0.15])
    assert course(times_s[:2], np.zeros((2, 1))) is None


def test_the_worst_seam_is_the_one_where_a_joint_jumps() -> None:
    spec = robot()
    log = episode(spec)
    worst = worst_seam(log, spec, View.of(log))
    assert worst is not None
    assert worst.interface == spec.command_names[WORST]
    assert worst.seam.at_s == pytest.approx(2.12)
    assert worst.at_s == pytest.approx(2.12, abs=0.021)
    assert abs(worst.acceleration) == pytest.approx(STEP_RAD / 0.02**2, rel=1e-3)
    limit = spec.limits[worst.interface].max_acceleration
    assert worst.share == pytest.approx(abs(worst.acceleration) / limit)


def test_a_jump_between_seams_and_one_of_a_switched_interface_do_not_count() -> None:
    spec = robot()
    log = episode(spec, jump_rad=0.0)
    calm = worst_seam(log, spec, View.of(log))
    assert calm is not None
    assert calm.share < 0.05
    other = EpisodeLog()
    other.add("chunk", at(100), [0.01, 0.02, 0.1, 0.11, 0.12])
    for tick in range(60):
        pose = np.zeros(len(spec.command_names))
        pose[spec.switched] = float(tick >= 11)
        pose[WORST] = float(tick >= 40)
        other.add("command", at(20 * tick), pose)
    calm = worst_seam(other, spec, View.of(other))
    assert calm is not None
    assert calm.share == 0.0


def test_without_chunks_or_commands_there_is_no_worst_seam() -> None:
    spec = robot()
    log = EpisodeLog()
    assert worst_seam(log, spec, View.of(log)) is None
    for tick in range(5):
        log.add("command", at(20 * tick), np.zeros(len(spec.command_names)))
    assert worst_seam(log, spec, View.of(log)) is None
    log.add("chunk", at(5000), [0.01, 0.02, 0.1, 0.11, 0.12])
    assert worst_seam(log, spec, View.of(log)) is None
