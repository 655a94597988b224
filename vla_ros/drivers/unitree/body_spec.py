# SPDX-License-Identifier: Apache-2.0
"""A Unitree body as its DDS has it: what `config/unitree/<name>.yaml` says.

Which joint stands at which place of the messages, and how its motor is driven. D motors and twelve
joints of the hands. Immutable; any thread may read it. Radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vla_ros.core.section import Section, repeated
from vla_ros.core.yaml_file import load
from vla_ros.drivers.unitree.idl_hg import MOTORS
from vla_ros.drivers.unitree.inspire import JOINTS, InspireHands


@dataclass(frozen=True, slots=True)
class Gains:
    """How a motor's own controller holds it.

    Attributes:
        kp: Stiffness [Nm/rad].
        kd: Damping [Nm s/rad].
    """

    kp: float
    kd: float


@dataclass(frozen=True, slots=True)
class Motor:
    """One motor of the body.

    Attributes:
        place: In LowCmd and LowState.
        gains: How it is held.
    """

    place: int
    gains: Gains


@dataclass(frozen=True, slots=True)
class HandJoint:
    """One driven joint of the hands.

    Attributes:
        place: In MotorCmds and MotorStates.
        open_rad: The angle that is 1 on the wire.
        closed_rad: The angle that is 0 on the wire.
    """

    place: int
    open_rad: float
    closed_rad: float


@dataclass(frozen=True, slots=True)
class UnitreeSpec:
    """The whole body.

    Attributes:
        name: Its name.
        source: The file it was read from.
        imu_frame: The link that the inertial unit's axes are those of.
        motors: Joint to motor, by place.
        weight_place: Where LowCmd holds the weight of ``rt/arm_sdk``.
        hands: Joint to its place in the hands' messages, by place.
    """

    name: str
    source: str
    imu_frame: str
    motors: Mapping[str, Motor]
    weight_place: int
    hands: Mapping[str, HandJoint]

    @property
    def body_interfaces(self) -> tuple[str, ...]:
        """(D,) The motors' interfaces, by place."""
        return tuple(f"{joint}/position" for joint in self.motors)

    @property
    def hand_interfaces(self) -> tuple[str, ...]:
        """(12,) The hands' interfaces, by place."""
        return tuple(f"{joint}/position" for joint in self.hands)

    def inspire_hands(self) -> InspireHands:
        """The hands' way between radians and the wire.

        Raises:
            ConfigError: A joint has no range.
        """
        joints = self.hands.values()
        return InspireHands(
            [joint.open_rad for joint in joints], [joint.closed_rad for joint in joints]
        )


def load_unitree_spec(path: Path) -> UnitreeSpec:
    """Read a body's places in Unitree's messages.

    Args:
        path: A file such as ``config/unitree/g1_inspire.yaml``.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or contradicts itself.
    """
    return unitree_spec_from(load(path))


def unitree_spec_from(root: Section) -> UnitreeSpec:
    """Read a body's places from a parsed file.

    Raises:
        ConfigError: The description is malformed, incomplete or contradicts itself.
    """
    gains = root.entries("gains", _gains)
    motors = root.entries("motors", lambda section: _motor(section, gains))
    hands = root.entries("hands", _hand_joint)
    spec = UnitreeSpec(
        name=root.text("name"),
        source=root.source,
        imu_frame=root.text("imu_frame"),
        motors=dict(sorted(motors.items(), key=lambda item: item[1].place)),
        weight_place=root.integer("arm_sdk_weight_place", minimum=0, maximum=MOTORS - 1),
        hands=dict(sorted(hands.items(), key=lambda item: item[1].place)),
    )
    root.finish()
    _check(spec, root)
    return spec


def _check(spec: UnitreeSpec, root: Section) -> None:
    """Refuse a description whose parts contradict each other."""
    if not spec.motors:
        raise root.error("must hold at least one entry, found none", "motors")
    if len(spec.hands) != JOINTS:
        raise root.error(f"must hold {JOINTS} entries, found {len(spec.hands)}", "hands")
    for joint in repeated((*spec.motors, *spec.hands)):
        raise root.error(f"{joint} is a motor as well; a name stands for one", "hands")
    places = [motor.place for motor in spec.motors.values()]
    for key, taken in (
        ("motors", places),
        ("arm_sdk_weight_place", [*places, spec.weight_place]),
        ("hands", [joint.place for joint in spec.hands.values()]),
    ):
        for place in repeated(map(str, taken)):
            raise root.error(f"place {place} stands for more than one; one is allowed", key)
    spec.inspire_hands()


def _gains(section: Section) -> Gains:
    return Gains(kp=section.number("kp", minimum=0.0), kd=section.number("kd", minimum=0.0))


def _motor(section: Section, gains: Mapping[str, Gains]) -> Motor:
    return Motor(
        place=section.integer("place", minimum=0, maximum=MOTORS - 1),
        gains=gains[section.choice("gains", *gains)],
    )


def _hand_joint(section: Section) -> HandJoint:
    return HandJoint(
        place=section.integer("place", minimum=0, maximum=JOINTS - 1),
        open_rad=section.number("open_rad"),
        closed_rad=section.number("closed_rad"),
    )
