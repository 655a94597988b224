# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from test.ros.harness import own_domain

ROOT = Path(__file__).parents[2]

# A node whose behaviour is chosen by its first argument.
PROGRAM = """
import logging, sys, threading, time
import numpy  # which starts threads of its own
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, param
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run

HOW = sys.argv[1]


class Node(LifecycleBase):
    def __init__(self):
        super().__init__("node")
        if HOW == "bad_start":
            raise ConfigError("nothing will come of this")

    def configure(self, undo):
        undo.callback(lambda: say("cleaned up"))
        logging.getLogger("vla_ros.core.thing").warning("a word from below")
        if HOW == "bad_configure":
            raise ConfigError("robot.yaml: nonsense")
        if HOW == "mistake":
            raise ZeroDivisionError("a mistake")

    def activate(self, undo):
        undo.callback(lambda: say("deactivated"))
        if HOW == "stuck":
            undo.callback(time.sleep, 60.0)
        if HOW == "slow":
            self.shutdown_s += 2.0
            undo.callback(time.sleep, 2.5)
        if HOW == "failing_thread":
            threading.Thread(target=self.work).start()
        if HOW == "failing_callback":
            self.every(undo, 0.01, lambda: 1 / 0)
        say("active")

    def work(self):
        with self.fatal("the thread"):
            raise ZeroDivisionError("a mistake")


def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


sys.exit(run(Node))
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[list[str]]:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    with own_domain() as domain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROS_DOMAIN_ID", str(domain))
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        yield [sys.executable, str(path)]


def ended(program: list[str], how: str, *arguments: str) -> tuple[int, str]:
    """Run until it ends by itself: its exit code and everything it said."""
    done = subprocess.run(
        [*program, how, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_undoes_everything_and_ends_well(program: list[str], number: signal.Signals):
    with subprocess.Popen(
        [*program, "well"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = iter(process.stdout.readline, "")
        said = list(iter(lambda: next(lines), "active\n"))
        process.send_signal(number)
        begin = time.monotonic()
        said += list(lines)
        code = process.wait(10)

    assert code == 0, said
    assert time.monotonic() - begin < 8.0
    assert [line for line in said if line in ("deactivated\n", "cleaned up\n")] == [
        "deactivated\n",
        "cleaned up\n",
    ]
    assert any(f"got {number.name}" in line for line in said)
    assert any("[vla_ros.core.thing]: a word from below" in line for line in said)


def test_what_cannot_be_undone_in_time_is_cut_off(program: list[str]):
    with subprocess.Popen(
        [*program, "stuck"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = iter(process.stdout.readline, "")
        for _ in iter(lambda: next(lines), "active\n"):
            pass
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        said = "".join(lines)
        code = process.wait(10)

    assert code == 1
    assert time.monotonic() - begin < 8.0  # it would be stuck for ever
    assert "cutting it off" in said


def test_what_needs_longer_to_be_undone_has_longer(program: list[str]):
    with subprocess.Popen(
        [*program, "slow"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        lines = iter(process.stdout.readline, "")
        for _ in iter(lambda: next(lines), "active\n"):
            pass
        process.send_signal(signal.SIGTERM)
        said = "".join(lines)
        code = process.wait(10)

    assert code == 0, said
    assert "cleaned up" in said


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("bad_start", "nothing will come of this"),
        ("bad_configure", "robot.yaml: nonsense"),
        ("mistake", "ZeroDivisionError: a mistake"),
        ("failing_thread", "the thread has failed"),
        ("failing_callback", "ZeroDivisionError"),
    ],
)
def test_a_failure_ends_the_process_with_a_code_and_a_reason(program: list[str], how, text):
    code, said = ended(program, how)

    assert code == 1
    assert text in said
    if how.startswith("failing"):
        assert said.index("deactivated") < said.index("cleaned up")


def test_a_bad_parameter_ends_the_process_with_its_name(program: list[str]):
    code, said = ended(program, "well", "--ros-args", "-p", "autostart:=maybe")

    assert code == 1
    assert "node: parameter 'autostart' must be" in said
    assert "Traceback" not in said


def test_without_autostart_a_failed_configure_does_not_end_it(program: list[str]):
    process = subprocess.Popen(
        [*program, "bad_configure", "--ros-args", "-p", "autostart:=false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.5)
        process.terminate()
        assert process.wait(10) == 0
