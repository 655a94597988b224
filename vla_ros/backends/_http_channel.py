# SPDX-License-Identifier: Apache-2.0
"""One connection to an HTTP server that is asked one thing at a time.

A request that got no answer in time is not followed by another until its late answer came, because
a server works it off all the same. A connection that the server closed meanwhile is made anew; one
that fails is tried again after a time that doubles. Proxies of the environment are not used: a
robot's network is its own. How long a name takes to be resolved is the system's affair.

All of it belongs to one thread. Times are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import http.client
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

from vla_ros.backends._patience import Backoff, ChannelTimes
from vla_ros.core.addresses import join_address
from vla_ros.core.errors import BackendSilent, BackendUnavailable, WireFormatError

_READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server answered.

    Attributes:
        status: Such as 200.
        content_type: What the body is, as the server says.
        body: It, whole.
    """

    status: int
    content_type: str
    body: bytes


class HttpChannel:
    """A request goes out, its answer comes back, or ``BackendUnavailable`` is raised in time.

    Attributes:
        address: ``http://host:port``.
    """

    def __init__(self, host: str, port: int, *, times: ChannelTimes, max_bytes: int) -> None:
        """Keep the facts; the first call connects.

        Args:
            host: The server's name or address.
            port: Its port.
            times: How patient to be.
            max_bytes: A longer answer loses the connection.
        """
        self.address = f"http://{join_address(host, port)}"
        self._host, self._port = host, port
        self._times = times
        self._max_bytes = max_bytes
        self._open: http.client.HTTPConnection | None = None
        self._connections = 0
        self._pending_until_s: float | None = None
        self._backoff = Backoff(self.address, times)

    def open(self, deadline_s: float) -> int:
        """Make sure that a request can be sent now.

        Returns:
            Which connection this is: another number means that it may be another server.

        Raises:
            BackendUnavailable: It cannot be sent before the deadline.
        """
        self._ready(deadline_s)
        return self._connections

    def call(
        self,
        method: str,
        path: str,
        *,
        deadline_s: float,
        body: bytes = b"",
        headers: Mapping[str, str],
    ) -> HttpAnswer:
        """Send a request and wait for its answer, whatever its status.

        Raises:
            BackendUnavailable: No answer before the deadline.
            WireFormatError: The answer is longer than allowed.
        """
        connection = self._ready(deadline_s)
        started_s = time.monotonic()
        try:
            _socket(connection).settimeout(max(deadline_s - started_s, 1e-3))
            connection.request(method, path, body or None, dict(headers))
        except (OSError, http.client.HTTPException) as error:
            raise self._fail(f"the request cannot be sent: {_words(error)}") from error
        self._pending_until_s = started_s + self._times.drain_s
        answer = self._answer(connection, deadline_s)
        if answer is None:
            raise BackendSilent(
                f"{self.address} gave no answer within {time.monotonic() - started_s:.2f} s"
            )
        self._backoff.worked()
        return answer

    def close(self) -> None:
        """Let go of the connection. A later call connects anew."""
        if self._open is not None:
            self._open.close()
        self._open = self._pending_until_s = None

    def _ready(self, deadline_s: float) -> http.client.HTTPConnection:
        """A connection at whose server no request is waiting."""
        if self._open is not None and self._pending_until_s is not None:
            self._drain(self._open, self._pending_until_s, deadline_s)
        # What has something to say although nothing was asked has been closed by the server.
        if self._open is not None and not (self._open.sock and not _readable(self._open, 0.0)):
            self.close()
        return self._open or self._connect(deadline_s)

    def _connect(self, deadline_s: float) -> http.client.HTTPConnection:
        self._backoff.check()
        left_s = min(deadline_s - time.monotonic(), self._times.connect_s)
        try:
            connection = http.client.HTTPConnection(
                self._host, self._port, timeout=max(left_s, 1e-3)
            )
            connection.connect()
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise self._fail(f"cannot be connected to: {_words(error)}") from error
        self._open = connection
        self._connections += 1
        return connection

    def _drain(
        self, connection: http.client.HTTPConnection, until_s: float, deadline_s: float
    ) -> None:
        """Waits for the answer of a request that was given up."""
        if self._answer(connection, min(deadline_s, until_s)) is None:
            if time.monotonic() < until_s:
                raise BackendSilent(f"{self.address} is still busy with an earlier request")
            self.close()

    def _answer(
        self, connection: http.client.HTTPConnection, deadline_s: float
    ) -> HttpAnswer | None:
        """The answer that is awaited, or None where it has not begun at the deadline."""
        # A socket whose time ran out within a read can be read no more; so it is asked first.
        if not _readable(connection, deadline_s - time.monotonic()):
            return None
        try:
            _socket(connection).settimeout(max(deadline_s - time.monotonic(), 1e-3))
            response = connection.getresponse()
            body = self._body(connection, response, deadline_s)
        except TimeoutError as error:
            self.close()
            raise BackendSilent(f"{self.address} stopped in the middle of its answer") from error
        except (OSError, http.client.HTTPException) as error:
            raise self._fail(f"the connection was lost: {_words(error)}") from error
        self._pending_until_s = None
        return HttpAnswer(response.status, response.getheader("Content-Type", ""), body)

    def _body(
        self,
        connection: http.client.HTTPConnection,
        response: http.client.HTTPResponse,
        deadline_s: float,
    ) -> bytes:
        body = bytearray()
        # The connection lets go of the socket when the server says that it closes it.
        stream = connection.sock
        while True:
            if stream is not None:
                stream.settimeout(max(deadline_s - time.monotonic(), 1e-3))
                # Some servers, Ray's proxy is one, hold a body back until the headers are
                # acknowledged, which Linux would put off for 40 ms.
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            part = response.read1(_READ_BYTES)
            if not part:
                break
            body += part
            if len(body) > self._max_bytes:
                self.close()
                raise WireFormatError(
                    f"the answer has more than the {self._max_bytes} bytes that are allowed"
                )
        if response.length:
            raise http.client.IncompleteRead(bytes(body[:0]), response.length)
        response.close()
        return bytes(body)

    def _fail(self, text: str) -> BackendUnavailable:
        """Gives the connection up until the next attempt is due."""
        self.close()
        return self._backoff.failed(text)


def _socket(connection: http.client.HTTPConnection) -> socket.socket:
    found: socket.socket = connection.sock
    return found


def _readable(connection: http.client.HTTPConnection, timeout_s: float) -> bool:
    """Whether something has come, or the other side has gone, in time."""
    return bool(select.select([_socket(connection)], [], [], max(timeout_s, 0.0))[0])


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
