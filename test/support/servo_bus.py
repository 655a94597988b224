# SPDX-License-Identifier: Apache-2.0
"""Feetech STS3215 servos on a serial bus, emulated at the byte level on a pseudo-terminal.

The bus runs in a process of its own, as servos do. Bytes take the time that they take on the wire
at the bus's baud rate. A servo moves towards its goal as a first-order system, at its top speed at
most; it keeps its EEPROM without power, counts its position from its homing offset, and obeys its
position limits. The port is a link to the terminal: pulling the cable closes the terminal, and
plugging it in again makes a new one behind the same link.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import pty
import select
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

TURN = 4096
MODEL = 777
_PATIENCE_S = 10.0
_BROADCAST = 0xFE
_PING, _READ, _WRITE, _SYNC_READ, _SYNC_WRITE = 1, 2, 3, 0x82, 0x83
# Registers, by address; those below 40 are EEPROM.
_MODEL, _ID, _MINIMUM, _MAXIMUM, _OFFSET, _TORQUE, _GOAL, _LOCK = 3, 5, 9, 11, 31, 40, 42, 55
_POSITION, _SPEED, _LOAD, _VOLTAGE, _TEMPERATURE = 56, 58, 60, 62, 63
_RAM = 40
_SIZE = 90


def sign_magnitude(value: int, sign_bit: int) -> int:
    """A number as the servo stores it."""
    return -value | 1 << sign_bit if value < 0 else value


def from_sign_magnitude(word: int, sign_bit: int) -> int:
    """What a stored number means."""
    magnitude = word & ((1 << sign_bit) - 1)
    return -magnitude if word >> sign_bit & 1 else magnitude


def packet(servo: int, second: int, parameters: bytes = b"") -> bytes:
    """A packet of the bus; ``second`` is the instruction, or a status packet's error byte."""
    body = bytes([servo, len(parameters) + 2, second, *parameters])
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


