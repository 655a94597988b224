# SPDX-License-Identifier: Apache-2.0
"""Were commands within a robot's limits? Judged from outside, by what was sent and when.

A command carries no stamp. It was sent a little after the tick that it was computed for, so a step
may have had that much more or less time than lies between the moments of sending. A command that no
times within this tolerance can excuse is a breach. Pure; any thread.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.robot_spec import RobotSpec

Doubles = NDArray[np.float64]
Moments = NDArray[np.int64]

# After a later tick the executor takes the robot for one at rest, and moves on from there.
STALL_S = 0.1
# No tick that moves is later, so no step is longer.
LONGEST_STEP_S = STALL_S * 1.01
# Rounding, not moving [rad or m].
_ROUNDING = 1e-9
# The first command starts from the measured pose, which is up to its max_age_s old [rad or m].
_FIRST = 0.05


@dataclass(frozen=True, slots=True)
class Pause:
    """A time in which the executor is stopped, inactive or dead.

    Attributes:
        quiet_ns: From now on nothing may move; None: it is not known when it came to rest.
        until_ns: From now on it may move again, beginning where the robot is.
        why: What was done.
    """

    quiet_ns: int | None
    until_ns: int
    why: str


@dataclass(frozen=True, slots=True)
class Margins:
    """How near the limits were approached.

    Attributes:
        position: Least distance to a position limit; negative: beyond [rad or m].
        velocity: Greatest share of a velocity limit.
        acceleration: Greatest share of an acceleration limit.
        velocity_as_sent: The same, with the times of sending taken for the ticks'.
        acceleration_as_sent: Likewise.
        largest_step_s: Between two commands, as the time that it takes at the greatest velocity.
    """

    position: float
    velocity: float
    acceleration: float
    velocity_as_sent: float
    acceleration_as_sent: float
    largest_step_s: float


class CommandCheck:
    """Judges commands.

    Attributes:
        breaches: When something was wrong, and what.
    """

    def __init__(
        self, robot: RobotSpec, sent_ns: Moments, commands: Doubles, *, late_s: Doubles | float
    ) -> None:
        """Take what was commanded.

        Args:
            robot: Whose limits count.
            sent_ns: (N,) When each command was sent.
            commands: (N, D) The commands, in ``command_names`` order.
            late_s: (N,) How long after its tick each command was sent at most, or one for all.
        """
        self._robot = robot
        self._sent_ns = sent_ns
        self._commands = commands
        self._late_s = np.broadcast_to(late_s, sent_ns.shape)
        self._lower, self._upper = robot.limit_array("lower"), robot.limit_array("upper")
        self._velocity = robot.limit_array("max_velocity")
        self._acceleration = robot.limit_array("max_acceleration")
        self.breaches: list[tuple[int, str]] = []

    def run(self, pauses: list[Pause]) -> Margins:
        """Judge everything.

        Args:
            pauses: When nothing may move, in order; after each, commands begin anew.
        """
        self._finite()
        begins = sorted({0, *(self._first_after(pause.until_ns) for pause in pauses)})
        pieces = [
            slice(begin, end) for begin, end in itertools.pairwise([*begins, len(self._sent_ns)])
        ]
        for pause in pauses:
            self._quiet(pause)
        distance = min(self._position(piece) for piece in pieces)
        shares = np.max([self._moving(piece) for piece in pieces], axis=0, initial=0.0)
        return Margins(distance, *(float(share) for share in shares))

    def first(self, pauses: list[Pause], measured_ns: Moments, measured: Doubles) -> float:
        """How far from the measured pose motions began at most.

        Args:
            pauses: As in ``run``.
            measured_ns: (M,) When each pose was measured.
            measured: (M, D) The poses, in ``command_names`` order.
        """
        worst = 0.0
        for pause in pauses:
            place = self._first_after(pause.until_ns)
            if place == len(self._sent_ns):
                continue
            at_ns = self._sent_ns[place]
            seen = np.flatnonzero((measured_ns > at_ns - 300_000_000) & (measured_ns <= at_ns))
            if len(seen) == 0:
                continue
            distance = np.abs(measured[seen] - self._commands[place]).max(axis=1).min()
            worst = max(worst, float(distance))
            if distance > _FIRST:
                self._breach(
                    place, f"{distance:.3f} from the measured pose, first after {pause.why}"
                )
        return worst

    def _first_after(self, at_ns: int) -> int:
        return int(np.searchsorted(self._sent_ns, at_ns))

    def _breach(self, place: int, text: str) -> None:
        self.breaches.append((int(self._sent_ns[place]), f"command {place}: {text}"))

    def _each(
        self, begin: int, places: NDArray[np.bool_], text: str, values: Doubles, limit: Doubles
    ) -> None:
        """The first row of all is that of command ``begin``."""
        for row, column in np.argwhere(places):
            name = self._robot.command_names[column]
            found, allowed = values[row, column], limit[column]
            self._breach(begin + int(row), f"{name}: {text} {found:.6g}, allowed {allowed:.6g}")

    def _finite(self) -> None:
        for row in np.flatnonzero(~np.isfinite(self._commands).all(axis=1)):
            self._breach(int(row), f"not finite: {self._commands[row]}")

    def _position(self, piece: slice) -> float:
        """Where it begins outside the limits, since it was measured there, it may come in."""
        commands = self._commands[piece]
        before = np.concatenate([commands[:1], commands[:-1]])
        below = commands < np.minimum(self._lower, before) - _ROUNDING
        above = commands > np.maximum(self._upper, before) + _ROUNDING
        self._each(piece.start, below, "position", commands, self._lower)
        self._each(piece.start, above, "position", commands, self._upper)
        margins = np.minimum(commands - self._lower, self._upper - commands)
        return float(margins.min(initial=np.inf))

    def _quiet(self, pause: Pause) -> None:
        if pause.quiet_ns is None:
            return
        begin, end = self._first_after(pause.quiet_ns), self._first_after(pause.until_ns)
        for place in range(max(begin, 1), end):
            step = np.abs(self._commands[place] - self._commands[place - 1]).max()
            if not step <= _ROUNDING:
                self._breach(place, f"moves by {step:.6g} after {pause.why}")

    def _moving(self, piece: slice) -> tuple[float, float, float, float, float]:
        """Velocity and acceleration between commands that follow each other."""
        steps = np.diff(self._commands[piece], axis=0)
        times = np.diff(self._sent_ns[piece])[:, np.newaxis] * 1e-9
        if len(steps) == 0:
            return (0.0,) * 5
        late = self._late_s[piece]
        late = np.maximum(late[1:], late[:-1])[:, np.newaxis]
        velocity = np.abs(steps) / (times + late)
        acceleration = least_acceleration(steps, times, late)
        self._jump(piece, np.abs(steps) / self._velocity)
        begin = piece.start + 1
        for name, values, limit, offset in (
            ("velocity", velocity, self._velocity, begin),
            ("acceleration", acceleration, self._acceleration, begin + 1),
        ):
            self._each(offset, values > limit * (1.0 + 1e-6), name, values, limit)
        sent_velocity = np.abs(steps) / np.maximum(times, 1e-9)
        sent_acceleration = least_acceleration(steps, times, 0.0 * late)
        return (
            float((velocity / self._velocity).max()),
            float((acceleration / self._acceleration).max(initial=0.0)),
            float((sent_velocity / self._velocity).max()),
            float((sent_acceleration / self._acceleration).max(initial=0.0)),
            float((np.abs(steps) / self._velocity).max()),
        )

    def _jump(self, piece: slice, steps_s: Doubles) -> None:
        """However late ticks are, a command must not jump."""
        for row in np.flatnonzero((steps_s > LONGEST_STEP_S).any(axis=1)):
            text = f"jumps as far as takes {steps_s[row].max():.3f} s, allowed {LONGEST_STEP_S} s"
            self._breach(piece.start + 1 + int(row), text)


def least_acceleration(steps: Doubles, times: Doubles, late_s: Doubles) -> Doubles:
    """(N - 1, D) The least acceleration between steps that their times allow.

    It is the difference of two mean velocities, over the time between the middles of their
    intervals, or over the later interval where that is longer, as for a tick after missed ones.

    Args:
        steps: (N, D) From command to command.
        times: (N, 1) Between them [s].
        late_s: (N, 1) By how much each of these times may be wrong.
    """
    early, late = np.maximum(times - late_s, 1e-6), times + late_s
    fast, slow = steps / early, steps / late
    low, high = np.minimum(fast, slow), np.maximum(fast, slow)
    found: Doubles = np.full((max(len(steps) - 1, 0), steps.shape[1]), np.inf)
    for before, after in itertools.product((early, late), (early, late)):
        change = np.abs(steps[1:] / after[1:] - steps[:-1] / before[:-1])
        between = np.maximum(after[1:], 0.5 * (before[:-1] + after[1:]))
        found = np.minimum(found, change / between)
    # Where both steps may have been equally fast, nothing was accelerated.
    same = (low[1:] <= high[:-1]) & (low[:-1] <= high[1:])
    same &= late_s[1:] > 0.0
    # In a stall the robot comes to rest as it likes.
    stalled = times + late_s > STALL_S
    return np.where(same | stalled[1:] | stalled[:-1], 0.0, found)
