# SPDX-License-Identifier: Apache-2.0
"""The panels of an episode's picture below its requests: queue, joints, motion, and their marks.

One thread.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from vla_ros.bringup.seams import Seam, WorstSeam, course
from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import RobotSpec

# Colours of Okabe and Ito, and light ones behind.
_COMMAND = "#0072b2"
_MEASURED = "#e69f00"
_LIMIT = "#d55e00"
_SEAM = "#555555"
HOLD_COLOUR = "#f4b6b6"
_BLEND_COLOUR = "#d9ebf7"
# Times of holds that follow each other touch, but for rounding.
_SAME_S = 1e-3
# Two labels of holds are at least this share of the picture's width apart.
_APART = 0.02
# A label along the axis needs this share of the width for each letter.
_LETTER = 0.008
# A limit that is this many times beyond the curve is told in words, so that the curve is seen.
_FAR = 3.0
# As many letters stand one above the other beside a panel.
_LETTERS_HIGH = 18


def holds(log: EpisodeLog, view: View) -> list[tuple[float, float, str]]:
    """Beginning, end and reason of all holds that can be seen, in order, neighbours made one."""
    found: list[tuple[float, float, str]] = []
    for reason in log.kinds("hold"):
        times_s, values = view.samples(log, f"hold.{reason}")
        for end_s, (length_s, _) in zip(times_s.tolist(), values.tolist(), strict=True):
            begin_s = end_s - length_s
            touches = found and found[-1][2] == reason and begin_s - found[-1][1] < _SAME_S
            found.append((found.pop()[0] if touches else begin_s, end_s, reason))
    return sorted(found)


def shade(
    axis: Axes,
    log: EpisodeLog,
    view: View,
    seams: Sequence[Seam],
    worst: WorstSeam | None,
    *,
    blends: bool,
) -> None:
    """Mark holds, seams and blending windows behind a panel's curves."""
    for begin_s, end_s, _ in holds(log, view):
        # The edge shows where one reason ends and another begins.
        axis.axvspan(begin_s, end_s, facecolor=HOLD_COLOUR, edgecolor="white", lw=0.8, zorder=0.1)
    for seam in seams:
        if blends:
            axis.axvspan(seam.at_s, seam.at_s + seam.blend_s, color=_BLEND_COLOUR, lw=0, zorder=0.0)
        is_worst = worst is not None and seam.at_s == worst.seam.at_s
        axis.axvline(
            seam.at_s,
            color=_LIMIT if is_worst else _SEAM,
            lw=1.4 if is_worst else 0.7,
            ls="-" if is_worst else (0, (2, 2)),
            zorder=0.2,
        )
    axis.set_xlim(view.begin_s, view.end_s)
    axis.grid(visible=True, alpha=0.25)


def draw_queue(axis: Axes, log: EpisodeLog, view: View) -> None:
    """How many steps were left, when the executor asks, and why it held."""
    times_s, queue = view.samples(log, "queue")
    if queue.size:
        axis.plot(times_s, queue[:, 0], ".-", lw=1.2, ms=3.0, color=_COMMAND)
    times_s, threshold = view.samples(log, "threshold")
    if threshold.size:
        axis.step(times_s, threshold[:, 0], where="post", lw=1.1, ls="--", color=_LIMIT)
    axis.set_ylim(bottom=0.0)
    axis.set_ylabel("queue\n[steps]")
    _label_holds(axis, holds(log, view), view)


