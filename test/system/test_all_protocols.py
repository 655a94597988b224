# SPDX-License-Identifier: Apache-2.0
"""One server, one policy, all protocols at once: the program as robots meet it."""

from __future__ import annotations

import json
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from test.support.golden_server import GoldenServer
from test.support.gr00t_samples import ROBOT, STAMP_NS, moves, observation, policy
from test.support.programs import PATIENCE_S, Program, program
from test.support.protocols import POLICY, PROTOCOLS, Spoken
from test.support.zmq_peers import serving
from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import BackendError
from vla_ros.wire.gr00t.message import decode_request
from vla_ros.wire.gr00t.wires import Gr00tWire

ROWS, STEP_NS = 3000, 33_333_333
AGAIN = 20


@dataclass
class Running:
    """A server of all protocols.

    Attributes:
        ports: Of each protocol, and of ``metrics``.
    """

    server: Program
    ports: dict[str, int]

    def client(self, spoken: Spoken) -> PolicyBackend:
        return spoken.connect_to(self.ports[spoken.name])

    def get(self, path: str) -> tuple[int, str]:
        address = f"http://127.0.0.1:{self.ports['metrics']}{path}"
        try:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def health(self) -> tuple[int, str]:
        status, text = self.get("/health")
        return status, json.loads(text)["state"]

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Name and the values of its labels, in their names' order, to the number."""
        status, text = self.get("/metrics")
        assert status == 200
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "robot.yaml").write_text(ROBOT)
    (tmp_path / "policy.yaml").write_text(POLICY)
    facts = ["--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml")]

    @contextmanager
    def running(*options: str) -> Iterator[Running]:
        names = [spoken.name for spoken in PROTOCOLS] + ["metrics"]
        flags = [part for spoken in PROTOCOLS for part in (spoken.flag, "0")]
        command = ["-m", "vla_ros.serving.policy_server", *facts, *flags, "--metrics", "0"]
        with program([*command, *options]) as server:
            # The server begins to load once all of them listen.
            server.wait_for(r"metrics: listening at [^ ]+:\d+ ")
            found = re.findall(r"listening at [^ ]+:(\d+)", server.written)
            yield Running(server, dict(zip(names, map(int, found), strict=True)))

    return running


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2 * len(PROTOCOLS)) as made:
        yield made


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def at_row(row: int, *, after: int = 0) -> Any:
    """An observation of a row's state, so many steps later."""
    state = np.full(6, row / 1000)
    return observation(stamp_ns=STAMP_NS + after * STEP_NS, state=state)


@pytest.fixture
def replay(tmp_path: Path) -> list[str]:
    """The options for a policy that remembers each client's episode; row i says i / 1000 + 5."""
    row = np.arange(ROWS)[:, None] / 1000 + np.zeros((1, 6))
    path = tmp_path / "episode.npz"
    np.savez(path, state=row, action=row + 5, timestamp_s=np.arange(ROWS) / 30)
    return ["--backend", "replay", "--backend-option", f"recording={path}"]


def test_clients_of_all_protocols_share_a_policy_and_no_episode(
    run: Callable[..., Any], replay: list[str], threads: ThreadPoolExecutor
):
    with run(*replay) as running, ExitStack() as stack:
        running.server.wait_for("ready: ")
        # Two of each protocol, each at another place of the episode.
        clients = [running.client(spoken) for spoken in PROTOCOLS for _ in range(2)]
        for ours in clients:
            stack.callback(ours.close)
        rows = [200 * (index + 1) for index in range(len(clients))]

        def first(ours: PolicyBackend, row: int) -> None:
            ours.connect()
            ours.infer(at_row(row))

        list(threads.map(first, clients, rows))
        before = running.metrics()

        def work(ours: PolicyBackend, row: int) -> float:
            """How far off the right row the answers were; the state says nothing any more."""
            answers = [ours.infer(at_row(0, after=step)).actions[0, 0] for step in range(AGAIN)]
            return max(abs((answer - 5) * 1000 - row) for answer in answers)

        off = list(threads.map(work, clients, rows))
        after = running.metrics()

        def more(*name: str) -> float:
            return after[name] - before[name]

        # Some protocols tell no stamps, so the episode goes on while they are answered.
        assert max(off) < 150
        for spoken in PROTOCOLS:
            assert more("vla_ros_requests_total", "ok", spoken.name) == 2 * AGAIN
        assert not [name for name in after if "error" in name or "refused" in name]
        for name in ("wait_seconds", "inference_seconds", "batch_size"):
            assert more(f"vla_ros_{name}_count") == len(clients) * AGAIN
        assert more("vla_ros_batch_size_sum") == len(clients) * AGAIN
        assert after["vla_ros_clients",] == len(clients)
        assert [after["vla_ros_state", state] for state in ("loading", "ready")] == [0, 1]


