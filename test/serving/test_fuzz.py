# SPDX-License-Identifier: Apache-2.0
"""Random and changed requests, over sockets, to a server in a process of its own.

It goes on answering as before, and has as many threads, open files and as much memory as before.
What the decoders accept is tested with them (test/wire).
"""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from test.support.gr00t_samples import ROBOT, observation
from test.support.programs import PATIENCE_S, Program, program
from test.support.protocols import POLICY, PROTOCOLS, Spoken
from test.support.socket_fuzz import SENDERS, noise

_LOG = logging.getLogger(__name__)
FEW, MANY = 500, 100_000
# Python's tables and pools have grown by then.
WARM_UP = 20_000
# Of all memory that the server has.
MORE = 0.05
# gRPC takes threads of a pool as it likes, and keeps them.
POOLS = {"lerobot": 100}

each = pytest.mark.parametrize("spoken", PROTOCOLS, ids=lambda spoken: spoken.name)


@dataclass(frozen=True)
class Size:
    """What a process takes."""

    threads: int
    files: int
    memory_kib: int

    def exceeds(self, before: Size, pool: int) -> bool:
        """Whether something was left behind."""
        return self.threads > max(before.threads, pool) or self.files > before.files


def size(server: Program) -> Size:
    """Now, once it has given back what it does not need."""
    times = server.written.count("gave back") + 1
    server.process.send_signal(signal.SIGUSR1)
    server.wait_for(rf"gave back {times}\n")
    folder = Path("/proc", str(server.process.pid))
    status = dict(
        line.split(":", 1) for line in (folder / "status").read_text().splitlines() if ":" in line
    )
    return Size(
        threads=int(status["Threads"]),
        files=len(list((folder / "fd").iterdir())),
        memory_kib=int(status["VmRSS"].split()[0]),
    )


def at_rest(server: Program, least: Size | None, pool: int) -> Size:
    """Its size once its clients' threads and sockets are gone, at most as before."""
    deadline_s = time.monotonic() + PATIENCE_S
    before, now = size(server), size(server)
    while time.monotonic() < deadline_s:
        steady = (before.threads, before.files) == (now.threads, now.files)
        if steady and (least is None or not now.exceeds(least, pool)):
            break
        time.sleep(0.1)
        before, now = now, size(server)
    return now


def answer(spoken: Spoken, port: int) -> np.ndarray:
    ours = spoken.connect_to(port)
    try:
        ours.connect()
        return ours.infer(observation()).actions
    finally:
        ours.close()


def fuzzed(spoken: Spoken, folder: Path, counts: tuple[int, int]) -> tuple[int, Size, Size]:
    """How many requests were accepted, and the server's size before and after the second lot."""
    (folder / "robot.yaml").write_text(ROBOT)
    (folder / "policy.yaml").write_text(POLICY)
    facts = ["--robot", str(folder / "robot.yaml"), "--policy", str(folder / "policy.yaml")]
    options = ["--protocol", spoken.name, "--port", "0", "--backend", "hold"]
    with program(["-m", "test.support.watched_server", *facts, *options]) as server:
        port = int(server.wait_for(r"listening at [^ ]+:(\d+)")[1])
        server.wait_for("ready: ")
        right = answer(spoken, port)
        sizes, accepted = [], 0
        for seed, count in enumerate(counts):
            noise(port, count // 100, seed)
            accepted += SENDERS[spoken.name](port, count, seed)
            np.testing.assert_array_equal(answer(spoken, port), right)
            sizes.append(at_rest(server, sizes[0] if sizes else None, POOLS.get(spoken.name, 0)))
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in server.written
        assert "the policy failed" not in server.written
    _LOG.info("%s: accepted %d of %d; %s, then %s", spoken.name, accepted, sum(counts), *sizes)
    return accepted, sizes[0], sizes[1]


@each
def test_changed_requests_stop_nothing(spoken: Spoken, tmp_path: Path):
    accepted, before, after = fuzzed(spoken, tmp_path, (FEW // 2, FEW // 2))
    assert accepted > FEW / 20
    assert not after.exceeds(before, POOLS.get(spoken.name, 0)), (before, after)


@pytest.mark.slow
@pytest.mark.timeout(900)
@each
def test_many_changed_requests_stop_nothing_and_leave_nothing(spoken: Spoken, tmp_path: Path):
    accepted, before, after = fuzzed(spoken, tmp_path, (WARM_UP, MANY - WARM_UP))
    assert accepted > MANY / 20
    assert not after.exceeds(before, POOLS.get(spoken.name, 0)), (before, after)
    assert after.memory_kib <= (1 + MORE) * before.memory_kib
