# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.core.refusals import refused
from test.support.arm import ACCELERATION, LOCK, SPEC, START, TEMPERATURE, VOLTAGE, arm_bus
from test.support.servo_bus import ServoBus as Emulated
from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.drivers.servo_bus import ServoBus

# A time that the next request comes after, as it does in a driver.
TICK_S = 0.01


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    with arm_bus(tmp_path) as made:
        yield made


def closed(emulated: Emulated, timeout_s: float = 0.02) -> ServoBus:
    return ServoBus(str(emulated.port), SPEC.ids, baud_rate=1_000_000, timeout_s=timeout_s)


@pytest.fixture
def bus(emulated: Emulated) -> Iterator[ServoBus]:
    made = closed(emulated)
    made.open()
    yield made
    made.close()


def test_all_servos_are_read_at_once(emulated: Emulated, bus: ServoBus):
    emulated.register(2, TEMPERATURE, 61)
    emulated.register(3, VOLTAGE, 121)
    emulated.servo(4, error=0b100101)
    before = emulated.look().heard

    feedback = bus.read()

    assert feedback.position.tolist() == START.tolist()
    assert feedback.velocity.tolist() == feedback.load.tolist() == [0.0] * 6
    assert feedback.temperature_c.tolist() == [31.0, 61.0, 31.0, 31.0, 31.0, 31.0]
    assert feedback.voltage_v.tolist() == [7.4, 7.4, 12.1, 7.4, 7.4, 7.4]
    assert feedback.alarms == ("", "", "", "voltage, overheated, overload", "", "")
    after = emulated.look().heard
    assert {key: after[key] - before.get(key, 0) for key in after} == {0x82: 1}


def test_velocity_and_load_have_signs(emulated: Emulated, bus: ServoBus):
    bus.set_torque(on=True)
    bus.write_goals([0, 4095, *START[2:]])
    velocity, load = bus.read().velocity, bus.read().load

    deadline_s = time.monotonic() + 1.0
    while not (velocity[0] < -100.0 and velocity[1] > 100.0 and load[0] < -0.01 < 0.01 < load[1]):
        assert time.monotonic() < deadline_s
        feedback = bus.read()
        velocity, load = feedback.velocity, feedback.load


def test_goals_reach_all_servos(emulated: Emulated, bus: ServoBus):
    bus.write_goals([1000, 1100, 1200, 1300, 1400, 2222])

    bus.read()  # comes after the goals on the wire
    assert emulated.look().goals() == [1000, 1100, 1200, 1300, 1400, 2222]


def test_torque_locks_the_eeprom(emulated: Emulated, bus: ServoBus):
    bus.set_torque(on=True)
    assert emulated.look().torque() == [True] * 6
    assert [memory[LOCK] for memory in emulated.look().memory.values()] == [1] * 6

    bus.set_torque(on=False)
    assert emulated.look().torque() == [False] * 6
    assert [memory[LOCK] for memory in emulated.look().memory.values()] == [0] * 6


def test_torque_goes_off_wherever_it_can(emulated: Emulated, bus: ServoBus):
    bus.set_torque(on=True)
    emulated.spoil(missing={1, 3})

    with refused(DeviceError, "torque off: ", "servo 1: Operation timed out", "servo 3: "):
        bus.set_torque(on=False)

    assert emulated.look().torque() == [True, False, True, False, False, False]


def test_registers_are_written_and_read_with_their_sign(emulated: Emulated, bus: ServoBus):
    bus.write_register(6, "homing_offset", -55)
    bus.write_register(2, "acceleration", 254)

    assert bus.read_register("homing_offset") == (-12, 30, -700, 2047, 5, -55)
    assert emulated.look().memory[2][ACCELERATION] == 254


@pytest.mark.parametrize(("name", "value"), [("none_such", 1), ("acceleration", 256)])
def test_a_register_that_cannot_be_is_refused(bus: ServoBus, name: str, value: int):
    with refused(ConfigError, bus.port, name):
        bus.write_register(1, name, value)


@pytest.mark.parametrize("fault", ["corrupt", "truncated", "noisy"])
def test_a_bad_packet_costs_one_reading(emulated: Emulated, bus: ServoBus, fault: str):
    emulated.spoil(**{fault: 1})

    with refused(DeviceError, f"{bus.port}: motor 1: "):
        bus.read()
    time.sleep(TICK_S)
    for _ in range(5):
        assert bus.read().position.tolist() == START.tolist()


def test_a_late_answer_is_not_taken_for_the_next(emulated: Emulated, bus: ServoBus):
    emulated.spoil(delay_s=0.05)
    with refused(DeviceError, "timed out"):
        bus.read()
    emulated.spoil(delay_s=0.0)
    emulated.servo(1, shaft=1000.0 - 12.0)
    time.sleep(0.3)

    assert bus.read().position.tolist() == [1000, *START[1:]]


def test_a_missing_servo_is_named_in_time(emulated: Emulated, bus: ServoBus):
    emulated.spoil(missing={3, 6})
    begun_s = time.monotonic()

    with refused(DeviceError, "motor 3: "):
        bus.read()
    assert time.monotonic() - begun_s < 0.1
    assert bus.silent() == (3, 6)


def test_other_threads_run_while_a_servo_is_waited_for(emulated: Emulated):
    patient = closed(emulated, timeout_s=0.5)
    patient.open()
    emulated.spoil(missing=set(SPEC.ids))
    failed: list[Exception] = []

    def read() -> None:
        try:
            patient.read()
        except DeviceError as error:
            failed.append(error)

    reader = threading.Thread(target=read)
    begun_s = time.monotonic()
    reader.start()
    turns = 0
    while reader.is_alive():
        turns += 1
        time.sleep(0.005)

    assert failed
    assert time.monotonic() - begun_s >= 0.4
    assert turns > 20
    patient.close()


def test_a_pulled_cable_is_seen_at_once_and_the_port_can_be_opened_again(
    emulated: Emulated, bus: ServoBus
):
    emulated.pull()
    begun_s = time.monotonic()
    for act in (bus.read, bus.silent, lambda: bus.write_goals(START)):
        with refused(DeviceError, bus.port):
            act()
    assert time.monotonic() - begun_s < 0.1

    bus.close()
    with refused(DeviceError, "cannot be opened: No such file or directory; serial ports here: "):
        bus.open()
    emulated.plug()
    bus.open()
    assert bus.read().position.tolist() == START.tolist()


def test_two_programs_cannot_have_the_port(emulated: Emulated, bus: ServoBus):
    with refused(DeviceError, "cannot be opened: ", "lock"):
        closed(emulated).open()


def test_a_closed_port_is_said_to_be(emulated: Emulated):
    bus = closed(emulated)

    assert not bus.is_open
    with refused(DeviceError, f"{emulated.port} is not open"):
        bus.read()
    bus.close()


def test_a_missing_library_is_explained(emulated: Emulated, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "rustypot", None)

    with refused(ConfigError, "rustypot", 'pip install "vla_ros[so101]"'):
        closed(emulated)