def test_the_policy_is_loaded_again_while_clients_work(
    run: Callable[..., Any], replay: list[str], threads: ThreadPoolExecutor
):
    with run(*replay) as running, ExitStack() as stack:
        running.server.wait_for("ready: ")
        ended = threading.Event()
        counts = dict.fromkeys(range(len(PROTOCOLS)), 0)

        def work(index: int, ours: PolicyBackend) -> None:
            while not ended.is_set():
                ours.infer(at_row(100))
                counts[index] += 1

        stack.callback(ended.set)
        working = []
        for index, spoken in enumerate(PROTOCOLS):
            ours = running.client(spoken)
            stack.callback(ours.close)
            ours.connect()
            working.append(threads.submit(work, index, ours))
        for reload in range(1, 4):
            before = dict(counts)
            running.server.process.send_signal(signal.SIGHUP)
            until(lambda reload=reload: running.server.written.count("anew: done") == reload)
            until(lambda before=before: all(counts[index] > before[index] + 1 for index in counts))
        ended.set()
        for future in working:
            future.result(PATIENCE_S)
        metrics = running.metrics()
        assert metrics["vla_ros_reloads_total", "ok"] == 3
        assert not [name for name in metrics if "error" in name or "refused" in name]
        assert "done" in json.loads(running.get("/health")[1])["reload"]


class Held:
    """A GR00T server that answers once it is let, and then as NVIDIA's."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), threading.Event()
        self._server = GoldenServer(Gr00tWire.B)

    def __call__(self, request: bytes) -> bytes | None:
        if decode_request(request).endpoint == "get_action":
            self.asked.set()
        assert self.go.wait(PATIENCE_S)
        return self._server(request)


def test_from_loading_to_the_end(run: Callable[..., Any], threads: ThreadPoolExecutor):
    held = Held()
    with serving(held) as behind, ExitStack() as stack:
        stack.callback(held.go.set)
        options = ["--backend", "gr00t_zmq", "--backend-option", f"port={behind.port}"]
        more = ["--backend-option", "timeout_s=30", "--drain-s", "30"]
        running = stack.enter_context(run(*options, *more))
        assert running.health() == (503, "loading")
        held.go.set()
        running.server.wait_for("ready: ")
        assert running.health() == (200, "ready")

        clients = [running.client(spoken) for spoken in PROTOCOLS]
        late = [running.client(spoken) for spoken in PROTOCOLS]
        for ours in (*clients, *late):
            stack.callback(ours.close)
            ours.connect()
            ours.infer(observation())
        held.asked.clear()
        held.go.clear()
        before = running.metrics()
        under_way = [threads.submit(ours.infer, observation()) for ours in clients]
        assert held.asked.wait(PATIENCE_S)
        # One of them is asked, the others wait.
        until(lambda: running.metrics()["vla_ros_waiting",] == len(clients) - 1)
        running.server.process.terminate()
        until(lambda: running.health() == (503, "ending"))
        for ours in late:
            with pytest.raises(BackendError, match="the server is ending"):
                ours.infer(observation())
        refused = running.metrics()
        for spoken in PROTOCOLS:
            assert refused["vla_ros_requests_total", "refused", spoken.name] == 1
        assert before["vla_ros_state", "ready"] == refused["vla_ros_state", "ending"] == 1
        held.go.set()
        for spoken, future in zip(PROTOCOLS, under_way, strict=True):
            # ACT's is the mean of two chunks.
            expected = moves()[: policy(spoken.text).horizon]
            np.testing.assert_allclose(future.result(PATIENCE_S).actions, expected, atol=0.01)
        assert running.server.process.wait(PATIENCE_S) == 0
        assert "Traceback" not in running.server.written
