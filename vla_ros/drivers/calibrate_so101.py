# SPDX-License-Identifier: Apache-2.0
"""The program ``calibrate_so101``: finds an arm's middle and ranges, as LeRobot does.

The arm is let go. Where somebody holds it in the middle of its ranges becomes half a turn of every
servo, and how far its joints are then moved by hand becomes their ranges. Both are written into the
servos and, in LeRobot's format and where LeRobot looks for it, into a file. ``--apply`` writes a
file that there is into the servos. Exit status 0; 1 where the arm failed, 2 where something wrong
was told.
"""

from __future__ import annotations

import argparse
import os
import select
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.core.servo_calibration import (
    Calibration,
    MotorCalibration,
    calibration_text,
    lerobot_calibration_file,
    load_calibration,
)
from vla_ros.core.servo_spec import ServoSpec, load_servo_spec
from vla_ros.drivers.servo_bus import ServoBus

Ticks = NDArray[np.int64]
_LOOK_S = 0.02
# Less than this is no range but a joint that was not moved.
_LEAST_SPAN = 100


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="calibrate_so101", description="Calibrates an arm of Feetech servos as LeRobot does."
    )
    made.add_argument("--port", required=True, help="serial port, such as /dev/ttyACM0")
    made.add_argument(
        "--servos", default="so101", help="servos: a name in config/servos, or a file (%(default)s)"
    )
    made.add_argument("--baud-rate", type=int, default=1_000_000, help="bits per second")
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--id", help="LeRobot's id of the arm: writes the file that LeRobot reads")
    what.add_argument("--output", type=Path, help="writes this file instead")
    what.add_argument("--apply", type=Path, help="only writes this file into the servos")
    made.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return made


def find(
    bus: ServoBus, spec: ServoSpec, *, ask: Callable[[str], None], show: Callable[[Ticks], bool]
) -> Calibration:
    """Find a calibration with somebody who moves the arm, which must be let go.

    Args:
        bus: The servos, open.
        spec: Their description.
        ask: Says what shall be done, and returns once it is.
        show: Takes (3, D) least, present and greatest ticks; returns whether the ranges are whole.

    Raises:
        ConfigError: A joint was not moved.
        DeviceError: A servo does not answer.
    """
    last = spec.ticks_per_turn - 1
    plain = MotorCalibration(0, 0, last)
    write(bus, spec, dict.fromkeys(spec.servos, plain))
    ask("Hold the arm in the middle of all its ranges")
    # A servo whose position is half a turn then counts 0 to a whole turn on both sides of it.
    homes = np.minimum(bus.read().position - last // 2, last // 2)
    for servo_id, home in zip(spec.ids, homes.tolist(), strict=True):
        bus.write_register(servo_id, "homing_offset", home)
    lower = upper = bus.read().position
    whole = False
    while not whole:
        present = bus.read().position
        lower, upper = np.minimum(lower, present), np.maximum(upper, present)
        whole = show(np.array([lower, present, upper]))
    found = {}
    for place, (interface, servo) in enumerate(spec.servos.items()):
        if servo.range == "whole_turn":
            ends = 0, last
        else:
            ends = max(int(lower[place]), 0), min(int(upper[place]), last)
            if ends[1] - ends[0] < _LEAST_SPAN:
                raise ConfigError(
                    f"{interface} was moved by {ends[1] - ends[0]} ticks only; move every joint"
                    " from end to end"
                )
        found[interface] = MotorCalibration(int(homes[place]), *ends)
    return found


def write(bus: ServoBus, spec: ServoSpec, calibration: Calibration) -> None:
    """Write a calibration into the servos, which must be let go: that unlocks their EEPROM.

    Raises:
        DeviceError: A servo does not answer.
    """
    for interface, found in calibration.items():
        servo_id = spec.servos[interface].id
        bus.write_register(servo_id, "operating_mode", 0)
        bus.write_register(servo_id, "homing_offset", found.homing_offset)
        bus.write_register(servo_id, "min_position_limit", found.range_min)
        bus.write_register(servo_id, "max_position_limit", found.range_max)


def run(options: argparse.Namespace) -> str:
    """Do what the options say, and say what was done.

    Raises:
        ConfigError: Something is wrong with what was told.
        DeviceError: The arm is not there, or failed.
    """
    spec = load_servo_spec(config_file("servos", options.servos))
    target: Path | None = options.output
    if options.id is not None:
        target = lerobot_calibration_file(spec, options.id, os.environ)
    if target is not None and target.exists() and not options.overwrite:
        raise ConfigError(f"{target} is there already; --overwrite replaces it")
    given = load_calibration(options.apply, spec) if options.apply else None
    bus = ServoBus(options.port, spec.ids, baud_rate=options.baud_rate, timeout_s=0.05)
    bus.open()
    try:
        bus.set_torque(on=False)
        found = given or find(bus, spec, ask=_ask, show=_Table(spec).show)
        write(bus, spec, found)
        for servo_id in spec.ids:
            bus.write_register(servo_id, "lock", 1)
    finally:
        bus.close()
    if target is None:
        return f"{options.apply} is in the servos now"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(calibration_text(found, spec), encoding="utf-8")
    return f"wrote {target}"


def _ask(what: str) -> None:
    sys.stdout.write(f"{what}, and press Enter. ")
    sys.stdout.flush()
    if not sys.stdin.readline():
        raise ConfigError("the input has ended, so nobody can move the arm")


class _Table:
    """Shows the ranges while they grow, until Enter is pressed."""

    def __init__(self, spec: ServoSpec) -> None:
        self._motors = [servo.motor for servo in spec.servos.values()]
        self._shown = False

    def show(self, ticks: Ticks) -> bool:
        up = f"\x1b[{len(self._motors)}A" if self._shown and sys.stdout.isatty() else ""
        if not self._shown:
            sys.stdout.write("Move every joint from end to end, and press Enter.\n")
        if not self._shown or up:
            rows = zip(self._motors, *ticks.tolist(), strict=True)
            lines = [f"{name:>16} {low:5} {now:5} {high:5}\n" for name, low, now, high in rows]
            sys.stdout.write(up + "".join(lines))
            sys.stdout.flush()
        self._shown = True
        pressed, _, _ = select.select([sys.stdin], [], [], _LOOK_S)
        if pressed:
            sys.stdin.readline()
        return bool(pressed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = parser().parse_args(arguments)
    try:
        done = run(options)
    except ConfigError as error:
        sys.stderr.write(f"calibrate_so101: {error}\n")
        return 2
    except (DeviceError, OSError) as error:
        sys.stderr.write(f"calibrate_so101: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("calibrate_so101: stopped; the servos are let go\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
