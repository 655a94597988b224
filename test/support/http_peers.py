# SPDX-License-Identifier: Apache-2.0
"""HTTP servers: ours, one that does as it is told, and one that does as NVIDIA's N1.5 did.

The last is FastAPI under uvicorn, played by the standard library: its statuses, bodies and habits
are theirs, and its arrays are read and written by what stands here alone.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from test.support.gr00t_samples import INSTRUCTION_KEY, moves
from test.support.running_front import RunningFront
from vla_ros.backends.base import PolicyBackend
from vla_ros.serving.gr00t_http_service import Gr00tHttpService
from vla_ros.serving.http_front import HttpFront
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.status_service import Health, Status

MAX_BYTES = 100_000

# Status, body, headers.
Answer = tuple[int, bytes, dict[str, str]]


@dataclass
class Asked:
    """What came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client: tuple[str, int]


@dataclass
class Peer:
    """A server that runs.

    Attributes:
        port: Where it listens.
        asked: What has come in.
    """

    port: int
    asked: list[Asked] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


@contextmanager
def answering(
    answer: Callable[[Asked], Answer | None], *, port: int = 0, idle_s: float = 5.0
) -> Iterator[Peer]:
    """A server whose answers a function gives; None: it hangs up without one.

    Args:
        answer: Called in a thread for each connection.
        port: 0 takes a free one.
        idle_s: A connection on which nothing was asked for so long is closed; uvicorn's is 5.
    """
    peer = Peer(0)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = idle_s

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, self.path, headers, body, self.client_address)
            peer.asked.append(asked)
            told = answer(asked)
            if told is None:
                self.close_connection = True
                return
            status, data, more = told
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    peer.port = server.server_address[1]
    try:
        yield peer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


class Running(RunningFront):
    """A front of ours over a backend.

    Attributes:
        service: What answers.
        port: Where it listens.
    """

    def __init__(
        self,
        backend: PolicyBackend,
        *,
        api_token: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        ready: bool = True,
        **options: Any,
    ) -> None:
        """Start it.

        Args:
            backend: What is served.
            api_token: Of the service.
            host: Where to listen.
            port: 0 takes a free one.
            ready: See ``RunningFront``.
            options: Of the worker.
        """
        worker = PolicyWorker(Sessions(backend), **options)
        status = Status(lambda: Health(worker.state, worker.detail))
        self.service = Gr00tHttpService(
            backend.policy, status, api_token=api_token, max_bytes=MAX_BYTES
        )
        front = HttpFront(self.service, worker, host=host, port=port, max_bytes=MAX_BYTES)
        self.port = int(front.address.rpartition(":")[2])
        super().__init__(front, worker, ready=ready)


@contextmanager
def running(backend: PolicyBackend, **options: Any) -> Iterator[Running]:
    """One that runs inside the block, and not after."""
    started = Running(backend, **options)
    try:
        yield started
    finally:
        started.stop()


def told(status: int, value: Any) -> Answer:
    """An answer in JSON."""
    return status, json.dumps(value).encode(), {"Content-Type": "application/json"}


def nvidia(asked: Asked) -> Answer:
    """What NVIDIA's server of N1.5 answers, whose policy gives the golden actions."""
    if asked.path not in ("/act", "/health"):
        return told(404, {"detail": "Not Found"})
    if asked.method != ("POST" if asked.path == "/act" else "GET"):
        return told(405, {"detail": "Method Not Allowed"})
    if asked.path == "/health":
        return told(200, {"status": "healthy", "model": "GR00T"})
    if not asked.headers.get("content-type", "").startswith("application/json"):
        return told(422, {"detail": [{"type": "dict_type", "loc": ["body"], "msg": "no dict"}]})
    try:
        return told(200, _act(json.loads(asked.body, object_hook=_arrays)))
    except (AssertionError, KeyError, ValueError) as error:
        return told(500, {"detail": f"Internal server error: {error}"})


def _act(payload: dict[str, Any]) -> dict[str, Any]:
    if "encoded" in payload:
        assert len(payload) == 1, "Only uses encoded payload!"
        payload = json.loads(payload["encoded"], object_hook=_arrays)
    if "observation" not in payload:
        raise ValueError("400: Missing 'observation' field in payload")
    seen = payload["observation"]
    for camera in ("front", "wrist"):
        image = seen[f"video.{camera}"]
        assert (image.shape, image.dtype) == ((1, 3, 4, 3), np.uint8), f"{camera}: {image.shape}"
    for key, size in (("single_arm", 5), ("gripper", 1)):
        assert seen[f"state.{key}"].shape == (1, size), key
    assert isinstance(seen[INSTRUCTION_KEY][0], str)
    return {
        "action.single_arm": _written(moves()[:, :5]),
        "action.gripper": _written(moves()[:, 5:]),
    }


def _arrays(value: dict[str, Any]) -> Any:
    if "__numpy__" not in value:
        return value
    data = base64.b64decode(value["__numpy__"])
    return np.frombuffer(data, np.dtype(value["dtype"])).reshape(value["shape"])


def _written(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"__numpy__": data, "dtype": array.dtype.str, "shape": array.shape}
