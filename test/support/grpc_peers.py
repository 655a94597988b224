# SPDX-License-Identifier: Apache-2.0
"""gRPC servers with messages of plain bytes that do as they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc

from vla_ros.wire.lerobot.methods import SEND_OBSERVATIONS

# The method's path, and the message or the list of parts.
Answer = Callable[[str, Any, grpc.ServicerContext], bytes]


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, server: Server) -> None:
        self._server = server

    def service(self, details: Any) -> Any:
        method = details.method
        if method == SEND_OBSERVATIONS:
            return grpc.stream_unary_rpc_method_handler(
                lambda parts, context: self._server.take(method, list(parts), context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: self._server.take(method, message, context)
        )


class Server:
    """A server on a free port.

    Attributes:
        port: Where it listens.
        methods: Which methods were called, by name.
        most: How many calls were answered at the same time, at most.
    """

    def __init__(self, answer: Answer, port: int) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0
        self.methods: list[str] = []
        self._threads = ThreadPoolExecutor(8)
        options = (("grpc.so_reuseport", 0), ("grpc.max_send_message_length", -1))
        self._server = grpc.server(self._threads, options=options)
        self._server.add_generic_rpc_handlers((_Handlers(self),))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def take(self, method: str, message: Any, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.methods.append(method.rpartition("/")[2])
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            return self._answer(method, message, context)
        finally:
            with self._lock:
                self._now -= 1

    def end(self) -> None:
        """Cuts every connection, as the end of its process would."""
        self._server.stop(None).wait(5)


@contextmanager
def serving(answer: Answer, *, port: int = 0) -> Iterator[Server]:
    """A server whose answers a function gives."""
    server = Server(answer, port)
    try:
        yield server
    finally:
        server.end()
