# SPDX-License-Identifier: Apache-2.0
"""One connection to a ZeroMQ REP server that answers one request at a time.

At most one request is at the server. One that got no answer in time is not followed by another
until its late answer came, because a serial server would work it off first; an answer is told from
a late one by a frame of its own. A connection that fails is tried again after a time that doubles.

All of it belongs to one thread. Times are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence

import zmq
from zmq.utils.monitor import recv_monitor_message

from vla_ros.backends._patience import Backoff, ChannelTimes
from vla_ros.core.errors import BackendSilent, BackendUnavailable, WireFormatError

# A server that is gone without a word is noticed this fast; libzmq answers in its own thread.
_HEARTBEAT_MS = 1000
_HEARTBEAT_TIMEOUT_MS = 3000
_LOST: dict[int, str] = {
    zmq.EVENT_CONNECT_RETRIED: "nobody listens there, or the host is not known",
    zmq.EVENT_DISCONNECTED: "the connection was lost",
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: "it does not speak ZeroMQ",
    zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: "it does not speak ZeroMQ",
    zmq.EVENT_HANDSHAKE_FAILED_AUTH: "it lets nobody in",
}


class ZmqChannel:
    """A request goes out, its answer comes back, or ``BackendUnavailable`` is raised in time."""

    def __init__(
        self, address: str, *, times: ChannelTimes, max_bytes: int, name: str | None = None
    ) -> None:
        """Keep the facts; the first call connects.

        Args:
            address: ``tcp://host:port``, or ``ipc://path``.
            name: What errors call the server; None: by its address.
            times: How patient to be.
            max_bytes: A longer answer loses the connection.
        """
        self.address = address
        self._times = times
        self._max_bytes = max_bytes
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        self._loss: str | None = None
        self._connection = 0
        self._connect_by_s = 0.0
        self._ids = itertools.count(1)
        self._pending: bytes | None = None
        self._pending_until_s = 0.0
        self._name = name or address
        self._backoff = Backoff(self._name, times)

    def open(self, deadline_s: float) -> int:
        """Make sure that a request can be sent now.

        Returns:
            Which connection this is: another number means that it may be another server.

        Raises:
            BackendUnavailable: It cannot be sent before the deadline.
        """
        self._ready(deadline_s)
        return self._connection

    def call(
        self, payload: bytes | memoryview, deadline_s: float, *, rest: Sequence[memoryview] = ()
    ) -> bytes:
        """Send a request and wait for its answer.

        Args:
            payload: It, or its first part.
            deadline_s: When the answer must be there.
            rest: Its other parts. They are not copied: they must not change, even if no answer
                came in time.

        Raises:
            BackendUnavailable: No answer before the deadline.
            WireFormatError: The answer has several parts.
        """
        socket = self._ready(deadline_s)
        name = next(self._ids).to_bytes(8, "big")
        started_s = time.monotonic()
        try:
            # Without a copy, a request with images gets there in half the time.
            socket.send_multipart((name, b"", payload, *rest), zmq.NOBLOCK, copy=False)
        except zmq.ZMQError as error:
            raise self._fail(f"the request cannot be sent: {error}") from error
        self._pending, self._pending_until_s = name, started_s + self._times.drain_s
        answer = self._answer(socket, name, deadline_s)
        if answer is None:
            raise BackendSilent(
                f"{self._name} gave no answer within {time.monotonic() - started_s:.2f} s"
            )
        self._backoff.worked()
        if len(answer) != 1:
            raise WireFormatError(f"the answer has {len(answer)} parts, expected 1")
        return answer[0]

    def close(self) -> None:
        """Let go of the connection. A later call connects anew."""
        self._close_socket()

    def _ready(self, deadline_s: float) -> zmq.Socket[bytes]:
        """A socket that is connected, and at whose server no request is waiting."""
        if self._lost():
            self._close_socket()
        if self._socket is not None and self._pending is not None:
            self._drain(self._socket, self._pending, deadline_s)
        socket = self._socket or self._connect()
        if not self._wait(socket, zmq.POLLOUT, min(deadline_s, self._connect_by_s)):
            if time.monotonic() < self._connect_by_s:
                raise BackendUnavailable(f"{self._name} is not connected yet")
            raise self._fail("the connection was not made in time; does it speak ZeroMQ?")
        return socket

    def _connect(self) -> zmq.Socket[bytes]:
        self._backoff.check()
        # The process's own context: nothing waits for it, not even where a channel is forgotten.
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        socket.linger = 0
        socket.immediate = 1
        # Else a name of both kinds might be looked for where nobody listens.
        socket.ipv6 = "[" in self.address
        socket.setsockopt(zmq.MAXMSGSIZE, self._max_bytes)
        socket.setsockopt(zmq.HEARTBEAT_IVL, _HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, _HEARTBEAT_TIMEOUT_MS)
        self._socket = socket
        self._monitor = socket.get_monitor_socket(sum(_LOST))
        self._connection += 1
        self._connect_by_s = time.monotonic() + self._times.connect_s
        try:
            socket.connect(self.address)
        except zmq.ZMQError as error:
            raise self._fail(f"cannot be connected to: {error}") from error
        return socket

    def _drain(self, socket: zmq.Socket[bytes], name: bytes, deadline_s: float) -> None:
        """Waits for the answer of a request that was given up."""
        if self._answer(socket, name, min(deadline_s, self._pending_until_s)) is None:
            if time.monotonic() < self._pending_until_s:
                raise BackendSilent(f"{self._name} is still busy with an earlier request")
            self._close_socket()

    def _answer(
        self, socket: zmq.Socket[bytes], name: bytes, deadline_s: float
    ) -> list[bytes] | None:
        """The parts of a request's answer, or None at the deadline."""
        while self._wait(socket, zmq.POLLIN, deadline_s):
            frames = socket.recv_multipart(zmq.NOBLOCK)
            if frames[:2] == [name, b""]:
                self._pending = None
                return frames[2:]
        return None

    def _wait(self, socket: zmq.Socket[bytes], flag: int, deadline_s: float) -> bool:
        """Whether the socket got ready before the deadline."""
        poller = zmq.Poller()
        poller.register(socket, flag)
        poller.register(self._monitor, zmq.POLLIN)
        while not socket.poll(0, flag):
            # The answer may have come just before the connection was lost.
            if (lost := self._lost()) and not socket.poll(0, flag):
                raise self._fail(lost)
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return False
            poller.poll(math.ceil(left_s * 1000))
        return True

    def _lost(self) -> str | None:
        """Why the connection is gone, where it is."""
        while self._monitor is not None and self._monitor.poll(0):
            event = recv_monitor_message(self._monitor)["event"]
            # The first is the cause; ZeroMQ goes on trying until the socket is closed.
            self._loss = self._loss or _LOST[event]
        return self._loss

    def _fail(self, text: str) -> BackendUnavailable:
        """Gives the connection up until the next attempt is due."""
        self._close_socket()
        return self._backoff.failed(text)

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close()
        if self._monitor is not None:
            self._monitor.close(linger=0)
        self._socket = self._monitor = self._pending = self._loss = None
