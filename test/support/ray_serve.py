# SPDX-License-Identifier: Apache-2.0
"""A Ray of our own, small, which ends with all its processes."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vla_ros.core.config_files import config_file

# No more than Ray's least, which is plenty for a few images.
STORE_BYTES = 100_000_000
PATIENCE_S = 120.0
ROOT = Path(__file__).parents[2]
# As the example says.
REPLICAS = 2
_MARK = "RAY_TMPDIR"


@dataclass
class Served:
    """An application that runs.

    Attributes:
        port: Where robots ask.
        folder: Ray's.
        log: What it wrote.
    """

    port: int
    folder: str
    log: Path

    @property
    def replicas(self) -> list[int]:
        """The processes that infer."""
        return processes(self.folder, "ray::ServeReplica:policy:Policy")


@contextmanager
def served(folder: Path, policies: dict[str, Any]) -> Iterator[Served]:
    """The example application, as ``serve run`` serves it, at a free port.

    Args:
        folder: For the log.
        policies: What it serves beside its own.
    """
    config = yaml.safe_load(config_file("ray", "so101_scripted").read_text("utf-8"))
    config["http_options"]["port"] = _free_port()
    args = config["applications"][0]["args"]
    args["policies"].update(policies)
    args["max_policies"] = len(args["policies"])
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
    command = [sys.executable, str(Path(sys.executable).with_name("serve")), "run", str(path)]
    with ray_environment() as variables, (folder / "log").open("w") as log:
        # Each line of each replica counts.
        environment = {**os.environ, **variables, "RAY_DEDUP_LOGS": "0"}
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=ROOT
        )
        running = Served(config["http_options"]["port"], variables[_MARK], folder / "log")
        try:
            _wait(running, process)
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)


def _wait(running: Served, process: subprocess.Popen[bytes]) -> None:
    """Until it answers, and all replicas are there."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (_answers(running.port) and len(running.replicas) == REPLICAS):
        assert process.poll() is None, running.log.read_text()
        assert time.monotonic() < deadline_s, running.log.read_text()
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ray_environment() -> Iterator[dict[str, str]]:
    """Variables for a small Ray; what was started with them does not outlive the block."""
    # Short, because sockets are in there.
    folder = tempfile.mkdtemp(prefix="ray")
    try:
        yield {
            _MARK: folder,
            "RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": str(STORE_BYTES),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Else Ray writes one below the home folder.
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }
    finally:
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def processes(folder: str, name: str = "") -> list[int]:
    """The processes that were started for a folder, or those whose command line begins so."""
    found = []
    for path in Path("/proc").iterdir():
        if not path.name.isdecimal() or int(path.name) == os.getpid():
            continue
        try:
            ours = f"{_MARK}={folder}\0".encode() in (path / "environ").read_bytes()
            if ours and (path / "cmdline").read_bytes().startswith(name.encode()):
                found.append(int(path.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def _end(folder: str) -> None:
    """Waits until all have ended; those that do not are killed."""
    deadline_s = time.monotonic() + PATIENCE_S / 2
    while left := processes(folder):
        if time.monotonic() > deadline_s:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
