# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vla_ros.bringup import processes
from vla_ros.bringup.deployment import Deployment, Program
from vla_ros.bringup.processes import ProcessDied, ProcessGroup

SUPPORT = Path(__file__).parents[1] / "support"
ENVIRONMENT = {
    "PYTHONPATH": os.pathsep.join(
        [str(SUPPORT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    )
}


def group(folder: Path, how: str = "obey") -> ProcessGroup:
    deployment = Deployment(nodes=(), programs=(Program("stubborn", (how,)),))
    return ProcessGroup(deployment, log_folder=folder, environment=ENVIRONMENT)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_what_was_started_is_stopped(tmp_path: Path) -> None:
    with group(tmp_path) as running:
        eventually(lambda: running.last_words("stubborn") == ["up"])
        running.check()
        pid = running.pid("stubborn")
    assert not alive(pid)


def test_who_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signals = tuple(
        (number, 0.2 if at < 2 else 5.0) for at, (number, _) in enumerate(processes.STOP_SIGNALS)
    )
    monkeypatch.setattr(processes, "STOP_SIGNALS", signals)
    with group(tmp_path, "ignore") as running:
        eventually(lambda: running.last_words("stubborn") == ["up"])
        pid = running.pid("stubborn")
    assert not alive(pid)


def test_a_death_is_told_with_its_last_words(tmp_path: Path) -> None:
    words = r"stubborn ended with code 3(?s:.)*no reason"
    with group(tmp_path, "fail") as running, pytest.raises(ProcessDied, match=words):
        eventually(lambda: running.check() is not None)


def test_waiting_gives_the_exit_code(tmp_path: Path) -> None:
    with group(tmp_path, "fail") as running:
        assert running.wait("stubborn", timeout_s=20.0) == 3


def test_waiting_is_bounded(tmp_path: Path) -> None:
    with group(tmp_path) as running, pytest.raises(ProcessDied, match=r"did not end within 0\.3 s"):
        running.wait("stubborn", timeout_s=0.3)


def test_a_killed_process_can_be_started_again(tmp_path: Path) -> None:
    with group(tmp_path) as running:
        first = running.pid("stubborn")
        running.kill("stubborn")
        assert not alive(first)
        with pytest.raises(ProcessDied, match="code -9"):
            running.check()
        running.restart("stubborn")
        running.check()
        assert running.pid("stubborn") != first
