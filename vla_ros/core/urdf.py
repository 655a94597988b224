# SPDX-License-Identifier: Apache-2.0
"""Read the joints of a URDF: who hangs on whom, where, about which axis, within which limits.

Only what kinematics needs; shapes and masses are left to whoever simulates. Reads one file;
any thread may call. Radians and metres.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from vla_ros.core.errors import ConfigError
from vla_ros.core.transforms import Matrix, pose_from, rotation_from_rpy

JointKind = Literal["fixed", "revolute", "prismatic"]

# A continuous joint is a revolute one without limits.
_KINDS: dict[str, JointKind] = {
    "fixed": "fixed",
    "revolute": "revolute",
    "continuous": "revolute",
    "prismatic": "prismatic",
}


@dataclass(frozen=True, slots=True)
class Mimic:
    """A joint that follows another: ``position = multiplier * other + offset``.

    Attributes:
        joint: The joint that is followed.
        multiplier: Its factor.
        offset: What is added [rad or m].
    """

    joint: str
    multiplier: float
    offset: float


@dataclass(frozen=True, slots=True)
class Joint:
    """One joint.

    Attributes:
        name: Its name.
        kind: How it moves.
        parent: The link that carries it.
        child: The link that it moves.
        origin: (4, 4) Pose of the child link in the parent link at position zero.
        axis: (3,) Unit axis in the child link.
        lower: Least position [rad or m]; -inf where there is no limit.
        upper: Greatest position [rad or m]; inf where there is no limit.
        mimic: Whom it follows, if anyone.
    """

    name: str
    kind: JointKind
    parent: str
    child: str
    origin: Matrix
    axis: Matrix
    lower: float
    upper: float
    mimic: Mimic | None

    @property
    def leader(self) -> str:
        """The joint whose position moves this one: itself, or the one that it follows."""
        return self.name if self.mimic is None else self.mimic.joint


def read_joints(path: Path) -> tuple[Joint, ...]:
    """All joints of a URDF file, in file order.

    Raises:
        ConfigError: The file cannot be read, is not XML, or a joint is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return parse_joints(text, source=str(path))


def parse_joints(text: str, *, source: str) -> tuple[Joint, ...]:
    """All joints of URDF text, in its order; ``source`` names it in errors.

    Raises:
        ConfigError: The text is not XML, not a robot, or a joint is malformed.
    """
    try:
        robot = ET.fromstring(text)
    except ET.ParseError as error:
        raise ConfigError(f"{source}: not valid XML: {error}") from error
    if robot.tag != "robot":
        raise ConfigError(f"{source}: the top element must be <robot>, found <{robot.tag}>")
    joints = tuple(_joint(element, source) for element in robot.findall("joint"))
    if not joints:
        raise ConfigError(f"{source}: has no <joint>")
    names = [joint.name for joint in joints]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"{source}: joint {', '.join(twice)} stands more than once")
    for joint in joints:
        if joint.mimic is not None and joint.mimic.joint not in names:
            raise ConfigError(
                f"{source}: joint {joint.name} mimics {joint.mimic.joint}, which does not exist"
            )
    return joints


def _joint(element: ET.Element, source: str) -> Joint:
    name = element.get("name", "")
    where = f"{source}: joint {name or '(without a name)'}"
    kind = _KINDS.get(element.get("type", ""))
    if kind is None:
        raise ConfigError(
            f"{where}: type must be one of {', '.join(_KINDS)}; found {element.get('type')!r}"
        )
    origin = element.find("origin")
    lower, upper = _limits(element, where)
    return Joint(
        name=_text(element, "name", where),
        kind=kind,
        parent=_text(_child(element, "parent", where), "link", where),
        child=_text(_child(element, "child", where), "link", where),
        origin=pose_from(
            rotation_from_rpy(_numbers(origin, "rpy", "0 0 0", 3, where)),
            _numbers(origin, "xyz", "0 0 0", 3, where),
        ),
        axis=_axis(element, where),
        lower=lower,
        upper=upper,
        mimic=_mimic(element, where),
    )


def _limits(element: ET.Element, where: str) -> tuple[float, float]:
    if element.get("type") in ("fixed", "continuous"):
        return -math.inf, math.inf
    limit = _child(element, "limit", where)
    (lower,) = _numbers(limit, "lower", "0", 1, where)
    (upper,) = _numbers(limit, "upper", "0", 1, where)
    if lower > upper:
        raise ConfigError(f"{where}: lower {lower:g} must not be greater than upper {upper:g}")
    return lower, upper


def _axis(element: ET.Element, where: str) -> Matrix:
    axis = np.array(_numbers(element.find("axis"), "xyz", "1 0 0", 3, where))
    length = float(np.linalg.norm(axis))
    if length == 0.0:
        raise ConfigError(f"{where}: axis must not be zero")
    unit: Matrix = axis / length
    return unit


def _mimic(element: ET.Element, where: str) -> Mimic | None:
    mimic = element.find("mimic")
    if mimic is None:
        return None
    (multiplier,) = _numbers(mimic, "multiplier", "1", 1, where)
    (offset,) = _numbers(mimic, "offset", "0", 1, where)
    return Mimic(_text(mimic, "joint", where), multiplier, offset)


def _child(element: ET.Element, tag: str, where: str) -> ET.Element:
    child = element.find(tag)
    if child is None:
        raise ConfigError(f"{where}: <{tag}> is missing")
    return child


def _text(element: ET.Element, key: str, where: str) -> str:
    value = element.get(key)
    if not value:
        raise ConfigError(f"{where}: <{element.tag}> has no {key}")
    return value


def _numbers(
    element: ET.Element | None, key: str, default: str, length: int, where: str
) -> list[float]:
    """The numbers of an attribute; URDF itself defines the defaults."""
    text = default if element is None else element.get(key, default)
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != length or not all(math.isfinite(number) for number in numbers):
        raise ConfigError(f"{where}: {key} must be {length} finite number(s), found {text!r}")
    return numbers
