# SPDX-License-Identifier: Apache-2.0
"""Where chunks were joined in an episode, and how the commands moved there. Pure; any thread.

Times count from the episode's beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import RobotSpec

Doubles = NDArray[np.float64]

_COMMANDED = 4
# What a seam does to the commands shows in this time; later accelerations are the plan's own.
_SEAM_S = 0.1
# Stamps of a chunk's first command and of its blending are the same, but for rounding.
_SAME_NS = 1000
# Two commands that are closer than this are the same tick's.
_LEAST_TICK_S = 1e-4


@dataclass(frozen=True, slots=True)
class Seam:
    """Where a chunk took over.

    Attributes:
        at_s: When its first command was sent.
        blend_s: How long its joining takes; 0: not known, or at once.
    """

    at_s: float
    blend_s: float


def seams(log: EpisodeLog, view: View) -> list[Seam]:
    """All seams of an episode, in order; of a part of it those that can be seen."""
    values = log.values("chunk")
    if not values.size:
        return []
    known = np.isfinite(values[:, _COMMANDED])
    offsets_ns = np.round(values[known, _COMMANDED] * 1e9).astype(np.int64)
    stamps_ns = np.sort(log.stamps("chunk")[known] + offsets_ns)
    found = [
        Seam(at_s, _blend_s(log, int(stamp_ns)))
        for at_s, stamp_ns in zip(view.seconds(stamps_ns), stamps_ns, strict=True)
    ]
    return [seam for seam in found if view.shows(seam.at_s, seam.at_s + seam.blend_s)]


def _blend_s(log: EpisodeLog, stamp_ns: int) -> float:
    same = np.abs(log.stamps("blend") - stamp_ns) <= _SAME_NS
    return float(log.values("blend")[same][-1, 0]) if same.any() else 0.0


@dataclass(frozen=True, slots=True)
class Course:
    """How commands moved.

    Attributes:
        velocity_s: (N - 1,) When the velocities are of: in the middle between two commands.
        velocity: (N - 1, D) From one command to the next [1/s].
        acceleration_s: (N - 2,) When the accelerations are of: at a command.
        acceleration: (N - 2, D) From one velocity to the next [1/s^2].
    """

    velocity_s: Doubles
    velocity: Doubles
    acceleration_s: Doubles
    acceleration: Doubles


def course(times_s: Doubles, commands: Doubles) -> Course | None:
    """How commands moved; None: there are fewer than three.

    >>> moved = course(np.array([0.0, 1.0, 2.0]), np.array([[0.0], [1.0], [4.0]]))
    >>> moved.velocity[:, 0], moved.acceleration[:, 0]
    (array([1., 3.]), array([2.]))

    Args:
        times_s: (N,) When they were sent.
        commands: (N, D) The commands.
    """
    later = np.diff(times_s, prepend=-np.inf) > _LEAST_TICK_S
    times_s, commands = times_s[later], commands[later]
    if len(times_s) < 3:
        return None
    velocity = np.diff(commands, axis=0) / np.diff(times_s)[:, None]
    middle_s = 0.5 * (times_s[1:] + times_s[:-1])
    acceleration = np.diff(velocity, axis=0) / np.diff(middle_s)[:, None]
    return Course(middle_s, velocity, times_s[1:-1], acceleration)


@dataclass(frozen=True, slots=True)
class WorstSeam:
    """The seam with the greatest acceleration, as a share of the joint's limit.

    Attributes:
        seam: The seam.
        interface: Whose acceleration it is.
        at_s: When.
        acceleration: How much [1/s^2].
        share: Of the limit.
    """

    seam: Seam
    interface: str
    at_s: float
    acceleration: float
    share: float


def worst_seam(log: EpisodeLog, robot: RobotSpec, view: View) -> WorstSeam | None:
    """The worst seam; None: there is none, or nothing was commanded there.

    Switched interfaces do not count: they jump wherever the policy wants them to.
    """
    times_s = view.seconds(log.stamps("command"))
    moved = course(times_s, log.values("command"))
    if moved is None:
        return None
    tick_s = float(np.median(np.diff(times_s)))
    limits = robot.limit_array("max_acceleration")
    shares = np.where(robot.switched, 0.0, np.abs(moved.acceleration) / limits)
    worst: WorstSeam | None = None
    for seam in seams(log, view):
        # The acceleration at the command before tells of the first one after, too.
        since_s = moved.acceleration_s - seam.at_s
        near = np.flatnonzero((since_s > -1.5 * tick_s) & (since_s < _SEAM_S))
        if not near.size:
            continue
        row, column = np.unravel_index(np.argmax(shares[near]), shares[near].shape)
        share = float(shares[near[row], column])
        if worst is None or share > worst.share:
            worst = WorstSeam(
                seam=seam,
                interface=robot.command_names[column],
                at_s=float(moved.acceleration_s[near[row]]),
                acceleration=float(moved.acceleration[near[row], column]),
                share=share,
            )
    return worst
