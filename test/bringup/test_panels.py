# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from test.bringup.logs import WORST, at, episode, robot
from vla_ros.bringup import panels
from vla_ros.bringup.seams import WorstSeam, seams, worst_seam
from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog

ROBOT = robot()
LOG = episode(ROBOT)
VIEW = View.of(LOG)


def one() -> Axes:
    axis: Axes = Figure().subplots()
    return axis


def worst() -> WorstSeam:
    found = worst_seam(LOG, ROBOT, VIEW)
    assert found is not None
    return found


def test_holds_that_follow_each_other_are_one() -> None:
    (starved, stale) = panels.holds(LOG, VIEW)
    assert starved[:2] == pytest.approx((1.6, 1.7))
    assert stale[:2] == pytest.approx((3.0, 3.02))
    assert (starved[2], stale[2]) == ("starved", "stale_camera")


def test_holds_seams_and_blending_windows_are_shaded() -> None:
    joined = seams(LOG, VIEW)
    with_blends, without = one(), one()
    panels.shade(with_blends, LOG, VIEW, joined, worst(), blends=True)
    panels.shade(without, LOG, VIEW, joined, None, blends=False)
    assert len(with_blends.patches) == 2 + len(joined)
    assert len(without.patches) == 2
    blend = with_blends.patches[2]
    assert (blend.get_x(), blend.get_width()) == pytest.approx((0.52, 0.25))
    bold = [line for line in with_blends.lines if line.get_linewidth() > 1.0]
    assert [line.get_xdata()[0] for line in bold] == pytest.approx([2.12])
    assert len(without.lines) == len(joined)
    assert without.get_xlim() == (0.0, 6.0)


def test_the_queue_has_its_threshold_and_the_reasons_of_holds() -> None:
    axis = one()
    panels.draw_queue(axis, LOG, VIEW)
    queue, threshold = axis.lines
    assert queue.get_ydata()[:3].tolist() == [20.0, 19.0, 18.0]
    assert set(threshold.get_ydata()) == {12.0}
    assert [text.get_text() for text in axis.texts] == ["starved", "stale camera"]


def test_labels_of_holds_keep_apart_and_the_longest_has_its_own() -> None:
    log = EpisodeLog({"begun_ns": at(0), "duration_s": 1.0})
    for index in range(50):
        log.add(f"hold.{'starved' if index % 2 else 'waiting'}", at(20 * index), [0.02, 1])
    log.add("hold.paused", at(513), [0.025, 1])
    axis = one()
    panels.draw_queue(axis, log, View.of(log))
    places = sorted(text.get_position()[0] for text in axis.texts)
    assert len(places) > 10
    assert np.diff(places).min() >= 0.0199
    assert "paused" in [text.get_text() for text in axis.texts]


def test_command_and_measured_position_of_an_interface_are_drawn() -> None:
    axis, hand = one(), one()
    name = ROBOT.command_names[WORST]
    panels.draw_interface(axis, LOG, ROBOT, name, VIEW)
    measured, command = axis.lines
    assert set(measured.get_ydata()) == {0.0}
    assert command.get_ydata()[-1] == pytest.approx(0.004)
    assert axis.get_ylabel() == name.rpartition("/")[0]
    switched = ROBOT.command_names[int(np.flatnonzero(ROBOT.switched)[0])]
    panels.draw_interface(hand, LOG, ROBOT, switched, VIEW)
    assert hand.get_ylabel().endswith("(switched)")


def test_a_long_name_is_folded_where_its_words_end() -> None:
    name = "right_shoulder_pitch_joint/position"
    limits = dataclasses.replace(ROBOT.limits[ROBOT.command_names[WORST]], joining="continuous")
    robot = dataclasses.replace(ROBOT, limits={name: limits})
    axis = one()
    panels.draw_interface(axis, EpisodeLog(dict(LOG.facts)), robot, name, VIEW)
    assert axis.get_ylabel().split("\n") == ["right_shoulder_", "pitch_joint"]


def test_the_motion_has_its_limits_and_the_worst_moment() -> None:
    velocity, acceleration = Figure().subplots(2)
    panels.draw_motion((velocity, acceleration), LOG, ROBOT, worst(), VIEW)
    limits = ROBOT.limits[ROBOT.command_names[WORST]]
    bounds = [line.get_ydata()[0] for line in acceleration.lines[1:3]]
    assert bounds == [-limits.max_acceleration, limits.max_acceleration]
    assert acceleration.get_ylim()[1] > limits.max_acceleration
    assert acceleration.lines[3].get_ydata()[0] == pytest.approx(worst().acceleration)
    # A velocity far below its limit is not flattened by it.
    assert velocity.get_ylim()[1] < limits.max_velocity
    assert "limit" in velocity.texts[0].get_text()


def test_the_motion_of_a_part_with_no_command_is_empty() -> None:
    velocity, acceleration = Figure().subplots(2)
    panels.draw_motion((velocity, acceleration), EpisodeLog(), ROBOT, worst(), VIEW)
    assert not velocity.lines
    assert not acceleration.lines
    assert len(panels.legend_entries()) == 7
