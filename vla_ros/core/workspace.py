# SPDX-License-Identifier: Apache-2.0
"""The box that a link of a robot must stay in, and how fast it may move. Immutable; any thread.

The box stands in the URDF's root link, with its edges along the axes of that. Metres, seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.kinematics import Kinematics
from vla_ros.core.link_origin import LinkOrigin
from vla_ros.core.section import Section

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class WorkspaceSpec:
    """What a robot's description says of it.

    Attributes:
        link: The link of the URDF whose origin must stay inside.
        lower_m: (3,) The box's least corner.
        upper_m: (3,) Its greatest corner.
        max_speed_m_s: How fast the link's origin may move; None where joints alone are limited.
    """

    link: str
    lower_m: tuple[float, ...]
    upper_m: tuple[float, ...]
    max_speed_m_s: float | None


def read_workspace(section: Section) -> WorkspaceSpec:
    """Read the workspace of a robot's description.

    Raises:
        ConfigError: A fact is missing or not allowed, or the box has no inside.
    """
    limited = section.has("max_speed_m_s")
    spec = WorkspaceSpec(
        link=section.text("link"),
        lower_m=section.numbers("lower_m", length=3),
        upper_m=section.numbers("upper_m", length=3),
        max_speed_m_s=section.number("max_speed_m_s", above=0.0) if limited else None,
    )
    for axis, lower, upper in zip("xyz", spec.lower_m, spec.upper_m, strict=True):
        if lower >= upper:
            raise section.error(
                f"{axis} of lower_m, {lower}, must be less than of upper_m, {upper}"
            )
    return spec


class Workspace:
    """Where the link is for the joint positions that a robot is commanded.

    Attributes:
        max_speed_m_s: How fast the link's origin may move; None where joints alone are limited.
    """

    def __init__(
        self, spec: WorkspaceSpec, kinematics: Kinematics, command_names: Sequence[str]
    ) -> None:
        """Prepare for one robot.

        Args:
            spec: The box.
            kinematics: The robot.
            command_names: (D,) Its commanded interfaces. Those that do not move the link are
                ignored.

        Raises:
            ConfigError: There is no such link, or it is moved by a joint that is not commanded. To
                take such a joint for one at zero could put the box elsewhere: where it does not
                move, the URDF has to say so.
        """
        joints = [name.rpartition("/")[0] for name in command_names]
        self._origin = LinkOrigin(kinematics, spec.link, joints)
        self._lower_m, self._upper_m = np.array(spec.lower_m), np.array(spec.upper_m)
        self.max_speed_m_s = spec.max_speed_m_s

    def outside_m(self, positions: Doubles) -> float:
        """How far the link's origin is outside of the box; 0 inside.

        Args:
            positions: (D,) In the order of the commanded interfaces.
        """
        point = self._origin.position_m(positions)
        beyond = np.maximum(np.maximum(self._lower_m - point, point - self._upper_m), 0.0)
        return float(np.sqrt(beyond @ beyond))

    def may_go(self, stop: Doubles, next_stop: Doubles) -> bool:
        """Whether the link could still stop inside, or no further outside than it must.

        Args:
            stop: (D,) Where the joints would come to rest if they braked now.
            next_stop: (D,) The same after the next step.
        """
        outside_m = self.outside_m(next_stop)
        return outside_m == 0.0 or outside_m <= self.outside_m(stop)

    def speed_share(self, positions: Doubles, velocities: Doubles) -> float:
        """The share of a velocity at which the link's origin moves as fast as it may, 0 to 1.

        Args:
            positions: (D,) In the order of the commanded interfaces.
            velocities: (D,) How fast those change.
        """
        if self.max_speed_m_s is None:
            return 1.0
        velocity = self._origin.velocity_m_s(positions, velocities)
        return min(1.0, self.max_speed_m_s / max(float(np.sqrt(velocity @ velocity)), 1e-9))
