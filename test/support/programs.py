# SPDX-License-Identifier: Apache-2.0
"""Starts programs, waits for what they say, and ends them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0


class Program:
    """A process, and all that it has written to stderr and stdout."""

    def __init__(self, arguments: list[str], *, folder: Path = ROOT, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": _python_path(), **environment},
        )
        self._written = ""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def written(self) -> str:
        with self._news:
            return self._written

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what was written, once there is one."""
        with self._news:
            self._news.wait_for(
                lambda: re.search(pattern, self._written) or not self._reader.is_alive(), PATIENCE_S
            )
            found = re.search(pattern, self._written)
            assert found, f"{pattern!r} was not written: {self._written}"
            return found

    def end(self) -> int:
        """Kills it where it still runs; its exit status."""
        self.process.kill()
        status = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self._written += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextmanager
def program(arguments: list[str], *, folder: Path = ROOT, **environment: str) -> Iterator[Program]:
    """A program that runs inside the block, and not after."""
    started = Program(arguments, folder=folder, **environment)
    try:
        yield started
    finally:
        started.end()


@contextmanager
def policy_server(
    *arguments: str, port: int = 0, **environment: str
) -> Iterator[tuple[Program, int]]:
    """A policy server that is ready, and its port."""
    command = ["-m", "vla_ros.serving.policy_server", "--port", str(port), *arguments]
    # One that is killed leaves its local socket there.
    with (
        TemporaryDirectory() as temporary,
        program(command, **{"TMPDIR": temporary, **environment}) as started,
    ):
        found = started.wait_for(r"listening at [^ ]+:(\d+)")
        started.wait_for(r"ready: ")
        yield started, int(found[1])


def _python_path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
