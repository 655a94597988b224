# SPDX-License-Identifier: Apache-2.0
"""LeRobot's calibration files, and what they make of ticks: radians.

A calibration says where in its turn a servo's homing offset lies and which range of ticks its joint
can reach. A tick is 2 pi / 4096 of a physical turn, everywhere but on joints that are described by
their ends. Reads one file; any thread.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.core.section import Section
from vla_ros.core.servo_spec import Ends, Servo, ServoSpec

_MAX_OFFSET = 2047  # 11 bits and a sign, in the servo


@dataclass(frozen=True, slots=True)
class MotorCalibration:
    """What a calibration found of one servo; LeRobot's names, apart from the id.

    Attributes:
        homing_offset: What the servo takes off its encoder's ticks.
        range_min: Least position of its joint [ticks].
        range_max: Greatest position of its joint [ticks].
    """

    homing_offset: int
    range_min: int
    range_max: int

    @property
    def middle(self) -> float:
        """The middle of the range [ticks]."""
        return (self.range_min + self.range_max) / 2.0

    @property
    def span(self) -> int:
        """The length of the range [ticks]."""
        return self.range_max - self.range_min


# Interface to what was found, in the order of the servos' description.
Calibration = Mapping[str, MotorCalibration]


@dataclass(frozen=True, slots=True, eq=False)
class TickMap:
    """Between the ticks of some servos and radians.

    Attributes:
        scale: (D,) Radians per tick, never zero.
        offset: (D,) Radians at tick zero.
        lower: (D,) Least position [ticks].
        upper: (D,) Greatest position [ticks].
    """

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    lower: NDArray[np.int64]
    upper: NDArray[np.int64]

    def to_rad(self, ticks: NDArray[np.int64]) -> NDArray[np.float64]:
        """(D,) Angles."""
        return self.offset + self.scale * ticks

    def to_ticks(self, angles: NDArray[np.float64]) -> NDArray[np.int64]:
        """(D,) The nearest ticks within the calibrated ranges."""
        ticks = np.rint((angles - self.offset) / self.scale).astype(np.int64)
        return np.clip(ticks, self.lower, self.upper)


def load_calibration(path: Path, spec: ServoSpec) -> Calibration:
    """Read a calibration file of LeRobot's.

    Args:
        path: The file; ``~`` is the user's home.
        spec: The servos that it must be of.

    Raises:
        ConfigError: The file is missing, malformed, or of other servos.
    """
    path = path.expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    return calibration_from(text, spec, source=str(path))


def calibration_from(text: str, spec: ServoSpec, *, source: str) -> Calibration:
    """Read the text of a calibration file; ``source`` names it in errors.

    Raises:
        ConfigError: It is malformed, or of other servos.
    """
    try:
        data = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid JSON: {error}") from error
    root = Section(data, source=source, path="")
    calibration = {
        interface: root.entry(servo.motor, partial(_motor, servo, spec))
        for interface, servo in spec.servos.items()
    }
    root.finish()
    return calibration


def calibration_text(calibration: Calibration, spec: ServoSpec) -> str:
    """A calibration as LeRobot writes it."""
    found = {
        servo.motor: {
            "id": servo.id,
            "drive_mode": 0,
            "homing_offset": calibration[interface].homing_offset,
            "range_min": calibration[interface].range_min,
            "range_max": calibration[interface].range_max,
        }
        for interface, servo in spec.servos.items()
    }
    return json.dumps(found, indent=4) + "\n"


def lerobot_calibration_file(spec: ServoSpec, name: str, environment: Mapping[str, str]) -> Path:
    """Where LeRobot keeps the calibration of an arm that it knows by this name."""
    home = Path(environment.get("HF_HOME") or Path("~/.cache/huggingface").expanduser())
    lerobot = Path(environment.get("HF_LEROBOT_HOME") or home / "lerobot")
    folder = Path(environment.get("HF_LEROBOT_CALIBRATION") or lerobot / "calibration")
    return folder / "robots" / spec.calibration_folder / f"{name}.json"


def tick_map(spec: ServoSpec, calibration: Calibration) -> TickMap:
    """What the ticks of all servos mean, in the description's order."""
    rows = [
        (*_affine(servo, calibration[interface], spec.ticks_per_turn), calibration[interface])
        for interface, servo in spec.servos.items()
    ]
    return TickMap(
        scale=np.array([scale for scale, _, _ in rows]),
        offset=np.array([offset for _, offset, _ in rows]),
        lower=np.array([found.range_min for _, _, found in rows], dtype=np.int64),
        upper=np.array([found.range_max for _, _, found in rows], dtype=np.int64),
    )


def _affine(servo: Servo, found: MotorCalibration, ticks_per_turn: int) -> tuple[float, float]:
    """Radians per tick, and radians at tick zero."""
    place = servo.place
    if isinstance(place, Ends):
        scale = (place.at_max_rad - place.at_min_rad) / found.span
        return scale, place.at_min_rad - scale * found.range_min
    scale = place.sign * 2.0 * math.pi / ticks_per_turn
    return scale, place.middle_rad - scale * found.middle


def _motor(servo: Servo, spec: ServoSpec, section: Section) -> MotorCalibration:
    last = spec.ticks_per_turn - 1
    section.integer("id", minimum=servo.id, maximum=servo.id)
    # LeRobot writes 0 for this arm; 1 would turn around its ranges, not its degrees.
    section.integer("drive_mode", minimum=0, maximum=0)
    lower = section.integer("range_min", minimum=0, maximum=last - 1)
    return MotorCalibration(
        homing_offset=section.integer("homing_offset", minimum=-_MAX_OFFSET, maximum=_MAX_OFFSET),
        range_min=lower,
        range_max=section.integer("range_max", minimum=lower + 1, maximum=last),
    )


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key stands twice among {', '.join(key for key, _ in pairs)}")
    return found
