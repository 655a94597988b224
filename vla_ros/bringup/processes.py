# SPDX-License-Identifier: Apache-2.0
"""Run a deployment's processes: start, watch, restart, and stop every one of them, always.

One thread. Each process is the leader of its own group and writes to its own log file, so that
nothing it started outlives it and its last words can be shown.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from vla_ros.bringup.deployment import Deployment, Node, Program
from vla_ros.core.errors import VlaRosError

_log = logging.getLogger(__name__)

# What a process is told in turn, and how long it may take to obey [s].
STOP_SIGNALS = ((signal.SIGINT, 5.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0))
_LAST_LINES = 15


class ProcessDied(VlaRosError):  # noqa: N818 - the name is what happened
    """A process ended that should have gone on."""


@dataclass(slots=True)
class _Running:
    what: Node | Program
    process: subprocess.Popen[bytes]
    log: Path


class ProcessGroup:
    """The processes of a deployment; a context manager that stops them all."""

    def __init__(
        self, deployment: Deployment, *, log_folder: Path, environment: Mapping[str, str]
    ) -> None:
        """Start nothing yet.

        Args:
            deployment: What to run.
            log_folder: Where every process writes its output, to ``<name>.log``.
            environment: Variables beside the deployment's own, such as ROS_DOMAIN_ID.
        """
        self._deployment = deployment
        self._log_folder = log_folder
        self._environment = {**os.environ, **deployment.environment, **environment}
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> ProcessGroup:
        """Start every process.

        Raises:
            OSError: A process cannot be started; those that were are stopped again.
        """
        self._log_folder.mkdir(parents=True, exist_ok=True)
        try:
            for what in self._deployment.processes:
                self._start(what)
        except OSError:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop every process."""
        self.stop()

    def _start(self, what: Node | Program) -> None:
        log = self._log_folder / f"{what.name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                what.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        self._running[what.name] = _Running(what, process, log)

    def check(self, *, but: str = "") -> None:
        """Make sure that everything runs.

        Args:
            but: A process that may have ended.

        Raises:
            ProcessDied: Something ended; the text has its last words.
        """
        for name, running in self._running.items():
            code = running.process.poll()
            if code is not None and name != but:
                words = "\n".join(f"    {line}" for line in self.last_words(name))
                raise ProcessDied(f"{name} ended with code {code}; its log {running.log}:\n{words}")

    def pid(self, name: str) -> int:
        """A process's number."""
        return self._running[name].process.pid

    def last_words(self, name: str) -> list[str]:
        """The last lines of a process's log."""
        text = self._running[name].log.read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-_LAST_LINES:]

    def wait(self, name: str, *, timeout_s: float) -> int:
        """Wait until one process has ended while the others run.

        Returns:
            Its exit code.

        Raises:
            ProcessDied: Another one ended, or this one did not within ``timeout_s``.
        """
        awaited = self._running[name]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                return awaited.process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                self.check(but=name)
        raise ProcessDied(f"{name} did not end within {timeout_s:g} s")

    def kill(self, name: str) -> None:
        """End a process at once, as a crash would."""
        running = self._running[name]
        _signal_group(running.process, signal.SIGKILL)
        running.process.wait(timeout=STOP_SIGNALS[-1][1])

    def restart(self, name: str) -> None:
        """Start a process again that was killed or has ended."""
        self._start(self._running[name].what)

    def stop(self) -> None:
        """Stop everything: first politely and all at once, then less so."""
        for number, patience_s in STOP_SIGNALS:
            alive = [it for it in self._running.values() if it.process.poll() is None]
            for running in alive:
                _signal_group(running.process, number)
            deadline = time.monotonic() + patience_s
            for running in alive:
                try:
                    running.process.wait(timeout=max(deadline - time.monotonic(), 0.0))
                except subprocess.TimeoutExpired:
                    _log.warning("%s did not obey %s", running.what.name, number.name)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a process and all that it started; gone already is as good."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        _log.debug("process group %d is gone", process.pid)
