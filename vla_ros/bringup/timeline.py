# SPDX-License-Identifier: Apache-2.0
"""Pictures of an episode, for whoever looks for the reason of a stutter. One thread.

On one axis of time: what became of each request, the queue, each joint's command and measured
position, and the motion of the joint that was worst at the seams. They are drawn from a plain
``EpisodeLog``; its module has the series, of which each may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vla_ros.bringup import panels, waterfall
from vla_ros.bringup.seams import WorstSeam, seams, worst_seam
from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import RobotSpec

# More joints than this make the picture unreadable; those that move most are shown.
_MOST_JOINTS = 12
_SEAM_WIDTH_S = 3.0
# Width of a picture: so much for each second, within bounds.
_SECOND_IN, _LEAST_IN, _MOST_IN = 0.9, 13.5, 30.0
# Heights: of a request, within bounds, and of the other panels.
_REQUEST_IN, _LEAST_REQUESTS_IN, _MOST_REQUESTS_IN = 0.2, 1.5, 8.0
_QUEUE_IN, _JOINT_IN, _MOTION_IN = 1.5, 1.05, 1.5
# Margins.
_LEFT_IN, _RIGHT_IN, _ABOVE_IN, _BELOW_IN = 1.0, 0.2, 1.2, 0.5


def draw_timeline(log: EpisodeLog, robot: RobotSpec, path: Path) -> None:
    """Draw a whole episode.

    Args:
        log: The episode.
        robot: Whose interfaces these are.
        path: The PNG file to write.
    """
    whole = View.of(log)
    worst = worst_seam(log, robot, whole)
    _draw(log, robot, path, whole, worst)


def draw_seam(
    log: EpisodeLog, robot: RobotSpec, path: Path, *, width_s: float = _SEAM_WIDTH_S
) -> bool:
    """Draw the time around the worst seam of an episode.

    Args:
        log: The episode.
        robot: Whose interfaces these are.
        path: The PNG file to write.
        width_s: How much time to show.

    Returns:
        Whether there was a seam; if not, no file is written.
    """
    whole = View.of(log)
    worst = worst_seam(log, robot, whole)
    if worst is not None:
        _draw(log, robot, path, whole.around(worst.seam.at_s, width_s), worst)
    return worst is not None


def _draw(
    log: EpisodeLog, robot: RobotSpec, path: Path, view: View, worst: WorstSeam | None
) -> None:
    shown, requests = _shown(log, robot), waterfall.rows(log, view)
    requests_in = min(max(len(requests) * _REQUEST_IN, _LEAST_REQUESTS_IN), _MOST_REQUESTS_IN)
    heights = [requests_in, _QUEUE_IN, *[_JOINT_IN] * len(shown)]
    heights += [_MOTION_IN] * 2 if worst is not None else []
    width_in = min(max(view.width_s * _SECOND_IN, _LEAST_IN), _MOST_IN)
    figure = Figure(figsize=(width_in, sum(heights) + _ABOVE_IN + _BELOW_IN))
    axes = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    rows: list[Axes] = list(axes[:, 0])
    waterfall.draw_waterfall(rows[0], requests, view)
    panels.draw_queue(rows[1], log, view)
    for axis, name in zip(rows[2:], shown, strict=False):
        panels.draw_interface(axis, log, robot, name, view)
    if worst is not None:
        panels.draw_motion((rows[-2], rows[-1]), log, robot, worst, view)
    joined = seams(log, view)
    blended = [False, False, *(robot.limits[name].joining == "continuous" for name in shown)]
    blended += [True] * (len(rows) - len(blended))
    for axis, blends in zip(rows, blended, strict=True):
        panels.shade(axis, log, view, joined, worst, blends=blends)
        axis.tick_params(labelsize=8)
        axis.yaxis.label.set_fontsize(8.5)
    rows[-1].set_xlabel("time [s]")
    figure.align_ylabels(rows)
    _head(figure, log, worst)
    figure.savefig(path, dpi=100)


def _shown(log: EpisodeLog, robot: RobotSpec) -> list[str]:
    names = list(robot.command_names)
    commands = log.values("command")
    if len(names) <= _MOST_JOINTS or not commands.size:
        return names[:_MOST_JOINTS]
    busiest = np.argsort(-np.ptp(commands, axis=0))[:_MOST_JOINTS]
    return [names[index] for index in sorted(busiest)]


def _head(figure: Figure, log: EpisodeLog, worst: WorstSeam | None) -> None:
    """Title, figures and legend, above the panels, where they hide nothing."""
    width_in, height_in = figure.get_size_inches()
    left = _LEFT_IN / width_in
    figure.subplots_adjust(
        left=left,
        right=1.0 - _RIGHT_IN / width_in,
        top=1.0 - _ABOVE_IN / height_in,
        bottom=_BELOW_IN / height_in,
        hspace=0.16,
    )
    figure.text(left, 1.0 - 0.3 / height_in, _title(log), fontsize=13, weight="bold")
    figure.text(left, 1.0 - 0.52 / height_in, _figures(log, worst), fontsize=9)
    figure.legend(
        handles=[*waterfall.legend_entries(), *panels.legend_entries()],
        loc="upper left",
        bbox_to_anchor=(left - 0.1 / width_in, 1.0 - 0.56 / height_in),
        ncols=7,
        fontsize=8,
        frameon=False,
    )


def _title(log: EpisodeLog) -> str:
    words = [str(log.facts.get("instruction") or "episode")]
    if "seed" in log.facts:
        words.append(f"(seed {log.facts['seed']})")
    success = log.facts.get("success")
    if success is not None:
        words.append("- success" if success else "- no success")
    return " ".join(words)


def _figures(log: EpisodeLog, worst: WorstSeam | None) -> str:
    counted = log.facts.get("counters", {})
    told = {"ticks": "ticks", "starved_ticks": "starved", "observations_requested": "requests"}
    words = [f"{counted[name]} {word}" for name, word in told.items() if name in counted]
    words.append(f"{len(log.stamps('chunk'))} chunks")
    if worst is not None:
        joint = worst.interface.rpartition("/")[0]
        words.append(
            f"worst seam at {worst.seam.at_s:.2f} s: {joint} {worst.acceleration:+.1f} /s²,"
            f" {worst.share:.0%} of its limit"
        )
    return "   ".join(words)
