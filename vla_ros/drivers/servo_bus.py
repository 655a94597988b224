# SPDX-License-Identifier: Apache-2.0
"""Feetech STS3215 servos on a serial port, through rustypot.

One request is on the wire at a time, so one thread, or an external lock. Every call ends within a
few times the timeout, and lets other threads run meanwhile. What the library raises is mapped to
``DeviceError`` here. Ticks, ticks per second, Celsius, volts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError, DeviceError

# Neighbours in the servo's memory, read at once; the names are the library's.
_FEEDBACK = (
    "present_position",
    "present_velocity",
    "present_load",
    "present_voltage",
    "present_temperature",
)
# Of the error byte in each answer, by its bits.
_ALARMS = {0: "voltage", 1: "angle sensor", 2: "overheated", 3: "overcurrent", 5: "overload"}
_PORTS = ("serial/by-id/*", "ttyACM*", "ttyUSB*")


@dataclass(frozen=True, slots=True, eq=False)
class Feedback:
    """What all servos said at one moment.

    Attributes:
        position: (D,) [ticks]
        velocity: (D,) [ticks/s]
        load: (D,) How hard the motor drives, from -1 to 1: its duty cycle, not a torque.
        voltage_v: (D,)
        temperature_c: (D,)
        alarms: (D,) The servo's own complaints, in words; empty where there are none.
    """

    position: NDArray[np.int64]
    velocity: NDArray[np.float64]
    load: NDArray[np.float64]
    voltage_v: NDArray[np.float64]
    temperature_c: NDArray[np.float64]
    alarms: tuple[str, ...]


class ServoBus:
    """Some servos on one port, which is closed at first."""

    def __init__(self, port: str, ids: Sequence[int], *, baud_rate: int, timeout_s: float) -> None:
        """Find the library; nothing is opened yet.

        Args:
            port: The serial port, such as ``/dev/ttyACM0``.
            ids: (D,) The servos' addresses.
            baud_rate: Bits per second.
            timeout_s: How long one servo may be silent.

        Raises:
            ConfigError: The library is not installed.
        """
        try:
            import rustypot  # noqa: PLC0415 - an extra, needed for real arms alone
        except ImportError as error:
            raise ConfigError(
                f"the servo bus needs the Python package rustypot ({error});"
                ' pip install "vla_ros[so101]", or pip install rustypot'
            ) from error
        self.port = port
        self.ids = tuple(ids)
        self._ids = list(ids)
        self._baud_rate = baud_rate
        self._timeout_s = timeout_s
        self._library = rustypot.Sts3215PyController
        self._controller: Any = None
        registers: list[Any] = [self._library.register(name) for name in _FEEDBACK]
        self._begin = registers[0].addr
        self._length = registers[-1].addr + registers[-1].size - self._begin
        self._fields = [
            (entry.addr - self._begin, entry.size, entry.sign_bit) for entry in registers
        ]

    @property
    def is_open(self) -> bool:
        """Whether the port is held."""
        return self._controller is not None

    def open(self) -> None:
        """Take the port; whether servos are on it is not looked at.

        Raises:
            DeviceError: There is no such port, it is not permitted, or another program has it.
        """
        try:
            self._controller = self._library(self.port, self._baud_rate, self._timeout_s)
        except (OSError, RuntimeError, ValueError) as error:
            there = ", ".join(_ports()) or "none"
            raise DeviceError(
                f"{self.port} cannot be opened: {error}; serial ports here: {there}"
            ) from error

    def close(self) -> None:
        """Give the port back, if it is held."""
        if self._controller is not None:
            self._controller.close()
            self._controller = None

    def read(self) -> Feedback:
        """Ask all servos at once.

        Raises:
            DeviceError: A servo is silent or garbled, or the port is gone.
        """
        answers = self._do("sync_read_raw_data_with_error", self._ids, self._begin, self._length)
        rows = np.array([self._decode(bytes(data)) for data, _ in answers], dtype=np.int64)
        position, velocity, load, voltage, temperature = rows.T
        return Feedback(
            position=position,
            velocity=velocity.astype(np.float64),
            load=load / 1000.0,
            voltage_v=voltage / 10.0,
            temperature_c=temperature.astype(np.float64),
            alarms=tuple(_alarms(error) for _, error in answers),
        )

    def write_goals(self, ticks: Iterable[int]) -> None:
        """Tell all servos at once where to go; they do not answer.

        Args:
            ticks: (D,) In the order of ``ids``.

        Raises:
            DeviceError: The port is gone.
        """
        self._do("sync_write_register", self._ids, "goal_position", [int(tick) for tick in ticks])

    def read_register(self, name: str) -> tuple[int, ...]:
        """(D,) One register of all servos.

        Raises:
            DeviceError: A servo is silent or garbled, or the port is gone.
        """
        return tuple(self._do("sync_read_register", self._ids, name))

    def write_register(self, servo_id: int, name: str, value: int) -> None:
        """Write one register of one servo, which must confirm it.

        Raises:
            ConfigError: There is no such register, or the value does not fit.
            DeviceError: The servo is silent or garbled, or the port is gone.
        """
        self._do("write_register", servo_id, name, value, whose=f"servo {servo_id}: ")

    def set_torque(self, *, on: bool) -> None:
        """Let the motors hold, or let go. The EEPROM is locked while they hold, as in LeRobot.

        Raises:
            DeviceError: A servo did not confirm; the others were told all the same.
        """
        failed = []
        for servo_id in self.ids:
            try:
                self.write_register(servo_id, "torque_enable", int(on))
                self.write_register(servo_id, "lock", int(on))
            except DeviceError as error:
                failed.append(str(error))
        if failed:
            raise DeviceError(f"torque {'on' if on else 'off'}: {'; '.join(failed)}")

    def wait_for_silence(self) -> None:
        """Let everything be said that servos still say to a request that failed.

        It would be taken for the answer to the next one.
        """
        time.sleep(self._timeout_s)

    def silent(self) -> tuple[int, ...]:
        """The servos that do not answer, twice.

        Raises:
            DeviceError: The port is gone.
        """
        self.wait_for_silence()
        return tuple(
            servo_id
            for servo_id in self.ids
            if not self._do("ping", servo_id) and not self._do("ping", servo_id)
        )

    def _do(self, name: str, *arguments: Any, whose: str = "") -> Any:
        if self._controller is None:
            raise DeviceError(f"{self.port} is not open")
        try:
            return getattr(self._controller, name)(*arguments)
        except ValueError as error:
            raise ConfigError(f"{self.port}: {whose}{error}") from error
        except (OSError, RuntimeError) as error:
            raise DeviceError(f"{self.port}: {whose}{error}") from error

    def _decode(self, data: bytes) -> list[int]:
        values = []
        for begin, size, sign_bit in self._fields:
            value = int.from_bytes(data[begin : begin + size], "little")
            if sign_bit is not None:
                magnitude = value & ((1 << sign_bit) - 1)
                value = -magnitude if value >> sign_bit & 1 else magnitude
            values.append(value)
        return values


def _alarms(error: int) -> str:
    return ", ".join(name for bit, name in _ALARMS.items() if error >> bit & 1)


def _ports() -> list[str]:
    return [str(path) for pattern in _PORTS for path in sorted(Path("/dev").glob(pattern))]
