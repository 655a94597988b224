# SPDX-License-Identifier: Apache-2.0
"""Where a link's origin is and how fast it moves, computed often and therefore quickly.

``Kinematics`` answers any question about a robot. This answers one, with everything that does not
change worked out beforehand: 13 us for six joints, 26 us for the velocity. Immutable; any thread
may call. Radians, metres, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.kinematics import Kinematics, generator

Doubles = NDArray[np.float64]


class LinkOrigin:
    """The origin of one link, as a function of a vector of joint positions."""

    def __init__(self, kinematics: Kinematics, link: str, joints: Sequence[str]) -> None:
        """Work out the chain from the root to the link.

        Args:
            kinematics: The robot.
            link: Which link.
            joints: (D,) What the vectors hold; names that do not move the link are ignored.

        Raises:
            ConfigError: There is no such link, or a joint that moves it is not in ``joints``.
        """
        missing = [name for name in kinematics.chain(link) if name not in joints]
        if missing:
            raise ConfigError(
                f"link {link!r} is moved by {', '.join(missing)} as well, so where it is cannot be"
                f" told from {', '.join(joints)}"
            )
        columns, gains, offsets, turns = [], [], [], []
        parts: list[tuple[Doubles, Doubles, Doubles]] = []
        before = np.eye(4)
        for joint in kinematics.joints_to(link):
            before = before @ joint.origin
            if joint.kind == "fixed":
                continue
            moves, square = generator(joint)
            parts.append((before, before @ moves, before @ square))
            before = np.eye(4)
            columns.append(list(joints).index(joint.leader))
            gains.append(1.0 if joint.mimic is None else joint.mimic.multiplier)
            offsets.append(0.0 if joint.mimic is None else joint.mimic.offset)
            turns.append(joint.kind == "revolute")
        self._columns = np.array(columns, dtype=int)
        self._gains, self._offsets = np.array(gains), np.array(offsets)
        self._turns = np.array(turns, dtype=bool)
        # A joint's (4, 4) motion is still + s * moves + c * square.
        still, moves, square = np.array(parts).reshape(-1, 3, 4, 4).swapaxes(0, 1)
        self._still, self._moves, self._square = still, moves, square
        self._end = before[:, 3]

    def position_m(self, positions: Doubles) -> Doubles:
        """(3,) Where the origin is, in the root link.

        Args:
            positions: (D,) Joint positions.
        """
        point = self._end
        for motion in self._motions(self._values(positions))[::-1]:
            point = motion @ point
        return point[:3]

    def velocity_m_s(self, positions: Doubles, velocities: Doubles) -> Doubles:
        """(3,) How fast the origin moves, in the root link.

        Args:
            positions: (D,) Joint positions.
            velocities: (D,) Joint velocities.
        """
        values = self._values(positions)
        rates = self._gains * velocities[self._columns]
        slides = ~self._turns
        changes = self._weighted(
            rates * np.where(slides, 1.0, np.cos(values)),
            rates * np.where(slides, 0.0, np.sin(values)),
        )
        point, velocity = self._end, np.zeros(4)
        for motion, change in zip(self._motions(values)[::-1], changes[::-1], strict=True):
            velocity = motion @ velocity + change @ point
            point = motion @ point
        return velocity[:3]

    def _values(self, positions: Doubles) -> Doubles:
        """(n,) Where the joints of the chain are, root first."""
        values: Doubles = self._gains * positions[self._columns] + self._offsets
        return values

    def _motions(self, values: Doubles) -> Doubles:
        """(n, 4, 4) What each joint does to all that hangs on it."""
        motions: Doubles = self._still + self._weighted(
            np.where(self._turns, np.sin(values), values),
            np.where(self._turns, 1.0 - np.cos(values), 0.0),
        )
        return motions

    def _weighted(self, s: Doubles, c: Doubles) -> Doubles:
        weighted: Doubles = s[:, None, None] * self._moves + c[:, None, None] * self._square
        return weighted
