# SPDX-License-Identifier: Apache-2.0
"""ZeroMQ servers that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import zmq

Frames = list[bytes]


class Server:
    """A ROUTER in a thread of its own, one request after the other, as a REP is.

    Attributes:
        port: Where it listens.
        requests: What has come in, of those in several parts the first.
    """

    def __init__(self, answer: Callable[..., bytes | list[Frames] | None], port: int) -> None:
        self._answer = answer
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.port = int(self._socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
        self.requests: list[bytes] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def end(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._thread.join(5)
        self._socket.close()
        self._context.term()

    def _serve(self) -> None:
        while not self._ended.is_set():
            if not self._socket.poll(10):
                continue
            name, *frames = self._socket.recv_multipart()
            start = frames.index(b"") + 1
            request, *rest = frames[start:]
            self.requests.append(request)
            answer = self._answer(request, *rest)
            if isinstance(answer, bytes):
                answer = [[*frames[:start], answer]]
            for reply in answer or []:
                with suppress(zmq.ZMQError):
                    self._socket.send_multipart([name, *reply])


@contextmanager
def serving(
    answer: Callable[..., bytes | list[Frames] | None], *, port: int = 0
) -> Iterator[Server]:
    """A server whose answers a function gives: bytes, raw messages, or None for silence.

    It is called with the parts of a request.
    """
    server = Server(answer, port)
    try:
        yield server
    finally:
        server.end()
