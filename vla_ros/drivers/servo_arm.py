# SPDX-License-Identifier: Apache-2.0
"""An arm of servos that may be unplugged: measured, held and moved.

After three reads in a row that failed, the port is closed and opened again until every servo
answers, and has the calibration and the registers that it should. Then the arm holds where it is:
nothing that was commanded before is carried out. One thread, or an external lock. Radians.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError, DeviceError, VlaRosError
from vla_ros.core.goal_limiter import GoalLimiter
from vla_ros.core.servo_calibration import Calibration, tick_map
from vla_ros.core.servo_spec import ServoSpec
from vla_ros.drivers.servo_bus import Feedback, ServoBus

# One garbled packet is nothing; this many are a fault.
_FAILURES = 3
_RETRY_S = 0.2


class ServoArm:
    """The arm.

    Attributes:
        ticks: Between its ticks and radians.
        fault: What is wrong with it, in words; empty: nothing.
        silent: Interfaces whose servos do not answer.
        newest: What was measured last; None at first and while there is a fault.
        failed_reads: Reads that gave nothing.
        recoveries: How often it came back after a fault.
        torque: Whether its motors shall hold.
    """

    def __init__(
        self,
        bus: ServoBus,
        spec: ServoSpec,
        calibration: Calibration,
        goals: GoalLimiter,
        *,
        dry_run: bool,
    ) -> None:
        """Know the arm; nothing is opened yet.

        Args:
            bus: Its servos, in the description's order.
            spec: Their description.
            calibration: What they must be calibrated as.
            goals: (D,) Bounds of their goals.
            dry_run: Only read: never write a register.
        """
        self.ticks = tick_map(spec, calibration)
        self.fault = ""
        self.silent: tuple[str, ...] = ()
        self.newest: Feedback | None = None
        self.failed_reads = 0
        self.recoveries = 0
        self.torque = False
        self._bus = bus
        self._spec = spec
        self._calibration = calibration
        self._goals = goals
        self._dry_run = dry_run
        self._failures = 0
        self._retry_s = 0.0

    @property
    def goal(self) -> NDArray[np.float64] | None:
        """(D,) Where it is told to be; None while it is not held."""
        return self._goals.goal

    def open(self) -> None:
        """Take the port, and see that it is this arm.

        Raises:
            ConfigError: It is calibrated otherwise, or a register does not exist.
            DeviceError: The port or a servo is not there.
        """
        self._patiently(self._open_once)

    def close(self) -> None:
        """Give the port back. Motors that hold go on holding."""
        self._bus.close()
        self._goals.let_go()
        self.newest = None

    def measure(self, now_s: float) -> Feedback | None:
        """Where it is; None where that is not known now, which ``fault`` may explain.

        Args:
            now_s: Now, on any clock that only goes forward.
        """
        if not self._bus.is_open and not self._reopened(now_s):
            return None
        try:
            feedback = self._bus.read()
            if self.torque and self._goals.goal is None:
                self._engage(feedback)
        except DeviceError as error:
            self.failed_reads += 1
            self._failures += 1
            if self._failures >= _FAILURES:
                self._lose(str(error), now_s)
            return None
        self._failures = 0
        self.newest = feedback
        return feedback

    def set_torque(self, *, on: bool) -> None:
        """Let the motors hold where they are, or let go.

        Raises:
            DeviceError: A servo did not confirm, or this is a dry run.
        """
        if self._dry_run:
            raise DeviceError("this is a dry run: the servos are only read")
        self.torque = on
        if not on:
            self._goals.let_go()
            self._bus.set_torque(on=False)
        elif self._goals.goal is None:
            self._patiently(lambda: self._engage(self._bus.read()))

    def steer(self, target: NDArray[np.float64]) -> None:
        """Move the goals towards a target, if the arm is held.

        Args:
            target: (D,) NaN: stay.
        """
        if self._goals.goal is None:
            return
        goals = self.ticks.to_ticks(self._goals.toward(target))
        try:
            self._bus.write_goals(goals.tolist())
        except DeviceError:
            # The next read finds out why.
            self._failures += 1

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do what may fail for one garbled packet, and may be done again.

        Raises:
            DeviceError: It failed every time.
        """
        for _ in range(_FAILURES - 1):
            try:
                return work()
            except DeviceError:
                self._bus.wait_for_silence()
        return work()

    def _engage(self, feedback: Feedback) -> None:
        """Hold where it is. The goals come first, so that torque does not pull to old ones."""
        for servo_id, tick in zip(self._bus.ids, feedback.position.tolist(), strict=True):
            self._bus.write_register(servo_id, "goal_position", tick)
        self._bus.set_torque(on=True)
        self._goals.hold(self.ticks.to_rad(feedback.position))

    def _lose(self, why: str, now_s: float) -> None:
        self.fault = why
        self.close()
        self._retry_s = now_s

    def _reopened(self, now_s: float) -> bool:
        if now_s < self._retry_s:
            return False
        try:
            self._open_once()
        except VlaRosError as error:
            self.fault = str(error)
            self._retry_s = now_s + _RETRY_S
            return False
        self._failures = 0
        self.fault = ""
        self.recoveries += 1
        return True

    def _open_once(self) -> None:
        try:
            self._bus.open()
        except DeviceError:
            self.silent = ()
            raise
        try:
            self._examine()
        except VlaRosError:
            self._bus.close()
            raise

    def _examine(self) -> None:
        silent = self._bus.silent()
        servos = self._spec.servos.items()
        self.silent = tuple(name for name, servo in servos if servo.id in silent)
        if self.silent:
            lost = ", ".join(f"{name} (id {self._spec.servos[name].id})" for name in self.silent)
            raise DeviceError(f"{self._bus.port}: no answer from {lost}")
        self._examine_calibration()
        if not self._dry_run:
            self._write_registers()

    def _examine_calibration(self) -> None:
        for register, field in (
            ("homing_offset", "homing_offset"),
            ("min_position_limit", "range_min"),
            ("max_position_limit", "range_max"),
        ):
            held = self._bus.read_register(register)
            for (name, wanted), value in zip(self._calibration.items(), held, strict=True):
                if value != getattr(wanted, field):
                    raise ConfigError(
                        f"{self._bus.port}: {name} holds {field} {value}, and the calibration says"
                        f" {getattr(wanted, field)}: another arm's file, or an arm that was"
                        " calibrated since; calibrate_so101 --apply writes a file into an arm"
                    )

    def _write_registers(self) -> None:
        """Write what differs, while the EEPROM is locked: servos forget it without power."""
        names = {name for servo in self._spec.servos.values() for name in servo.registers}
        for name in sorted(names):
            held = self._bus.read_register(name)
            for servo, value in zip(self._spec.servos.values(), held, strict=True):
                wanted = servo.registers.get(name, value)
                if wanted != value:
                    self._bus.write_register(servo.id, name, wanted)
