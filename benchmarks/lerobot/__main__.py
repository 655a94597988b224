# SPDX-License-Identifier: Apache-2.0
"""Side by side in one run: LeRobot's RobotClient and our ring, on the same PolicyServer and link.

``python -m benchmarks.lerobot``, after ``scripts/peers.sh``. Each side runs alone on the machine,
first beside the server, then behind a link of 100 Mbit/s. Writes ``out/lerobot/table.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lerobot.figures import Figures, stock_figures, table
from benchmarks.lerobot.ours import ours
from test.support.tcp_proxy import TcpProxy

ROOT = Path(__file__).resolve().parents[2]
PEER = ROOT / ".peers" / "lerobot" / "bin" / "python"
LINK_BYTES_PER_S = 100e6 / 8.0
DOMAIN = 77
_START_S = 60.0
_STOCK = "benchmarks.lerobot.stock"


def peer_environment() -> dict[str, str]:
    """Without ROS and our own environment, and without the network."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    return {**kept, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def peer(*words: str, folder: Path, seconds: float) -> None:
    """Run one of LeRobot's programs to its end."""
    with (folder / f"{words[0]}.log").open("ab") as log:
        subprocess.run(
            [PEER, "-m", _STOCK, *words],
            check=True,
            cwd=folder,
            env=peer_environment(),
            stdout=log,
            stderr=log,
            timeout=seconds,
        )


@contextlib.contextmanager
def served(folder: Path) -> Iterator[int]:
    """LeRobot's PolicyServer, new for each run; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [PEER, "-m", _STOCK, "server", str(port)],
            cwd=folder,
            env=peer_environment(),
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "server.log").read_text("utf-8")[-2000:])
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def linked(port: int, bytes_per_s: float) -> Iterator[int]:
    """A link to a port; its own port."""
    with TcpProxy(port) as proxy:
        proxy.bytes_per_s = bytes_per_s
        yield proxy.port


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--output", type=Path, default=ROOT / "out" / "lerobot")
    chosen = parser.parse_args()
    if not PEER.exists():
        sys.exit(f"{PEER} is not there: scripts/peers.sh makes it")
    rows: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        act = str(folder / "act")
        peer("checkpoint", act, folder=folder, seconds=_START_S)
        for link, bytes_per_s in (("loopback", float("inf")), ("100 Mbit/s", LINK_BYTES_PER_S)):
            with served(folder) as port, linked(port, bytes_per_s) as end:
                output = folder / "stock.json"
                words = ("client", str(end), act, str(chosen.seconds), "0.5", str(output))
                peer(*words, folder=folder, seconds=chosen.seconds + _START_S)
                rows[f"RobotClient, {link}"] = stock_figures(output)
            with served(folder) as port, linked(port, bytes_per_s) as end:
                rows[f"vla_ros, {link}"] = ours(end, act, chosen.seconds, folder, DOMAIN)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "table.md").write_text(table(rows), "utf-8")
    sys.stdout.write(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
