# SPDX-License-Identifier: Apache-2.0
"""Where a robot's joints stand among those that its driver knows. Pure; any thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.joint_map import same
from vla_ros.core.robot_spec import CommandGroup, RobotSpec, StateStream


def driver_places(
    robot: RobotSpec,
    entries: Mapping[str, StateStream | CommandGroup],
    known: Sequence[str],
    source: str,
) -> dict[str, list[int]]:
    """Stream or group to where its joints stand, each of them once.

    Args:
        robot: Whose streams or groups they are.
        entries: These.
        known: (D,) The driver's interfaces, such as ``elbow/position``.
        source: The file that says so.

    Raises:
        ConfigError: A joint is not known, or is to be named or counted otherwise.
    """
    found = {}
    for name, entry in entries.items():
        if entry.map != same(entry.interfaces):
            raise ConfigError(
                f"{robot.source}: {name}: joints, scale and offset may not stand here, because the"
                f" driver names and counts as {source} does"
            )
        joints = [f"{interface.rpartition('/')[0]}/position" for interface in entry.interfaces]
        for interface in joints:
            if interface not in known:
                raise ConfigError(
                    f"{robot.source}: {name}: {interface} is not in {source}, which has"
                    f" {', '.join(known)}"
                )
        found[name] = [known.index(interface) for interface in dict.fromkeys(joints)]
    return found


def driver_bounds(
    robot: RobotSpec, known: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(D,) Least and greatest goals of a driver's interfaces; those that have no limits: none.

    Args:
        robot: Whose limits they are.
        known: (D,) The driver's interfaces.
    """
    lower, upper = np.full((2, len(known)), [[-np.inf], [np.inf]])
    for place, interface in enumerate(known):
        if interface in robot.limits:
            limits = robot.limits[interface]
            lower[place], upper[place] = limits.lower, limits.upper
    return lower, upper
