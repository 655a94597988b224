# SPDX-License-Identifier: Apache-2.0
"""What is measured of a run, from its ticks. Radians, seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan, nan

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.executor_status import Hold, Move
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.sim.episode import Tick

Doubles = NDArray[np.float64]

# A command that moves less than this in a tick is at rest [rad].
_REST_RAD = 1e-5


@dataclass(frozen=True, slots=True)
class Smoothness:
    """How a command moves.

    Attributes:
        largest_step: Between two ticks [rad].
        largest_seam_step: The same within the ticks in which a new chunk's first command goes out,
            and the next one.
        largest_seam_jump: By how much a step at a seam differs from the step before it [rad].
        rms_acceleration: Of the joint that has most [rad/s^2].
        rms_jerk: The same [rad/s^3].
        p999_acceleration: 99.9th percentile of its size over all joints [rad/s^2].
    """

    largest_step: float
    largest_seam_step: float
    largest_seam_jump: float
    rms_acceleration: float
    rms_jerk: float
    p999_acceleration: float


def smoothness(commands: Doubles, seams: NDArray[np.bool_], dt_s: float) -> Smoothness:
    """Of commands on an even grid.

    Args:
        commands: (T, D) Continuous joints alone.
        seams: (T,) Whether a new chunk's first command is this one.
        dt_s: Time between two.
    """
    steps = np.abs(np.diff(commands, axis=0)).max(axis=1)
    at_seams = seams[1:] | seams[:-1]
    jumps = np.abs(np.diff(commands, n=2, axis=0)).max(axis=1)[at_seams[1:]]
    acceleration = np.diff(commands, n=2, axis=0) / dt_s**2
    jerk = np.diff(commands, n=3, axis=0) / dt_s**3
    return Smoothness(
        largest_step=float(steps.max()),
        largest_seam_step=float(steps[at_seams].max()) if at_seams.any() else 0.0,
        largest_seam_jump=float(jumps.max()) if len(jumps) else 0.0,
        rms_acceleration=float(np.sqrt(np.mean(acceleration**2, axis=0)).max()),
        rms_jerk=float(np.sqrt(np.mean(jerk**2, axis=0)).max()),
        p999_acceleration=float(np.percentile(np.abs(acceleration), 99.9)),
    )


@dataclass(slots=True)
class TickLog:
    """Keeps the ticks of an episode.

    Attributes:
        robot: Whose commands these are.
        moved_in_flight: Ticks in which the command moved while an answer was under way.
    """

    robot: RobotSpec
    moved_in_flight: int = 0
    commands: list[Doubles] = field(default_factory=list)
    measured: list[Doubles] = field(default_factory=list)
    seams: list[bool] = field(default_factory=list)
    starved: list[bool] = field(default_factory=list)
    chunks: list[float] = field(default_factory=list)

    def watch(self, tick: Tick) -> None:
        """Keep a tick."""
        positions = tick.command.positions
        if positions is None:
            return
        if tick.in_flight and self.commands and isinstance(tick.command, Move):
            step = np.abs(positions - self.commands[-1])
            self.moved_in_flight += bool(step.max() > _REST_RAD)
        self.commands.append(positions)
        self.measured.append(tick.measured)
        self.seams.append(bool(tick.joined))
        self.starved.append(isinstance(tick.command, Hold) and tick.command.reason == "starved")
        self.chunks.extend((tick.now_ns - chunk.stamp_ns) * 1e-9 for chunk in tick.joined)

    def smoothness(self, dt_s: float) -> Smoothness:
        """Of the continuous joints' commands."""
        arm = ~self.robot.switched
        return smoothness(np.array(self.commands)[:, arm], np.array(self.seams), dt_s)

    def tracking_error(self) -> float:
        """How far the arm was from its command at most [rad]."""
        arm = ~self.robot.switched
        apart = np.abs(np.array(self.commands) - np.array(self.measured))
        return float(apart[:, arm].max())


def fewest_observations(duration_s: float, chunk_s: float, ages_s: list[float]) -> float:
    """How many observations a run needs at least.

    Each chunk serves from its arrival to its end, so that the next one must arrive by then.

    Args:
        duration_s: How long the run was.
        chunk_s: How long a chunk's actions last.
        ages_s: How old each chunk's observation was when the chunk came.
    """
    age_s = float(np.median(ages_s)) if ages_s else nan
    serves_s = chunk_s - age_s
    return duration_s / serves_s if not isnan(serves_s) and serves_s > 0.0 else nan
