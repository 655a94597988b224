# SPDX-License-Identifier: Apache-2.0
"""What an arm of servos says of itself in /diagnostics. Reads what the driver's thread replaces."""

from __future__ import annotations

from collections.abc import Iterator

from vla_ros.core.servo_spec import ServoSpec
from vla_ros.drivers.servo_arm import ServoArm
from vla_ros.drivers.servo_bus import Feedback
from vla_ros.ros.diagnostics import Level, Status


def arm_statuses(arm: ServoArm, spec: ServoSpec, *, port: str, dry_run: bool) -> Iterator[Status]:
    """The bus, and each servo.

    Args:
        arm: The arm.
        spec: Its servos.
        port: Where it is.
        dry_run: Whether it is only read.
    """
    feedback = arm.newest
    holding = "dry run: it is only read" if dry_run else "torque is off"
    well = "holds and follows" if arm.goal is not None else holding
    level = Level.OK if arm.goal is not None else Level.WARN
    yield Status(
        "bus",
        Level.ERROR if arm.fault else level,
        arm.fault or well,
        {
            "port": port,
            "failed_reads": str(arm.failed_reads),
            "recoveries": str(arm.recoveries),
        },
    )
    for place, interface in enumerate(spec.interfaces):
        name = f"servo {interface.rpartition('/')[0]}"
        if interface in arm.silent:
            yield Status(name, Level.ERROR, "does not answer")
        elif feedback is None:
            yield Status(name, Level.WARN, "is not measured")
        else:
            yield _servo(name, spec, feedback, place)


def _servo(name: str, spec: ServoSpec, feedback: Feedback, place: int) -> Status:
    celsius, volts = feedback.temperature_c[place], feedback.voltage_v[place]
    level, text = Level.OK, "is well"
    if celsius >= spec.warn_temperature_c:
        level, text = Level.WARN, f"is warm, from {spec.warn_temperature_c:g} C on"
    if feedback.alarms[place]:
        level, text = Level.ERROR, f"complains: {feedback.alarms[place]}"
    if not spec.min_voltage_v <= volts <= spec.max_voltage_v:
        allowed = f"{spec.min_voltage_v:g} to {spec.max_voltage_v:g} V"
        level, text = Level.ERROR, f"has a supply that is not within {allowed}"
    if celsius >= spec.max_temperature_c:
        level, text = Level.ERROR, f"is too hot, from {spec.max_temperature_c:g} C on"
    return Status(
        name,
        level,
        text,
        {
            "temperature_c": f"{celsius:g}",
            "voltage_v": f"{volts:.1f}",
            "load": f"{feedback.load[place]:.2f}",
            "ticks": str(feedback.position[place]),
        },
    )
