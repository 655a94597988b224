# SPDX-License-Identifier: Apache-2.0
"""Kinematics of any robot with a URDF: forward, Jacobian and damped-least-squares inverse.

Positions are mappings of joint name to radians or metres; only the joints between the root and the
link asked for are needed. Immutable; any thread may call. Radians and metres.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vla_ros.core.errors import ConfigError
from vla_ros.core.transforms import Matrix, rotation_vector, skew
from vla_ros.core.urdf import Joint, parse_joints, read_joints

# Damping keeps the step finite where the Jacobian loses rank, and is far below the useful singular
# values of an arm (about 0.05 to 0.5 m), so that it costs a few iterations and no accuracy.
_DAMPING = 0.01
_STILL = np.eye(4)
# The linear model holds for a few tenths of a radian.
_MAX_STEP = 0.3


@dataclass(frozen=True, slots=True)
class Solution:
    """What the inverse kinematics found.

    Attributes:
        positions: (n,) Positions of the joints asked for, within their limits.
        position_error_m: Distance that is left.
        rotation_error_rad: Angle that is left.
        converged: Whether the weighted error fell below the tolerance.
    """

    positions: Matrix
    position_error_m: float
    rotation_error_rad: float
    converged: bool


class Kinematics:
    """The tree of joints of one robot.

    >>> arm = Kinematics.from_text('''<robot name="r">
    ...   <joint name="a" type="revolute"><parent link="base"/><child link="tip"/>
    ...     <origin xyz="0 0 1"/><axis xyz="0 0 1"/><limit lower="-1" upper="1"/></joint>
    ... </robot>''', source="doc")
    >>> arm.root, arm.pose("tip", {"a": 0.5})[:3, 3].tolist()
    ('base', [0.0, 0.0, 1.0])
    """

    def __init__(self, joints: Sequence[Joint], *, source: str) -> None:
        """Build the tree.

        Args:
            joints: All joints.
            source: Where they come from, for errors.

        Raises:
            ConfigError: The joints do not form one tree.
        """
        self._source = source
        self.joints = {joint.name: joint for joint in joints}
        self._joint_above = {joint.child: joint for joint in joints}
        if len(self._joint_above) != len(joints):
            raise ConfigError(f"{source}: a link is the child of more than one joint")
        roots = {joint.parent for joint in joints} - set(self._joint_above)
        if len(roots) != 1:
            found = ", ".join(sorted(roots)) or "none"
            raise ConfigError(f"{source}: must have exactly one root link, found {found}")
        self.root = roots.pop()
        self.links = (self.root, *self._joint_above)
        self._chains = {link: self._chain(link) for link in self.links}
        self._generators = {joint.name: generator(joint) for joint in joints}

    @classmethod
    def from_file(cls, path: Path) -> Kinematics:
        """Read a URDF file.

        Raises:
            ConfigError: It cannot be read or is malformed.
        """
        return cls(read_joints(path), source=str(path))

    @classmethod
    def from_text(cls, text: str, *, source: str) -> Kinematics:
        """Read URDF text; ``source`` names it in errors.

        Raises:
            ConfigError: It is malformed.
        """
        return cls(parse_joints(text, source=source), source=source)

    def standing_on(self, frame: str, pose: Matrix) -> Kinematics:
        """The same robot in another frame, in which its root stands at a (4, 4) pose.

        Raises:
            ConfigError: The frame has the name of one of the links.
        """
        stand = Joint(
            name=f"{frame} to {self.root}",
            kind="fixed",
            parent=frame,
            child=self.root,
            origin=pose,
            axis=np.array([1.0, 0.0, 0.0]),
            lower=-math.inf,
            upper=math.inf,
            mimic=None,
        )
        return Kinematics((stand, *self.joints.values()), source=self._source)

    def chain(self, link: str) -> tuple[str, ...]:
        """The joints that move a link, root first; those that mimic are named by whom they follow.

        Raises:
            ConfigError: There is no such link.
        """
        moving = (joint.leader for joint in self.joints_to(link) if joint.kind != "fixed")
        return tuple(dict.fromkeys(moving))

    def pose(self, link: str, positions: Mapping[str, float]) -> Matrix:
        """(4, 4) Pose of a link in the root link.

        Args:
            link: Which link.
            positions: Joint name to position; at least the joints of ``chain(link)``.

        Raises:
            ConfigError: There is no such link, or a joint's position is not given.
        """
        pose = np.eye(4)
        for joint in self.joints_to(link):
            pose = pose @ joint.origin @ self._motion(joint, positions)
        return pose

    def jacobian(
        self, link: str, positions: Mapping[str, float], joints: Sequence[str]
    ) -> tuple[Matrix, Matrix]:
        """Pose of a link, and how it moves when joints move.

        Args:
            link: Which link.
            positions: Joint name to position; at least the joints of ``chain(link)``.
            joints: (n,) The joints of the columns; one that does not move the link gives zeros.

        Returns:
            The (4, 4) pose, and the (6, n) Jacobian in the root link: three rows of velocity of the
            link's origin, then three rows of angular velocity.

        Raises:
            ConfigError: There is no such link, or a joint's position is not given.
        """
        column = {name: index for index, name in enumerate(joints)}
        pose = np.eye(4)
        moved: list[tuple[int, float, str, Matrix, Matrix]] = []
        for joint in self.joints_to(link):
            pose = pose @ joint.origin
            if joint.kind != "fixed" and joint.leader in column:
                gain = 1.0 if joint.mimic is None else joint.mimic.multiplier
                axis = pose[:3, :3] @ joint.axis
                moved.append((column[joint.leader], gain, joint.kind, axis, pose[:3, 3].copy()))
            pose = pose @ self._motion(joint, positions)
        jacobian = np.zeros((6, len(joints)))
        for index, gain, kind, axis, origin in moved:
            if kind == "revolute":
                jacobian[:3, index] += gain * (skew(axis) @ (pose[:3, 3] - origin))
                jacobian[3:, index] += gain * axis
            else:
                jacobian[:3, index] += gain * axis
        return pose, jacobian

    def solve(
        self,
        link: str,
        target: Matrix,
        start: Mapping[str, float],
        joints: Sequence[str],
        *,
        rotation_weight_m: float = 0.1,
        tolerance_m: float = 1e-4,
        max_iterations: int = 60,
    ) -> Solution:
        """Positions of some joints that bring a link to a pose, as near as their limits allow.

        Args:
            link: Which link.
            target: (4, 4) Where it shall be, in the root link.
            start: Joint name to position; where the search starts, and where all other joints stay.
            joints: (n,) The joints that may move.
            rotation_weight_m: How many metres one radian of rotation error counts; 0 ignores it.
            tolerance_m: Weighted error at which the search ends.
            max_iterations: Steps at most.

        Raises:
            ConfigError: There is no such link or joint, or a position is not given.
        """
        unknown = [name for name in joints if name not in self.joints]
        if unknown:
            raise ConfigError(f"{self._source}: joint {', '.join(unknown)} does not exist")
        lower = np.array([self.joints[name].lower for name in joints])
        upper = np.array([self.joints[name].upper for name in joints])
        weights = np.array([1.0] * 3 + [rotation_weight_m] * 3)
        positions = dict(start)
        values = np.clip(np.array([positions[name] for name in joints]), lower, upper)
        iterations = 0
        while True:
            positions.update(zip(joints, values.tolist(), strict=True))
            pose, jacobian = self.jacobian(link, positions, joints)
            error = pose_error(target, pose)
            weighted = weights * error
            converged = float(np.linalg.norm(weighted)) < tolerance_m
            if converged or iterations == max_iterations:
                return Solution(
                    values,
                    float(np.linalg.norm(error[:3])),
                    float(np.linalg.norm(error[3:])),
                    converged,
                )
            scaled = weights[:, None] * jacobian
            damped = scaled @ scaled.T + _DAMPING**2 * np.eye(6)
            step = scaled.T @ np.linalg.solve(damped, weighted)
            step *= min(1.0, _MAX_STEP / max(float(np.abs(step).max()), 1e-12))
            values = np.clip(values + step, lower, upper)
            iterations += 1

    def _chain(self, link: str) -> tuple[Joint, ...]:
        chain: list[Joint] = []
        at = link
        while at in self._joint_above:
            chain.append(self._joint_above[at])
            at = self._joint_above[at].parent
            if len(chain) > len(self._joint_above):
                raise ConfigError(f"{self._source}: the joints above {link} form a circle")
        return tuple(reversed(chain))

    def joints_to(self, link: str) -> tuple[Joint, ...]:
        """All joints between the root and a link, root first.

        Raises:
            ConfigError: There is no such link.
        """
        if link not in self._chains:
            raise ConfigError(
                f"{self._source}: link {link!r} does not exist; there are {', '.join(self.links)}"
            )
        return self._chains[link]

    def _motion(self, joint: Joint, positions: Mapping[str, float]) -> Matrix:
        """(4, 4) What a joint adds to its origin at the present position."""
        if joint.kind == "fixed":
            return _STILL
        if joint.leader not in positions:
            raise ConfigError(f"{self._source}: the position of joint {joint.leader} is not given")
        value = positions[joint.leader]
        if joint.mimic is not None:
            value = joint.mimic.multiplier * value + joint.mimic.offset
        moves, square = self._generators[joint.name]
        if joint.kind == "revolute":
            turned: Matrix = _STILL + math.sin(value) * moves + (1.0 - math.cos(value)) * square
            return turned
        slid: Matrix = _STILL + value * moves
        return slid


def generator(joint: Joint) -> tuple[Matrix, Matrix]:
    """(4, 4), (4, 4) What a joint's motion is made of, and its square.

    A turn is ``I + sin * S + (1 - cos) * S S``, a slide is ``I + value * S``.
    """
    moves = np.zeros((4, 4))
    if joint.kind == "revolute":
        moves[:3, :3] = skew(joint.axis)
    else:
        moves[:3, 3] = joint.axis
    return moves, moves @ moves


def pose_error(target: Matrix, pose: Matrix) -> Matrix:
    """(6,) What is missing from a pose: metres, then axis times angle [rad], in the root link."""
    turn = rotation_vector(target[:3, :3] @ pose[:3, :3].T)
    return np.concatenate([target[:3, 3] - pose[:3, 3], turn])
