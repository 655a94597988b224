# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import struct
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vla_ros.drivers.unitree.crc import c_layout, crc32, is_intact, sealed
from vla_ros.drivers.unitree.idl_go import MotorCmds
from vla_ros.drivers.unitree.idl_hg import IMUState, LowCmd, LowState, MotorCmd, MotorState

ROOT = Path(__file__).parents[3]
LAYOUTS = {
    LowCmd: "<2B2x" + "B3x5fI" * 35 + "5I",
    LowState: "<2I2B2xI" + "13fh2x" + "B3x4f2hf7I" * 35 + "40B5I",
}
# Where C leaves a gap, which no message carries.
GAPS = {
    LowCmd: {2, 3} | {4 + 28 * motor + gap for motor in range(35) for gap in (1, 2, 3)},
    LowState: {10, 11, 70, 71}
    | {72 + 56 * motor + gap for motor in range(35) for gap in (1, 2, 3)},
}
seeds = st.integers(0, 2**32 - 1)


def unitree_crc(words: bytes) -> int:
    """Unitree's own loop, a bit at a time."""
    crc = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", words):
        for bit in reversed(range(32)):
            high = crc >> 31
            crc = crc << 1 & 0xFFFFFFFF
            if high != word >> bit & 1:
                crc ^= 0x04C11DB7
    return crc


def parsed(kind: type, data: bytes) -> Any:
    """The message that C has laid out as these bytes."""
    values = iter(struct.unpack(LAYOUTS[kind], data))

    def take(number: int) -> list[Any]:
        return list(islice(values, number))

    if kind is LowCmd:
        return LowCmd(*take(2), [MotorCmd(*take(7)) for _ in range(35)], take(4), *take(1))
    version, numbers = take(2), take(3)
    imu = IMUState(take(4), take(3), take(3), take(3), *take(1))
    motors = [
        MotorState(*take(5), take(2), *take(1), take(2), *take(1), take(4)) for _ in range(35)
    ]
    return LowState(version, *numbers, imu, motors, bytes(take(40)), take(4), *take(1))


def random_bytes(kind: type, seed: int) -> bytes:
    """What C makes of a message of a seed, with the right checksum."""
    layout = LAYOUTS[kind]
    values = struct.unpack(layout, Random(seed).randbytes(struct.calcsize(layout)))
    # What is not a number has many bit patterns, of which Python keeps one.
    data = struct.pack(layout, *(0.0 if math.isnan(value) else value for value in values))
    return data[:-4] + struct.pack("<I", unitree_crc(data[:-4]))


def test_the_checksum_of_zeros_is_known():
    assert sealed(LowCmd()).crc == 0xFE172F9F
    assert not is_intact(LowCmd())


def test_the_words_are_taken_highest_byte_first():
    # The CRC-32/MPEG-2 of "12345678".
    assert crc32(b"43218765") == 0x49E3C2FB


@given(data=st.binary(max_size=64).map(lambda data: data[: len(data) // 4 * 4]))
def test_it_is_unitrees_loop(data: bytes):
    assert crc32(data) == unitree_crc(data)


@pytest.mark.parametrize(("kind", "size"), [(LowCmd, 1004), (LowState, 2092)])
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_a_message_is_laid_out_as_c_does(kind: type, size: int, seed: int):
    data = random_bytes(kind, seed)
    message = parsed(kind, data)

    assert len(data) == size
    assert c_layout(message) == data
    assert is_intact(message)
    assert sealed(replace(message, crc=0)) == message


@pytest.mark.parametrize("kind", [LowCmd, LowState])
@settings(max_examples=50, deadline=None)
@given(seed=seeds, data=st.data())
def test_a_single_flipped_bit_is_found(kind: type, seed: int, data: st.DataObject):
    laid_out = bytearray(c_layout(sealed(filled(kind, seed))))
    places = [place for place in range(len(laid_out)) if place not in GAPS[kind]]
    bit = data.draw(st.integers(0, 8 * len(places) - 1))
    assert is_intact(parsed(kind, bytes(laid_out)))

    laid_out[places[bit // 8]] ^= 1 << bit % 8

    assert not is_intact(parsed(kind, bytes(laid_out)))


def filled(kind: type, seed: int) -> Any:
    """A message with some numbers in it."""
    random = Random(seed)
    made = kind()
    for motor in made.motor_cmd if kind is LowCmd else made.motor_state:
        motor.mode, motor.q, motor.dq = 1, random.uniform(-3, 3), random.uniform(-9, 9)
    made.mode_machine = random.randrange(256)
    return made


def test_sealing_leaves_the_message_alone():
    message = LowCmd(mode_machine=5)

    assert is_intact(sealed(message))
    assert message == LowCmd(mode_machine=5)


def test_what_was_received_is_intact():
    message = sealed(filled(LowState, 1))

    # Doubles have become floats on the way, as in what was sealed.
    assert is_intact(LowState.deserialize(message.serialize()))


@pytest.mark.parametrize(
    "change",
    [
        {"mode_pr": 256},
        {"reserve": [0, 0, 0]},
        {"motor_cmd": [MotorCmd(q=1e39)] * 35},
        {"motor_cmd": [MotorCmd()] * 34},
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any]):
    with pytest.raises(ValueError, match=r"^unitree_hg\.msg\.dds_\.LowCmd_ has a value that does"):
        sealed(LowCmd(**change))


def test_a_message_without_a_checksum_is_refused():
    with pytest.raises(ValueError, match=r"^no layout of unitree_go.msg.dds_.MotorCmds_; there"):
        c_layout(MotorCmds())


def test_checksums_do_not_need_the_types():
    code = "import sys, vla_ros.drivers.unitree.crc; sys.exit('cyclonedds' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=30)
