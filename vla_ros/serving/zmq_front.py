# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between ZeroMQ and a service.

``run`` belongs to the caller's thread, which does all socket work and answers what needs no policy,
a ping for instance, at once. Every request gets exactly one reply. ``stop`` may be called from
anywhere.
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

import zmq

from vla_ros.core.errors import ConfigError, VlaRosError, WireFormatError
from vla_ros.serving.asked import Asked, Client
from vla_ros.serving.local_socket import LocalSocket
from vla_ros.serving.policy_worker import MAX_WAITING, PolicyWorker
from vla_ros.serving.wake import Wake

_AT_ONCE = 64
# Beyond the limit that a client is told of, ZeroMQ itself cuts the connection.
_HARD_LIMIT = 4
_LINGER_MS = 200
# For the last replies to be read.
_PATIENCE_S = 0.1


class ZmqService(Protocol):
    """What answers requests; see ``Gr00tService`` and ``ActService``.

    Attributes:
        protocol: What it speaks, for whoever counts its clients.
        killed: Whether a client made the server end.
    """

    protocol: str
    killed: bool

    def begin(
        self, data: bytes | memoryview, client: Client, rest: Sequence[memoryview] = ()
    ) -> bytes | Asked[bytes]:
        """The reply to a request, or what must be asked of the policy first.

        Args:
            data: The request, or its first part.
            client: Whose it is.
            rest: Its other parts, for protocols that have some. They do not change.
        """

    def refuse(self, error: VlaRosError) -> bytes:
        """A reply that says what is wrong."""


class ZmqFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
    """

    def __init__(
        self,
        service: ZmqService,
        worker: PolicyWorker,
        *,
        address: str,
        max_bytes: int,
        local: LocalSocket | None = None,
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            worker: What does what is asked of the policy.
            address: ``tcp://host:port``; port ``*`` takes a free one.
            max_bytes: The service's own limit. ZeroMQ cuts off what is four times as long.
            local: Where to listen beside that. It is removed at the end.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._worker = worker
        # What is to be sent: the client's frames, and the reply.
        self._done: deque[tuple[list[bytes], Future[bytes]]] = deque()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._router.linger = _LINGER_MS
        self._router.ipv6 = "[" in address
        self._router.rcvhwm = MAX_WAITING
        self._router.setsockopt(zmq.MAXMSGSIZE, _HARD_LIMIT * max_bytes)
        self._local = local
        try:
            self._router.bind(address)
            self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
            if local is not None and local.address:
                self._router.bind(local.address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            self._remove_local()
            raise ConfigError(f"cannot listen at {address}: {error}") from error
        self._wake = Wake()
        self._stopping = False

    def run(self) -> None:
        """Serve until somebody stops it; replies that are ready still go out."""
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._wake.fileno(), zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll())
            if self._wake.fileno() in ready:
                self._reply_done()
            if self._router in ready:
                self._take_requests()
        self._reply_done()
        # A client that is cut off loses what has come but was not read: libzmq drops it there.
        time.sleep(_PATIENCE_S)
        self._router.close()
        self._context.term()
        self._wake.close()
        self._remove_local()

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopping = True
        self._wake.ring()

    def _take_requests(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                frames = self._router.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            # A client's own frames, and an empty one, stand before the request.
            lengths = [len(frame) for frame in frames]
            start = lengths.index(0) + 1 if 0 in lengths[1:-1] else 1
            self._take([frame.bytes for frame in frames[:start]], frames[start:])

    def _take(self, envelope: list[bytes], body: list[zmq.Frame]) -> None:
        if not body:
            error = WireFormatError("a request has one part at least; found none")
            self._send(envelope, self._service.refuse(error))
            return
        # ZeroMQ's own name of the connection stands first.
        client = Client(self._service.protocol, envelope[0])
        first, *rest = (frame.buffer for frame in body)
        begun = self._service.begin(first, client, rest)
        if isinstance(begun, bytes):
            self._send(envelope, begun)
            self._stopping = self._stopping or self._service.killed
            return
        self._worker.submit(begun, client).add_done_callback(
            lambda done: self._finished(envelope, done)
        )

    def _finished(self, envelope: list[bytes], future: Future[bytes]) -> None:
        self._done.append((envelope, future))
        self._wake.ring()

    def _reply_done(self) -> None:
        self._wake.clear()
        while self._done:
            envelope, future = self._done.popleft()
            try:
                reply = future.result()
            except VlaRosError as error:
                reply = self._service.refuse(error)
            self._send(envelope, reply)

    def _remove_local(self) -> None:
        if self._local is not None:
            self._local.remove()

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        # A client that is gone, or reads nothing, loses its reply; nobody waits for it.
        with contextlib.suppress(zmq.Again):
            self._router.send_multipart([*envelope, reply], zmq.NOBLOCK)
