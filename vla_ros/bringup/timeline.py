# SPDX-License-Identifier: Apache-2.0
"""A picture of an episode: queue, chunk arrivals, command and measured pose, holds. One thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import RobotSpec

# More joints than this make the picture unreadable; those that move most are shown.
_MOST_JOINTS = 12
_HOLD_COLOUR = "#f4b6b6"


def draw_timeline(log: EpisodeLog, robot: RobotSpec, path: Path) -> None:
    """Draw one episode.

    Args:
        log: The episode.
        robot: Whose interfaces these are.
        path: The PNG file to write.
    """
    origin_ns = int(log.facts["begun_ns"])
    shown = _shown(log, robot)
    figure = Figure(figsize=(12.0, 2.2 + 1.5 * len(shown)))
    axes = figure.subplots(len(shown) + 1, 1, sharex=True, squeeze=False)
    rows: list[Axes] = list(axes[:, 0])
    _draw_queue(rows[0], log, origin_ns)
    for axis, name in zip(rows[1:], shown, strict=True):
        _draw_interface(axis, log, robot, name, origin_ns)
    for axis in rows:
        _shade_holds(axis, log, origin_ns)
        axis.grid(visible=True, alpha=0.3)
    # One legend for the queue and one for all joints, beside the pictures, where they hide nothing.
    for axis in rows[:2]:
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), fontsize=7, ncols=2)
    rows[-1].set_xlabel("time [s]")
    success = log.facts.get("success")
    verdict = "" if success is None else (" - success" if success else " - no success")
    figure.suptitle(f"{log.facts.get('instruction', '')} (seed {log.facts['seed']}){verdict}")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def _seconds(stamps: NDArray[np.int64], origin_ns: int) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = (stamps - origin_ns).astype(np.float64) * 1e-9
    return seconds


def _shown(log: EpisodeLog, robot: RobotSpec) -> list[str]:
    names = list(robot.command_names)
    commands = log.values("command")
    if len(names) <= _MOST_JOINTS or not commands.size:
        return names[:_MOST_JOINTS]
    busiest = np.argsort(-np.ptp(commands, axis=0))[:_MOST_JOINTS]
    return [names[index] for index in sorted(busiest)]


def _draw_queue(axis: Axes, log: EpisodeLog, origin_ns: int) -> None:
    queue = log.values("queue")
    if queue.size:
        axis.step(_seconds(log.stamps("queue"), origin_ns), queue[:, 0], where="post", lw=1.2)
    chunks = log.values("chunk")
    if chunks.size:
        joined = _seconds(log.stamps("chunk"), origin_ns) + chunks[:, 3]
        axis.plot(
            joined, np.zeros_like(joined), "|", ms=14, color="tab:green", label="chunk in effect"
        )
        asked = _seconds(log.stamps("chunk"), origin_ns) + chunks[:, 0]
        axis.plot(asked, np.zeros_like(asked), "|", ms=8, color="tab:orange", label="requested")
    axis.set_ylabel("queue [steps]", fontsize=8)


def _draw_interface(
    axis: Axes, log: EpisodeLog, robot: RobotSpec, name: str, origin_ns: int
) -> None:
    for stream, spec in robot.state_streams.items():
        measured = log.values(f"measured.{stream}")
        if name in spec.interfaces and measured.size:
            stamps = log.stamps(f"measured.{stream}")
            column = spec.interfaces.index(name)
            axis.plot(_seconds(stamps, origin_ns), measured[:, column], lw=1.0, label="measured")
    commands = log.values("command")
    if commands.size:
        column = robot.command_names.index(name)
        stamps = log.stamps("command")
        axis.plot(_seconds(stamps, origin_ns), commands[:, column], lw=1.0, label="command")
    axis.set_ylabel(name.replace("/", "\n"), fontsize=8)


def _shade_holds(axis: Axes, log: EpisodeLog, origin_ns: int) -> None:
    queue = log.values("queue")
    times = _seconds(log.stamps("queue"), origin_ns)
    for index in range(len(times) - 1):
        if queue[index, 2]:
            axis.axvspan(times[index], times[index + 1], color=_HOLD_COLOUR, lw=0, zorder=0)