def _label_holds(axis: Axes, held: Sequence[tuple[float, float, str]], view: View) -> None:
    """Say why it held, of holds that are too near to each other for the longest alone."""
    labelled: list[float] = []
    for begin_s, end_s, reason in sorted(held, key=lambda hold: hold[0] - hold[1]):
        middle_s = 0.5 * (max(begin_s, view.begin_s) + min(end_s, view.end_s))
        near = any(abs(middle_s - other_s) < _APART * view.width_s for other_s in labelled)
        if near or not view.begin_s <= middle_s <= view.end_s:
            continue
        labelled.append(middle_s)
        wide = end_s - begin_s > _LETTER * len(reason) * view.width_s
        axis.text(
            middle_s,
            0.92,
            reason.replace("_", " "),
            transform=axis.get_xaxis_transform(),
            rotation=0 if wide else 90,
            ha="center",
            va="top",
            fontsize=7.5,
            bbox={"facecolor": HOLD_COLOUR, "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
        )


def draw_interface(axis: Axes, log: EpisodeLog, robot: RobotSpec, name: str, view: View) -> None:
    """What was measured and what was commanded of one interface."""
    for stream, spec in robot.state_streams.items():
        times_s, measured = view.samples(log, f"measured.{stream}")
        if name in spec.interfaces and measured.size:
            axis.plot(times_s, measured[:, spec.interfaces.index(name)], lw=1.6, color=_MEASURED)
    times_s, commands = view.samples(log, "command")
    if commands.size:
        column = robot.command_names.index(name)
        axis.plot(times_s, commands[:, column], lw=1.1, color=_COMMAND)
    kind = "\n(switched)" if robot.limits[name].joining == "switched" else ""
    axis.set_ylabel(_folded(name) + kind)


def _folded(interface: str) -> str:
    """A joint's name in lines as long as a panel is high."""
    words = interface.rpartition("/")[0].replace("_", "_ ")
    return "\n".join(line.replace("_ ", "_") for line in textwrap.wrap(words, _LETTERS_HIGH))


def draw_motion(
    axes: tuple[Axes, Axes], log: EpisodeLog, robot: RobotSpec, worst: WorstSeam, view: View
) -> None:
    """Velocity and acceleration of the commands of the joint that is worst at the seams."""
    joint = _folded(worst.interface)
    limits = robot.limits[worst.interface]
    axes[0].set_ylabel(f"{joint}\nvelocity\n[1/s]")
    axes[1].set_ylabel(f"{joint}\nacceleration\n[1/s²]")
    times_s, commands = view.samples(log, "command")
    column = robot.command_names.index(worst.interface)
    moved = course(times_s, commands[:, [column]] if commands.size else np.zeros((0, 1)))
    if moved is None:
        return
    _curve(axes[0], moved.velocity_s, moved.velocity[:, 0], limits.max_velocity)
    _curve(axes[1], moved.acceleration_s, moved.acceleration[:, 0], limits.max_acceleration)
    if view.begin_s <= worst.at_s <= view.end_s:
        axes[1].plot([worst.at_s], [worst.acceleration], "o", ms=8, mfc="none", mec=_LIMIT, mew=1.6)


def _curve(
    axis: Axes, times_s: NDArray[np.float64], values: NDArray[np.float64], limit: float
) -> None:
    axis.plot(times_s, values, lw=1.1, color=_COMMAND)
    peak = float(np.abs(values).max())
    reach = limit if limit <= _FAR * peak or peak == 0.0 else _FAR * 0.5 * peak
    axis.set_ylim(-1.2 * max(reach, peak), 1.2 * max(reach, peak))
    for bound in (-limit, limit):
        axis.axhline(bound, color=_LIMIT, lw=1.1, ls="--")
    if reach < limit:
        text = f"limit ±{limit:g}: beyond the picture"
        axis.text(0.995, 0.94, text, transform=axis.transAxes, ha="right", va="top", fontsize=7.5)


def legend_entries() -> list[Artist]:
    """What the panels' colours mean."""
    return [
        Line2D([], [], color=_COMMAND, lw=1.4, label="command, queue"),
        Line2D([], [], color=_MEASURED, lw=1.8, label="measured"),
        Line2D([], [], color=_LIMIT, lw=1.1, ls="--", label="limit; queue: asks below"),
        Line2D([], [], color=_SEAM, lw=0.8, ls=(0, (2, 2)), label="seam"),
        Line2D([], [], color=_LIMIT, lw=1.4, label="worst seam"),
        Patch(color=_BLEND_COLOUR, label="blending"),
        Patch(color=HOLD_COLOUR, label="hold, and why"),
    ]
