# SPDX-License-Identifier: Apache-2.0
"""How a robot's own software names its joints and counts their values. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.section import Section, repeated


@dataclass(frozen=True, slots=True)
class JointMap:
    """Between interfaces and what stands for them in a robot's messages.

    The map is affine per interface: ``the robot's value = scale * value + offset``.

    Attributes:
        joints: (D,) The joints' names in messages.
        scale: (D,) Never zero; negative where the robot counts the other way.
        offset: (D,) In the robot's units.
    """

    joints: tuple[str, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    def to_robot(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,) Values as the robot counts them."""
        robots: NDArray[np.float64] = np.array(self.scale) * values + np.array(self.offset)
        return robots

    def from_robot(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(D,) The robot's values as we count them."""
        ours: NDArray[np.float64] = (values - np.array(self.offset)) / np.array(self.scale)
        return ours


def same(interfaces: tuple[str, ...]) -> JointMap:
    """The map of a robot that names and counts as we do.

    Args:
        interfaces: (D,) Names such as ``elbow/position``.
    """
    joints = tuple(name.rpartition("/")[0] for name in interfaces)
    return JointMap(joints, (1.0,) * len(joints), (0.0,) * len(joints))


def read_joint_map(section: Section, interfaces: tuple[str, ...]) -> JointMap:
    """Read ``joints`` (ours to the robot's), ``scale`` and ``offset``; all may be absent.

    Args:
        section: A state stream or a command group.
        interfaces: (D,) Its interfaces.

    Raises:
        ConfigError: A joint is unknown, or stands for two of ours; a list has another length than
            the interfaces; a scale is zero, or something other than a position has an offset.
    """
    known = same(interfaces)
    scale, offset = known.scale, known.offset
    if section.has("scale"):
        scale = section.scales("scale", length=len(interfaces))
    if section.has("offset"):
        offset = section.numbers("offset", length=len(interfaces))
        for name, value in zip(interfaces, offset, strict=True):
            if value and not name.endswith("/position"):
                raise section.error(f"must be 0 for {name}, as for all but positions", "offset")
    joints = known.joints
    if section.has("joints"):
        joints = section.entry("joints", lambda names: _names(names, known.joints))
    return JointMap(joints, scale, offset)


def _names(section: Section, joints: tuple[str, ...]) -> tuple[str, ...]:
    """(D,) The robot's names; a joint that is not mentioned is called as we call it."""
    ours = dict.fromkeys(joints)
    theirs = {joint: section.text(joint) if section.has(joint) else joint for joint in ours}
    for name in repeated(theirs.values()):
        raise section.error(f"{name!r} stands for two joints; one is allowed")
    return tuple(theirs[joint] for joint in joints)