class Servo:
    """One servo: its registers and its shaft, whose angle is counted in steps."""

    time_constant_s = 0.05
    top_speed = 6000.0

    def __init__(self, servo: int, shaft: float) -> None:
        self.shaft = shaft
        self.pushed: float | None = None
        self.speed = 0.0
        self.error = 0
        self._eeprom = bytearray(_RAM)
        self._eeprom[_MODEL : _MODEL + 2] = MODEL.to_bytes(2, "little")
        self._eeprom[_ID] = servo
        self._eeprom[_MAXIMUM : _MAXIMUM + 2] = (TURN - 1).to_bytes(2, "little")
        self.power_on()

    def power_on(self) -> None:
        """Forget everything but the EEPROM; the motor is limp."""
        self.memory = bytearray(_SIZE)
        self.memory[:_RAM] = self._eeprom
        self.memory[_LOCK] = 1
        self.memory[_VOLTAGE] = 74
        self.memory[_TEMPERATURE] = 31

    def word(self, address: int) -> int:
        return int.from_bytes(self.memory[address : address + 2], "little")

    def set_word(self, address: int, value: int) -> None:
        self.memory[address : address + 2] = value.to_bytes(2, "little")

    def read(self, address: int, length: int) -> bytes:
        offset = from_sign_magnitude(self.word(_OFFSET), 11)
        self.set_word(_POSITION, sign_magnitude(round(self.shaft) - offset, 15))
        self.set_word(_SPEED, sign_magnitude(round(self.speed), 15))
        self.set_word(_LOAD, sign_magnitude(max(-1000, min(1000, round(self.speed / 6))), 10))
        return bytes(self.memory[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        for place, byte in enumerate(data, start=address):
            self.memory[place] = byte
            if place < _RAM and not self.memory[_LOCK]:
                self._eeprom[place] = byte

    def move(self, duration_s: float) -> None:
        """Let time pass."""
        before = self.shaft
        if self.pushed is not None:
            self.shaft = self.pushed
        elif self.memory[_TORQUE]:
            goal = from_sign_magnitude(self.word(_GOAL), 15)
            goal = max(self.word(_MINIMUM), min(self.word(_MAXIMUM), goal))
            gap = goal + from_sign_magnitude(self.word(_OFFSET), 11) - self.shaft
            moved = gap * (1.0 - math.exp(-duration_s / self.time_constant_s))
            most = self.top_speed * duration_s
            self.shaft += max(-most, min(most, moved))
        if duration_s > 0.0:
            self.speed = (self.shaft - before) / duration_s


@dataclass
class Faults:
    """What goes wrong on the bus.

    Attributes:
        corrupt: So many status packets to come have a wrong byte.
        noisy: So many status packets to come have other bytes before them.
        truncated: So many status packets to come lack their end.
        missing: Servos that are not on the bus.
        delay_s: Every answer is so late.
    """

    corrupt: int = 0
    noisy: int = 0
    truncated: int = 0
    missing: set[int] = field(default_factory=set)
    delay_s: float = 0.0

    def spoil(self, status: bytes) -> bytes:
        if self.corrupt:
            self.corrupt -= 1
            status = status[:-2] + bytes([status[-2] ^ 0x41]) + status[-1:]
        if self.truncated:
            self.truncated -= 1
            status = status[: len(status) // 2]
        if self.noisy:
            self.noisy -= 1
            status = b"\x00\xff\x13" + status
        return status


class _Wire:
    """The emulated bus, in its own process."""

    def __init__(self, link: str, shafts: dict[int, float], baud: int) -> None:
        self._link = Path(link)
        self.servos = {servo: Servo(servo, shaft) for servo, shaft in shafts.items()}
        self.faults = Faults()
        # What was heard: how many packets of each instruction, and every write as it came.
        self.heard: dict[int, int] = {}
        self.bad = 0
        self._byte_s = 10.0 / baud
        self._buffer = b""
        self._moved_s = time.monotonic()
        self.master = -1
        self._slave = -1
        self.plug()

    def plug(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        fresh = self._link.with_suffix(".new")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._link)

    def pull(self) -> None:
        os.close(self._slave)
        os.close(self.master)
        self.master = -1
        self._link.unlink()
        self._buffer = b""

    def power_cycle(self) -> None:
        for servo in self.servos.values():
            servo.power_on()

    def take(self) -> None:
        """Take what has come over the wire, and answer every whole packet."""
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self.master, 4096)
        while (start := self._buffer.find(b"\xff\xff")) >= 0 and len(self._buffer) > start + 3:
            end = start + 4 + self._buffer[start + 3]
            if len(self._buffer) < end:
                return
            whole, self._buffer = self._buffer[start:end], self._buffer[end:]
            if ~sum(whole[2:-1]) & 0xFF != whole[-1]:
                self.bad += 1
                continue
            self.heard[whole[4]] = self.heard.get(whole[4], 0) + 1
            self._pass_time()
            begun_s = time.monotonic()
            self._obey(whole[2], whole[4], whole[5:-1], begun_s + len(whole) * self._byte_s)

    def _pass_time(self) -> None:
        now_s = time.monotonic()
        for servo in self.servos.values():
            servo.move(now_s - self._moved_s)
        self._moved_s = now_s

    def _obey(self, to: int, instruction: int, parameters: bytes, free_s: float) -> None:
        present = {id_: s for id_, s in self.servos.items() if id_ not in self.faults.missing}
        if instruction == _SYNC_WRITE:
            address, width = parameters[:2]
            for place in range(2, len(parameters), width + 1):
                if servo := present.get(parameters[place]):
                    servo.write(address, parameters[place + 1 : place + 1 + width])
        elif instruction == _SYNC_READ:
            for servo_id in parameters[2:]:
                if servo := present.get(servo_id):
                    free_s = self._answer(servo_id, servo, servo.read(*parameters[:2]), free_s)
        elif servo := present.get(to):
            if instruction == _WRITE:
                servo.write(parameters[0], parameters[1:])
            data = servo.read(*parameters) if instruction == _READ else b""
            self._answer(to, servo, data, free_s)

    def _answer(self, servo_id: int, servo: Servo, data: bytes, free_s: float) -> float:
        """Say it once the wire is free and the bytes have gone; returns when that was."""
        status = self.faults.spoil(packet(servo_id, servo.error, data))
        free_s += len(status) * self._byte_s + self.faults.delay_s
        time.sleep(max(free_s - time.monotonic(), 0.0))
        with contextlib.suppress(OSError):
            os.write(self.master, status)
        return free_s

    def tick(self) -> None:
        self._pass_time()


def _run(control: Connection, link: str, shafts: dict[int, float], baud: int) -> None:
    wire = _Wire(link, shafts, baud)
    control.send(None)
    while True:
        sources: list[Any] = [control] + ([wire.master] if wire.master >= 0 else [])
        ready, _, _ = select.select(sources, [], [], 0.005)
        if control in ready:
            try:
                change: Callable[[_Wire], Any] = control.recv()
            except EOFError:
                return
            wire.tick()
            control.send(change(wire))
        elif ready:
            wire.take()
        else:
            wire.tick()


# What a test can have done to the bus. Each is sent to the bus's process, so it is a plain function
# with arguments bound by ``functools.partial``.


def _set_faults(wire: _Wire, **faults: Any) -> None:
    for name, value in faults.items():
        setattr(wire.faults, name, value)


def _set_servo(wire: _Wire, servo: int, **values: Any) -> None:
    for name, value in values.items():
        setattr(wire.servos[servo], name, value)


def _set_byte(wire: _Wire, servo: int, address: int, value: int) -> None:
    wire.servos[servo].memory[address] = value


def _set_eeprom(wire: _Wire, servo: int, address: int, word: int) -> None:
    locked = wire.servos[servo].memory[_LOCK]
    wire.servos[servo].memory[_LOCK] = 0
    wire.servos[servo].write(address, word.to_bytes(2, "little"))
    wire.servos[servo].memory[_LOCK] = locked


def _snapshot(wire: _Wire) -> Snapshot:
    for servo in wire.servos.values():
        servo.read(0, 0)
    return Snapshot(
        memory={servo_id: bytes(servo.memory) for servo_id, servo in wire.servos.items()},
        shaft={servo_id: servo.shaft for servo_id, servo in wire.servos.items()},
        heard=dict(wire.heard),
        bad=wire.bad,
    )


@dataclass(frozen=True)
class Snapshot:
    """The bus at one moment.

    Attributes:
        memory: Servo to its registers.
        shaft: Servo to its shaft's angle [steps].
        heard: Instruction to how many packets of it were heard.
        bad: Packets that were heard with a wrong checksum.
    """

    memory: dict[int, bytes]
    shaft: dict[int, float]
    heard: dict[int, int]
    bad: int

    def word(self, servo: int, address: int, sign_bit: int = 15) -> int:
        return from_sign_magnitude(
            int.from_bytes(self.memory[servo][address : address + 2], "little"), sign_bit
        )

    def positions(self) -> list[int]:
        """As the servos count."""
        return [self.word(servo, _POSITION) for servo in self.memory]

    def goals(self) -> list[int]:
        return [self.word(servo, _GOAL) for servo in self.memory]

    def torque(self) -> list[bool]:
        return [bool(memory[_TORQUE]) for memory in self.memory.values()]

    @property
    def writes(self) -> int:
        """Packets that have changed a register."""
        return self.heard.get(_WRITE, 0) + self.heard.get(_SYNC_WRITE, 0)


class ServoBus:
    """The emulated bus as a test sees it.

    Attributes:
        port: What a program opens.
    """

    def __init__(self, port: Path, control: Connection) -> None:
        self.port = port
        self._control = control

    def do(self, change: Callable[[_Wire], Any]) -> Any:
        """Have something done to the bus, and wait until it is."""
        self._control.send(change)
        if not self._control.poll(_PATIENCE_S):
            raise TimeoutError("the emulated bus does not answer")
        return self._control.recv()

    def pull(self) -> None:
        """Pull the cable: the port is gone, the servos keep their power and hold."""
        self.do(_Wire.pull)

    def plug(self) -> None:
        """Put the cable back."""
        self.do(_Wire.plug)

    def power_cycle(self) -> None:
        """Take the servos' power away for a moment; the port stays."""
        self.do(_Wire.power_cycle)

    def spoil(self, **faults: Any) -> None:
        """Set some of ``Faults``."""
        self.do(partial(_set_faults, **faults))

    def servo(self, servo: int, **values: Any) -> None:
        """Set attributes of a servo: ``shaft``, ``pushed`` (a hand that moves it), ``error``."""
        self.do(partial(_set_servo, servo=servo, **values))

    def register(self, servo: int, address: int, value: int) -> None:
        """Set one byte of a servo, such as its temperature."""
        self.do(partial(_set_byte, servo=servo, address=address, value=value))

    def eeprom(self, servo: int, address: int, value: int, *, sign_bit: int = 15) -> None:
        """Set two bytes that a servo keeps without power."""
        word = sign_magnitude(value, sign_bit)
        self.do(partial(_set_eeprom, servo=servo, address=address, word=word))

    def look(self) -> Snapshot:
        """The bus now."""
        snapshot: Snapshot = self.do(_snapshot)
        return snapshot


@contextlib.contextmanager
def servo_bus(
    folder: Path, shafts: dict[int, float], *, baud: int = 1_000_000
) -> Iterator[ServoBus]:
    """A bus that runs inside the block.

    Args:
        folder: Where the port appears.
        shafts: Servo to where its shaft is at first [steps].
        baud: Bits per second on the wire.
    """
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    port = folder / "servo_bus"
    process = spawn.Process(target=_run, args=(theirs, str(port), shafts, baud), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_PATIENCE_S):
            raise TimeoutError("the emulated bus did not start")
        ours.recv()
        yield ServoBus(port, ours)
    finally:
        ours.close()
        process.join(_PATIENCE_S)
        process.kill()
        process.join()
