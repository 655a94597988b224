# SPDX-License-Identifier: Apache-2.0
"""One WebSocket connection to a server that speaks first and then answers one message at a time.

It is the library's protocol on a socket of our own, because its ready-made client sends without a
deadline. At most one request is at the server. One that got no answer in time is not followed by
another until its late answer came, because a serial server would work it off first. A connection
that the server closed meanwhile is made anew; one that fails is tried again after a time that
doubles. How long a name takes to be resolved is the system's affair.

All of it belongs to one thread. Times are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from vla_ros.backends._patience import Backoff, ChannelTimes
from vla_ros.core.errors import BackendSilent, BackendUnavailable

Message = bytes | str

_READ_BYTES = 256 * 1024
# What was sent and is not received in this time loses the connection, so that a machine which
# vanished is noticed.
_LOST_AFTER_MS = 4000
_SHOWN_BODY = 200


class WebsocketChannel:
    """A request goes out, its answer comes back, or ``BackendUnavailable`` is raised in time.

    Attributes:
        address: ``ws://host:port/path``.
        greeting: What the server of the present connection said first.
    """

    def __init__(
        self,
        address: str,
        *,
        times: ChannelTimes,
        max_bytes: int,
        headers: Mapping[str, str],
    ) -> None:
        """Keep the facts; the first call connects.

        Args:
            address: ``ws://host:port/path``.
            times: How patient to be.
            max_bytes: A longer message loses the connection.
            headers: What to say beside, when connecting.
        """
        self.address = address
        self.greeting: Message = b""
        self._uri = parse_uri(address)
        self._times = times
        self._max_bytes = max_bytes
        self._headers = dict(headers)
        self._backoff = Backoff(address, times)
        self._open: _Connection | None = None
        self._connections = 0
        self._greeted = False
        self._connect_by_s = 0.0
        self._pending_until_s: float | None = None

    def open(self, deadline_s: float) -> int:
        """Make sure that a request can be sent now.

        Returns:
            Which connection this is: another number means that it may be another server.

        Raises:
            BackendUnavailable: It cannot be sent before the deadline.
        """
        self._ready(deadline_s)
        return self._connections

    def call(self, payload: bytes, deadline_s: float) -> Message:
        """Send a binary message and wait for its answer.

        Raises:
            BackendUnavailable: No answer before the deadline.
        """
        connection = self._ready(deadline_s)
        started_s = time.monotonic()
        try:
            connection.send(payload, deadline_s)
        except OSError as error:
            raise self._fail(f"the request cannot be sent: {_words(error)}") from error
        self._pending_until_s = started_s + self._times.drain_s
        answer = self._message(connection, deadline_s)
        if answer is None:
            raise BackendSilent(
                f"{self.address} gave no answer within {time.monotonic() - started_s:.2f} s"
            )
        self._pending_until_s = None
        self._backoff.worked()
        return answer

    def close(self) -> None:
        """Let go of the connection. A later call connects anew."""
        if self._open is not None:
            self._open.close()
        self._open = self._pending_until_s = None
        self._greeted = False

    def _ready(self, deadline_s: float) -> _Connection:
        """A connection that is greeted, and at whose server no request is waiting."""
        if self._open is not None and self._pending_until_s is not None:
            self._drain(self._open, self._pending_until_s, deadline_s)
        # A server that hung up while nothing was asked did nothing wrong.
        if self._open is not None and self._greeted and not self._open.alive(deadline_s):
            self.close()
        connection = self._open or self._connect(deadline_s)
        if not self._greeted:
            self._greet(connection, deadline_s)
        return connection

    def _connect(self, deadline_s: float) -> _Connection:
        self._backoff.check()
        self._connect_by_s = time.monotonic() + self._times.connect_s
        by_s = min(deadline_s, self._connect_by_s)
        try:
            stream = socket.create_connection((self._uri.host, self._uri.port), timeout=_left(by_s))
            self._open = _Connection(stream, ClientProtocol(self._uri, max_size=self._max_bytes))
            self._open.shake_hands(self._headers, by_s)
        except OSError as error:
            raise self._fail(f"cannot be connected to: {_words(error)}") from error
        self._connections += 1
        return self._open

    def _greet(self, connection: _Connection, deadline_s: float) -> None:
        """Waits for what the server says first."""
        greeting = self._message(connection, min(deadline_s, self._connect_by_s))
        if greeting is not None:
            self.greeting, self._greeted = greeting, True
        elif time.monotonic() < self._connect_by_s:
            raise BackendUnavailable(f"{self.address} is not connected yet")
        else:
            raise self._fail("it said nothing in time; does it speak WebSocket, or is it busy?")

    def _drain(self, connection: _Connection, until_s: float, deadline_s: float) -> None:
        """Waits for the answer of a request that was given up."""
        late = self._message(connection, min(deadline_s, until_s))
        if late is None and time.monotonic() < until_s:
            raise BackendSilent(f"{self.address} is still busy with an earlier request")
        if not isinstance(late, bytes):
            # It never came, or it is an error, after which such a server hangs up.
            self.close()
        self._pending_until_s = None

    def _message(self, connection: _Connection, deadline_s: float) -> Message | None:
        try:
            return connection.message(deadline_s)
        except OSError as error:
            raise self._fail(_words(error)) from error

    def _fail(self, text: str) -> BackendUnavailable:
        """Gives the connection up until the next attempt is due."""
        self.close()
        return self._backoff.failed(text)


class _Connection:
    """A socket and what the protocol makes of it. Raises OSError alone, when it is lost."""

    def __init__(self, stream: socket.socket, protocol: ClientProtocol) -> None:
        self._stream = stream
        self._protocol = protocol
        self._kind = Opcode.BINARY
        self._parts: list[bytes] = []
        self._inbox: deque[Message] = deque()

    def shake_hands(self, headers: Mapping[str, str], deadline_s: float) -> None:
        """Ask for a WebSocket; the first message tells that there is one."""
        self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_AFTER_MS)
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._write(deadline_s)

    def alive(self, deadline_s: float) -> bool:
        """Answer pings, throw away what nobody asked for, and see whether the server is there."""
        try:
            while self._loss() is None and time.monotonic() < deadline_s and self._read(0.0):
                self._inbox.clear()
        except OSError:
            return False
        return self._loss() is None

    def send(self, payload: bytes, deadline_s: float) -> None:
        """Send a binary message, whole. What came before is no answer to it."""
        self._inbox.clear()
        self._protocol.send_binary(payload)
        self._write(deadline_s)

    def message(self, deadline_s: float) -> Message | None:
        """The next message, or None at the deadline."""
        while not self._inbox:
            if loss := self._loss():
                raise ConnectionError(loss)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not self._read(left_s):
                return None
        return self._inbox.popleft()

    def close(self) -> None:
        """Hang up, and do not wait until that is heard."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            with suppress(OSError):
                self._write(time.monotonic())
        self._stream.close()

    def _read(self, timeout_s: float) -> bool:
        """Take what has come, be it the end; False: nothing did in time."""
        self._stream.settimeout(timeout_s)
        try:
            data = self._stream.recv(_READ_BYTES)
        except (BlockingIOError, TimeoutError):
            return False
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        self._write(time.monotonic() + timeout_s)
        return True

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.TEXT, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._kind = frame.opcode
        # Endless parts of nothing would be endless, within every limit of size.
        if frame.data:
            self._parts.append(bytes(frame.data))
        if frame.fin:
            data = b"".join(self._parts)
            self._parts = []
            text = self._kind is Opcode.TEXT
            self._inbox.append(data.decode(errors="replace") if text else data)

    def _write(self, deadline_s: float) -> None:
        """Send what the protocol wants sent. Where that ends in the middle, all is lost."""
        for data in self._protocol.data_to_send():
            self._stream.settimeout(_left(deadline_s))
            self._stream.sendall(data)

    def _loss(self) -> str | None:
        """Why the connection is gone, where it is."""
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            response = error.response
            words = bytes(response.body or b"")[:_SHOWN_BODY].decode(errors="replace").strip()
            return f"it refused, with HTTP {response.status_code} {response.reason_phrase}: {words}"
        if error is not None:
            return f"it does not speak WebSocket: {_words(error)}"
        if self._protocol.state in (State.CONNECTING, State.OPEN):
            return None
        if self._protocol.close_rcvd is not None:
            return f"the server hung up: {self._protocol.close_rcvd}"
        if self._protocol.close_sent is not None:
            return f"what came is no message that is allowed: {self._protocol.close_sent}"
        return "the connection was lost"


def _left(deadline_s: float) -> float:
    """Seconds, at least so many that a socket's time does not mean that it shall not wait."""
    return max(deadline_s - time.monotonic(), 1e-3)


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
