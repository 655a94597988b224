# SPDX-License-Identifier: Apache-2.0
"""The units that LeRobot counts a servo's position in, as affine maps of radians.

* ``lerobot_degrees``, the default of LeRobot from 0.4.4 on: 360/4095 per tick from the middle of
  the calibrated range. A physical turn has 4096 ticks, so these are a little more than degrees.
* ``lerobot_range``, the default before: -100 and 100 at the ends of the calibrated range.
* ``lerobot_percent``, for grippers: 0 and 100 at the ends.

LeRobot clamps the last two to their ends when it reads a position; here they go on. Reads the files
that a policy's description names; any thread.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.config_files import config_file
from vla_ros.core.section import Section
from vla_ros.core.servo_calibration import load_calibration
from vla_ros.core.servo_spec import Ends, Middle, ServoSpec, load_servo_spec

DEGREES, RANGE, PERCENT = LEROBOT_UNITS = ("lerobot_degrees", "lerobot_range", "lerobot_percent")


def read_lerobot_unit(
    section: Section, unit: str, interfaces: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What makes LeRobot's values of radians: ``value = scale * radians + offset``.

    Args:
        section: A vector key of a policy, with ``servos`` and, for ranges, ``calibration``: that of
            the arm that the policy drives, relative to the policy's file.
        unit: One of ``LEROBOT_UNITS``.
        interfaces: (D,) The key's interfaces.

    Returns:
        scale (D,), never zero, and offset (D,).

    Raises:
        ConfigError: A file is missing or wrong, or an interface has no such unit.
    """
    spec = load_servo_spec(config_file("servos", section.text("servos")))
    spans = _spans(section, spec) if unit == RANGE else {}
    pairs = []
    for interface in interfaces:
        if interface not in spec.servos:
            known = ", ".join(spec.servos)
            raise section.error(f"{interface} is no servo of {spec.source}: {known}", "interfaces")
        place = spec.servos[interface].place
        if isinstance(place, Ends) != (unit == PERCENT):
            fitting = PERCENT if isinstance(place, Ends) else f"{DEGREES} or {RANGE}"
            raise section.error(f"must be {fitting} for {interface}, found {unit}", "unit")
        pairs.append(_pair(place, spec.ticks_per_turn, spans.get(interface)))
    scale, offset = np.array(pairs).T
    return scale, offset


def _spans(section: Section, spec: ServoSpec) -> dict[str, int]:
    path = Path(section.source).parent / Path(section.text("calibration")).expanduser()
    found = load_calibration(path, spec)
    return {interface: motor.span for interface, motor in found.items()}


def _pair(place: Middle | Ends, ticks_per_turn: int, span: int | None) -> tuple[float, float]:
    if isinstance(place, Ends):
        scale = 100.0 / (place.at_max_rad - place.at_min_rad)
        return scale, -scale * place.at_min_rad
    ticks_per_rad = place.sign * ticks_per_turn / (2.0 * math.pi)
    per_tick = 360.0 / (ticks_per_turn - 1) if span is None else 200.0 / span
    scale = ticks_per_rad * per_tick
    return scale, -scale * place.middle_rad
