# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.support.arm import CALIBRATION, LOCK, MAXIMUM, MINIMUM, OFFSET, SPEC, arm_bus
from test.support.programs import ROOT
from test.support.servo_bus import ServoBus as Emulated
from vla_ros.core.servo_calibration import calibration_text, load_calibration
from vla_ros.drivers.calibrate_so101 import main

# Where the shafts are in the middle of the joints' ranges, and at their ends.
MIDDLE = (2100, 1900, 2500, 200, 4000, 2047)
LOW = (1000, 900, 1500, 100, 0, 1400)
HIGH = (3300, 2900, 3400, 900, 4095, 2800)
PROGRAM = [sys.executable, "-u", "-m", "vla_ros.drivers.calibrate_so101"]


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Emulated]:
    with arm_bus(tmp_path) as made:
        yield made


class Operator:
    """Somebody who moves the arm and presses Enter."""

    def __init__(self, emulated: Emulated, *arguments: str, **environment: str) -> None:
        self._emulated = emulated
        self.process = subprocess.Popen(
            [*PROGRAM, "--port", str(emulated.port), *arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(ROOT), **environment},
        )

    def move(self, shafts: tuple[int, ...]) -> None:
        for servo, shaft in zip(SPEC.ids, shafts, strict=True):
            self._emulated.servo(servo, shaft=float(shaft))
        # Every servo has been asked since.
        reads = self._reads() + 2
        while self._sweeping and self._reads() < reads:
            assert self.process.poll() is None

    _sweeping = False

    def _reads(self) -> int:
        return self._emulated.look().heard.get(0x82, 0)

    def sweep(self) -> None:
        self._sweeping = True

    def press(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def read_until(self, text: str) -> None:
        assert self.process.stdout is not None
        heard = ""
        while text not in heard:
            character = self.process.stdout.read(1)
            assert character, heard
            heard += character

    def rest(self) -> tuple[int, str]:
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out


def calibrate(operator: Operator, *, sweep: bool = True) -> tuple[int, str]:
    operator.read_until("middle of all its ranges, and press Enter. ")
    operator.move(MIDDLE)
    operator.press()
    operator.read_until("Move every joint from end to end, and press Enter.\n")
    operator.sweep()
    for shafts in (LOW, HIGH, MIDDLE) if sweep else (MIDDLE,):
        operator.move(shafts)
    operator.press()
    return operator.rest()


def test_an_arm_is_calibrated_as_lerobot_does(emulated: Emulated, tmp_path: Path):
    operator = Operator(emulated, "--id", "mine", HF_LEROBOT_HOME=str(tmp_path / "lerobot"))

    code, out = calibrate(operator)

    path = tmp_path / "lerobot/calibration/robots/so_follower/mine.json"
    assert (code, out.splitlines()[-1]) == (0, f"wrote {path}")
    data = json.loads(path.read_text())
    assert list(data) == [servo.motor for servo in SPEC.servos.values()]
    look = emulated.look()
    for place, entry in enumerate(data.values()):
        servo, offset = place + 1, MIDDLE[place] - 2047
        ends = [LOW[place] - offset, HIGH[place] - offset]
        if servo == 5:
            ends = [0, 4095]
        assert list(entry) == ["id", "drive_mode", "homing_offset", "range_min", "range_max"]
        assert list(entry.values()) == [servo, 0, offset, max(ends[0], 0), min(ends[1], 4095)]
        assert look.word(servo, OFFSET, 11) == offset
        assert [look.word(servo, MINIMUM), look.word(servo, MAXIMUM)] == list(entry.values())[3:]
        assert look.memory[servo][LOCK] == 1
    assert look.torque() == [False] * 6
    assert look.positions() == [2047] * 6
    emulated.power_cycle()
    assert emulated.look().positions() == [2047] * 6, "the servos keep it without power"
    assert load_calibration(path, SPEC)


def test_a_joint_that_was_not_moved_is_named(emulated: Emulated, tmp_path: Path, capfd):
    operator = Operator(emulated, "--output", str(tmp_path / "new.json"))

    code, _ = calibrate(operator, sweep=False)

    assert code == 2
    assert re.search(rf"{SPEC.interfaces[0]} was moved by \d+ ticks only", capfd.readouterr().err)
    assert not (tmp_path / "new.json").exists()


def test_nobody_at_the_keyboard_is_no_calibration(emulated: Emulated, tmp_path: Path, capfd):
    operator = Operator(emulated, "--output", str(tmp_path / "new.json"))

    assert operator.rest()[0] == 2
    assert "nobody can move the arm" in capfd.readouterr().err


def test_a_file_is_written_into_the_servos(emulated: Emulated, tmp_path: Path, capsys):
    for servo in SPEC.ids:
        emulated.eeprom(servo, OFFSET, 0)
        emulated.eeprom(servo, MAXIMUM, 4095)
    given = tmp_path / "given.json"
    given.write_text(calibration_text(CALIBRATION, SPEC))

    assert main(["--port", str(emulated.port), "--apply", str(given)]) == 0

    assert capsys.readouterr().out == f"{given} is in the servos now\n"
    emulated.power_cycle()
    look = emulated.look()
    for servo, found in zip(SPEC.ids, CALIBRATION.values(), strict=True):
        assert look.word(servo, OFFSET, 11) == found.homing_offset
        assert look.word(servo, MINIMUM) == found.range_min
        assert look.word(servo, MAXIMUM) == found.range_max


def test_a_file_is_not_replaced_unasked(emulated: Emulated, tmp_path: Path, capsys):
    path = tmp_path / "mine.json"
    before = path.read_text()

    assert main(["--port", str(emulated.port), "--output", str(path)]) == 2

    assert f"{path} is there already; --overwrite replaces it" in capsys.readouterr().err
    assert path.read_text() == before
    assert emulated.look().heard == {}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--port", "GONE", "--apply", "HERE/mine.json"], 1, "GONE cannot be opened: "),
        (["--port", "PORT", "--apply", "HERE/none.json"], 2, "none.json: cannot be read"),
        (["--port", "PORT", "--servos", "none", "--id", "x"], 2, "servos: 'none' is not known"),
    ],
)
def test_what_is_wrong_is_said(emulated: Emulated, tmp_path: Path, capsys, arguments, code, text):
    names = {"GONE": str(tmp_path / "gone"), "HERE": str(tmp_path), "PORT": str(emulated.port)}
    for name, path in names.items():
        arguments = [argument.replace(name, path) for argument in arguments]
        text = text.replace(name, path)

    assert main(arguments) == code
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--port", "x"], ["--port", "x", "--id", "a", "--apply", "b"]]
)
def test_wrong_arguments_end_it(arguments: list[str]):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
