# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between HTTP and a service.

``run`` belongs to the caller's thread, which takes connections; each is served in a thread of its
own. A connection may stay, and is a client. ``stop`` may be called from anywhere.
"""

from __future__ import annotations

import contextlib
import logging
import re
import select
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.serving.asked import Client
from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService, refusal
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import MAX_SESSIONS
from vla_ros.serving.wake import Wake

_LOG = logging.getLogger(__name__)
_MAX_CONNECTIONS = 2 * MAX_SESSIONS
_BODY_S = 10.0
# A robot between two episodes says nothing for long.
_IDLE_S = 600.0
# For the last replies to go out.
_PATIENCE_S = 0.2
_LENGTH = re.compile(r"[0-9]{1,15}")


class HttpFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
    """

    def __init__(
        self, service: HttpService, worker: PolicyWorker, *, host: str, port: int, max_bytes: int
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            worker: What does what is asked of the policy.
            host: Where to listen.
            port: 0 takes a free one.
            max_bytes: A longer body is refused.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._worker = worker
        shown_host = f"[{host}]" if ":" in host else host
        try:
            self._server = _Server(host, port, self, max_bytes)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen at http://{shown_host}:{port}: {error}") from error
        self.address = f"http://{shown_host}:{self._server.server_address[1]}"
        self._wake = Wake()
        self._stopping = False

    def run(self) -> None:
        """Serve until somebody stops it; replies that are ready still go out."""
        woken, connects = self._wake.fileno(), self._server.fileno()
        while not self._stopping:
            ready, _, _ = select.select([woken, connects], [], [])
            if woken in ready:
                self._wake.clear()
            if connects in ready:
                self._server.handle_request()
        self._server.server_close()
        self._server.hang_up()
        self._wake.close()

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopping = True
        self._wake.ring()

    def answer(self, request: HttpRequest, address: tuple[str, int]) -> HttpReply:
        """The reply to a client's request. For the client's thread."""
        client = self._client(address)
        begun = self._service.begin(request, client)
        if isinstance(begun, HttpReply):
            return begun
        try:
            return self._worker.submit(begun, client).result()
        except VlaRosError as error:
            return self._service.refuse(error)

    def forget(self, address: tuple[str, int]) -> None:
        """Note that a client is gone. For the client's thread."""
        self._worker.forget(self._client(address))

    def _client(self, address: tuple[str, int]) -> Client:
        return Client(self._service.protocol, address)


class _Server(socketserver.ThreadingTCPServer):
    """Gives each connection a thread, as long as there are some."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = MAX_SESSIONS
    # ``handle_request`` is called when there is one.
    timeout = 0.0

    def __init__(self, host: str, port: int, front: HttpFront, max_bytes: int) -> None:
        self.front = front
        self.max_bytes = max_bytes
        self.hung_up = False
        # Guards the connections that are served; one that has ended is told.
        self._changed = threading.Condition()
        self._served: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Connection)

    def hang_up(self) -> None:
        """Take no more requests of anybody, and wait a moment for the last replies to go out."""
        # Data that comes after the shutdown below can be read all the same.
        self.hung_up = True
        with self._changed:
            for connection in self._served:
                # It may have gone by itself.
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._served, _PATIENCE_S)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        with self._changed:
            admitted = len(self._served) < _MAX_CONNECTIONS
            if admitted:
                self._served.add(request)
        if not admitted:
            _LOG.warning("turned a connection away: there are %d", _MAX_CONNECTIONS)
        return admitted

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._served.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that is gone, or does not speak HTTP.
        _LOG.debug("a connection failed", exc_info=True)


class _Connection(BaseHTTPRequestHandler):
    """Reads requests and writes replies, one after the other."""

    server: _Server
    protocol_version = "HTTP/1.1"
    # Whatever cannot be read is answered in what everybody reads.
    default_request_version = "HTTP/1.1"
    server_version = "vla_ros"
    sys_version = ""
    disable_nagle_algorithm = True
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Answer it."""
        self._answer()

    def do_POST(self) -> None:
        """Answer it."""
        self._answer()

    def finish(self) -> None:
        """The client is gone."""
        super().finish()
        self.server.front.forget(self._address())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer a request that cannot be read."""
        self.close_connection = True
        self._send(refusal(code, message or "the request cannot be read"))

    def log_message(self, format: str, *args: Any) -> None:
        """What the standard server would print."""
        _LOG.debug(format, *args)

    def _answer(self) -> None:
        if self.server.hung_up:
            self.close_connection = True
            return
        reply = self._too_long()
        if reply is None:
            request = HttpRequest(
                method=self.command,
                path=self.path.partition("?")[0],
                content_type=self.headers.get("Content-Type", ""),
                authorization=self.headers.get("Authorization", ""),
                body=self._body(int(self.headers.get("Content-Length", "0"))),
            )
            reply = self.server.front.answer(request, self._address())
        self._send(reply)

    def _send(self, reply: HttpReply) -> None:
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(len(reply.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.body)

    def _too_long(self) -> HttpReply | None:
        """The refusal of a body whose length is not told or not allowed: it is not read."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or _LENGTH.fullmatch(length) is None:
            self.close_connection = True
            return refusal(411, "a body needs its length in the header Content-Length")
        if int(length) > self.server.max_bytes:
            self.close_connection = True
            return refusal(
                413, f"the body has {length} bytes; at most {self.server.max_bytes} are allowed"
            )
        return None

    def _body(self, length: int) -> bytes:
        """What follows the headers; a client that takes too long loses its connection."""
        deadline_s, parts = time.monotonic() + _BODY_S, []
        try:
            while length > 0:
                self.connection.settimeout(max(deadline_s - time.monotonic(), 1e-3))
                parts.append(self.rfile.read1(length))
                if not parts[-1]:
                    raise ConnectionAbortedError("the body ended too early")
                length -= len(parts[-1])
        finally:
            self.connection.settimeout(_IDLE_S)
        return b"".join(parts)

    def _address(self) -> tuple[str, int]:
        return (self.client_address[0], self.client_address[1])
