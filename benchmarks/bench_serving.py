# SPDX-License-Identifier: Apache-2.0
"""What 1 to 64 robots get of our server, with batches and without, and of a strictly serial one.

A model's cost is c(n) for a batch of n, at most M at once; that of the sleeping one is a + b n. N
robots that ask as soon as they have their answer cannot get more than n / c(n) answers a second,
n = min(N, M): the model is never idle, and no batch is smaller than it can be. Without batches that
is 1 / c(1). "of ideal" is the share of it, so it holds the server's own costs and the wire's too.
The gain of batches is the rate with them to the rate without, beside that of the ideal rates.

Waits are from a request to its answer, of all robots; "max/p50" is the longest to the median: it
shows who is starved. "robots' CPU" is what asking costs, to see that it does not slow the servers.

Paced robots ask three times a second, as chunks demand that last twice as long; "late" answers took
longer than what is left of a chunk.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serving.facts import SIDE_PX, described, write_policy
from benchmarks.serving.robots import Load, Outcome, Robots
from benchmarks.serving.sleep_model import SleepModelConfig

_ROOT = Path(__file__).resolve().parents[1]
_PEER = _ROOT / ".peers" / "lerobot" / "bin" / "python"
_SMALL, _REAL = (SIDE_PX, SIDE_PX), (480, 640)
_ROBOTS = (1, 2, 4, 8, 16, 32, 64)
_PACED = (4, 16, 64)
_PERIOD_S = 1 / 3
_MAX_BATCH = 16
_TERMINATED_S = 10.0
_WARM_UP_S = 1.5
_HEAD = (
    "| robots | server | answers/s | {} | p50 ms | p99 ms | max ms | max/p50 | {} |\n"
    f"|{'---|' * 9}"
)


@dataclass(frozen=True, slots=True)
class Server:
    """One that is measured.

    Attributes:
        name: In the table.
        kind: See ``benchmarks.serving.server``.
        options: Of our own.
        max_batch: How many observations it has inferred at once.
    """

    name: str
    kind: str
    options: tuple[str, ...] = ()
    max_batch: int = 1


_SERVERS = (
    Server("batches", "ours", (), _MAX_BATCH),
    Server("no batches", "ours", ("--max-batch", "1")),
    Server("serial", "serial"),
)


@dataclass(frozen=True, slots=True)
class Model:
    """What is served.

    Attributes:
        name: See ``benchmarks.serving.server``.
        python: Which Python can run it.
    """

    name: str
    python: str


Cost = Callable[[int], float]


@contextmanager
def served(server: Server, model: Model, policy: Path) -> Iterator[tuple[str, Cost]]:
    """A server in a process of its own: its address, and what its inferences cost by batch [s]."""
    command = [model.python, "-m", "benchmarks.serving.server", server.kind, model.name]
    with subprocess.Popen(
        [*command, str(policy), *server.options],
        stderr=subprocess.PIPE, text=True, cwd=_ROOT, env=_environment(),
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said, cost = [], _sleeps
        try:
            for line in process.stderr:
                said.append(line)
                if line.startswith("costs "):
                    cost = _interpolated(line.removeprefix("costs "))
                if found := re.search(r"listening at (tcp://\S+)", line):
                    yield found[1], cost
                    return
            raise RuntimeError("".join(said))
        finally:
            process.terminate()
            process.stderr.read()
            process.wait(_TERMINATED_S)


def _sleeps(batch: int) -> float:
    config = SleepModelConfig()
    return (config.fixed_ms + config.each_ms * batch) / 1000


def _interpolated(text: str) -> Cost:
    costs = {int(batch): cost for batch, cost in json.loads(text).items()}
    return lambda batch: float(np.interp(batch, list(costs), list(costs.values())))


def measured(
    server: Server, model: Model, policy: Path, load: Load, seconds: float
) -> tuple[Outcome, float]:
    """What robots get of a server, and how many answers a second they could get at most."""
    with served(server, model, policy) as (address, cost):
        robots = Robots(described(policy)[1], load, address)
        try:
            # At a serial server each waits for all others.
            outcome = robots.run(_WARM_UP_S + load.robots * cost(1), seconds)
        finally:
            robots.close()
    batch = min(load.robots, server.max_batch)
    return outcome, batch / cost(batch)


def closed_loop(
    model: Model, policy: Path, counts: Sequence[int], seconds: float, size: tuple[int, int]
) -> None:
    """The table of robots that ask as soon as they have their answer."""
    print(_HEAD.format("of ideal", "robots' CPU"))
    gains = []
    for count in counts:
        rates = []
        for server in _SERVERS:
            outcome, ideal_hz = measured(server, model, policy, Load(count, size), seconds)
            rates.append((outcome.rate_hz, ideal_hz))
            print(
                f"| {count} | {server.name} | {outcome.rate_hz:.0f} |"
                f" {outcome.rate_hz / ideal_hz:.2f} | {_waits(outcome)} | {outcome.busy:.0%} |",
                flush=True,
            )
        (batches, ideal_batches), (single, ideal_single), _ = rates
        gain, ideal = batches / single, ideal_batches / ideal_single
        gains.append(f"{count} robots: {gain:.1f} of {ideal:.1f} ({gain / ideal:.2f})")
    print(f"\nGain of batches, of the ideal gain: {'; '.join(gains)}.")


def paced(model: Model, policy: Path, counts: Sequence[int], seconds: float) -> None:
    """The table of robots that ask as their chunks demand."""
    print(_HEAD.format("of asked", "late"))
    for count in counts:
        for server in _SERVERS:
            load = Load(count, _SMALL, _PERIOD_S)
            outcome, _ = measured(server, model, policy, load, seconds)
            asked_hz = count / _PERIOD_S
            late = (outcome.waits_s > _PERIOD_S).mean()
            print(
                f"| {count} | {server.name} | {outcome.rate_hz:.0f} |"
                f" {outcome.rate_hz / asked_hz:.2f} | {_waits(outcome)} | {late:.0%} |",
                flush=True,
            )


def _waits(outcome: Outcome) -> str:
    p50, p99, longest = np.percentile(outcome.waits_s, (50, 99, 100)) * 1000
    return f"{p50:.0f} | {p99:.0f} | {longest:.0f} | {longest / p50:.1f}"


def torch_model(folder: Path) -> Model | None:
    """A network on the CPU; None: there is no torch."""
    python = sys.executable if importlib.util.find_spec("torch") else str(_PEER)
    if not Path(python).exists():
        return None
    command = [python, "-m", "benchmarks.serving.network", str(folder / "network.pt")]
    subprocess.run(command, check=True, cwd=_ROOT, env=_environment())
    return Model("torch", python)


def _environment() -> dict[str, str]:
    """One thread for each library, which does not spin while it waits: there are few cores."""
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **threads, "PYTHONPATH": str(_ROOT)}


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--robots", type=int, nargs="+", default=_ROBOTS)
    parser.add_argument("--seconds", type=float, default=4.0, help="per run (%(default)g)")
    parser.add_argument("--parts", nargs="+", choices=_PARTS, default=_PARTS, help="(%(default)s)")
    options = parser.parse_args()
    counts, seconds = options.robots, options.seconds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        policy, sleeps = write_policy(folder), Model("sleep", sys.executable)
        if "closed" in options.parts:
            print(f"\n### A model that sleeps 20 + n ms, images of {SIDE_PX}x{SIDE_PX}\n")
            closed_loop(sleeps, policy, counts, seconds, _SMALL)
        if "paced" in options.parts:
            print("\n### The same, asked by each robot three times a second\n")
            paced(sleeps, policy, [count for count in counts if count in _PACED], seconds)
        if "real" in options.parts:
            print("\n### The same as first, images of 480x640: 1.84 MB a request\n")
            closed_loop(sleeps, policy, [count for count in counts if count == 16], seconds, _REAL)
        if "torch" in options.parts:
            print("\n### A network on the CPU, one thread\n")
            network = torch_model(folder)
            if network is None:
                print("Left out: there is no torch here. scripts/peers.sh true installs one.")
            else:
                closed_loop(network, policy, counts, seconds, _SMALL)


_PARTS = ("closed", "paced", "real", "torch")

if __name__ == "__main__":
    main()
