# SPDX-License-Identifier: Apache-2.0
"""The servos behind a body's interfaces: what `config/servos/<servos>.yaml` says of them.

Facts of an arm that no calibration file has: which motor moves which interface, and what angle its
place stands for. Immutable; any thread may read it. Radians, Celsius, volts; ticks are the steps of
a servo's encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vla_ros.core.section import Section, repeated
from vla_ros.core.yaml_file import load

# How a calibration finds a servo's range: by moving it to both ends, or it is the whole turn.
Range = Literal["swept", "whole_turn"]
_REGISTER_MAX = 65535


@dataclass(frozen=True, slots=True)
class Middle:
    """The place of a joint whose middle is known: a tick is a part of a turn there.

    Attributes:
        middle_rad: The angle in the middle of the calibrated range.
        sign: 1, or -1 where the angle grows as the ticks fall.
    """

    middle_rad: float
    sign: int


@dataclass(frozen=True, slots=True)
class Ends:
    """The place of a joint whose ends are known, as a gripper's are.

    Attributes:
        at_min_rad: The angle at the calibrated range's lower end.
        at_max_rad: The angle at its upper end; not the same.
    """

    at_min_rad: float
    at_max_rad: float


@dataclass(frozen=True, slots=True)
class Servo:
    """One servo.

    Attributes:
        motor: Its name in LeRobot's calibration file.
        id: Its address on the bus.
        place: What its ticks mean.
        range: How a calibration finds its range.
        registers: What its registers shall hold, by the names of the bus library.
    """

    motor: str
    id: int
    place: Middle | Ends
    range: Range
    registers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ServoSpec:
    """All servos of an arm.

    Attributes:
        name: The arm's name.
        source: The file it was read from.
        calibration_folder: LeRobot's folder for this kind of arm's calibration files.
        ticks_per_turn: Steps of the encoder in one turn.
        warn_temperature_c: A servo from here on is warm.
        max_temperature_c: A servo from here on is too hot.
        min_voltage_v: Supply below this is too low.
        max_voltage_v: Supply above this is too high.
        servos: Interface to its servo.
    """

    name: str
    source: str
    calibration_folder: str
    ticks_per_turn: int
    warn_temperature_c: float
    max_temperature_c: float
    min_voltage_v: float
    max_voltage_v: float
    servos: Mapping[str, Servo]

    @property
    def interfaces(self) -> tuple[str, ...]:
        """(D,) All interfaces, in file order."""
        return tuple(self.servos)

    @property
    def ids(self) -> tuple[int, ...]:
        """(D,) Their servos' addresses."""
        return tuple(servo.id for servo in self.servos.values())


def load_servo_spec(path: Path) -> ServoSpec:
    """Read an arm's servos.

    Args:
        path: A file such as ``config/servos/so101.yaml``.

    Raises:
        ConfigError: The file is missing, malformed, incomplete or contradicts itself.
    """
    return servo_spec_from(load(path))


def servo_spec_from(root: Section) -> ServoSpec:
    """Read an arm's servos from a parsed file.

    Raises:
        ConfigError: The description is malformed, incomplete or contradicts itself.
    """
    # What all servos shall hold; a servo's own values count more.
    common = root.entry("registers", _registers)
    warn_c = root.number("warn_temperature_c")
    min_v = root.number("min_voltage_v", minimum=0.0)
    spec = ServoSpec(
        name=root.text("name"),
        source=root.source,
        calibration_folder=root.text("calibration_folder"),
        ticks_per_turn=root.integer("ticks_per_turn", minimum=2, maximum=65536),
        warn_temperature_c=warn_c,
        max_temperature_c=root.number("max_temperature_c", above=warn_c),
        min_voltage_v=min_v,
        max_voltage_v=root.number("max_voltage_v", above=min_v),
        servos=root.entries("servos", lambda section: _servo(section, common)),
    )
    root.finish()
    if not spec.servos:
        raise root.error("must hold at least one entry, found none", "servos")
    for what, names in (
        ("motor", [servo.motor for servo in spec.servos.values()]),
        ("id", [str(servo_id) for servo_id in spec.ids]),
    ):
        for name in repeated(names):
            raise root.error(f"{what} {name} stands in more than one entry; one is allowed")
    return spec


def _servo(section: Section, common: Mapping[str, int]) -> Servo:
    own = section.entry("registers", _registers) if section.has("registers") else {}
    return Servo(
        motor=section.text("motor"),
        id=section.integer("id", minimum=0, maximum=253),
        place=_place(section),
        range=section.choice("range", "swept", "whole_turn"),
        registers={**common, **own},
    )


def _place(section: Section) -> Middle | Ends:
    if section.has("range_rad"):
        at_min, at_max = section.numbers("range_rad", length=2)
        if at_min == at_max:
            raise section.error(f"must hold two angles, found {at_min} twice", "range_rad")
        return Ends(at_min, at_max)
    sign = section.integer("sign", minimum=-1, maximum=1)
    if sign == 0:
        raise section.error("must be 1 or -1, found 0", "sign")
    return Middle(section.number("middle_rad"), sign)


def _registers(section: Section) -> dict[str, int]:
    return {
        name: section.integer(name, minimum=-_REGISTER_MAX, maximum=_REGISTER_MAX)
        for name in section.names
    }
