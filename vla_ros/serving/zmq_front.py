# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between ZeroMQ and a service.

Two threads: ``run`` belongs to the caller's, which does all socket work and answers what needs no
policy, a ping for instance, at once; one worker owns the backend. Every request gets exactly one
reply, in the order of the work. ``stop`` may be called from anywhere, signal handlers included.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import zmq

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.errors import ConfigError
from vla_ros.serving.gr00t_service import Gr00tService, Job
from vla_ros.wire.gr00t.message import encode_error

_LOG = logging.getLogger(__name__)
MAX_WAITING = 16
_AT_ONCE = 64
# Beyond the limit that a client is told of, ZeroMQ itself cuts the connection.
_HARD_LIMIT = 4
_LINGER_MS = 200
_PATIENCE_S = 0.5


@dataclass(frozen=True, slots=True)
class _Done:
    envelope: list[bytes]
    future: Future[bytes]


class ZmqFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
        wake_fd: Whatever is written here wakes ``run``. For ``signal.set_wakeup_fd``: Python runs
            a handler only when ``run`` is awake, so a handler that calls ``stop`` needs it.
    """

    def __init__(
        self,
        service: Gr00tService,
        backend: PolicyBackend,
        *,
        address: str,
        max_bytes: int,
        delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            backend: What its worker connects, and closes at the end.
            address: ``tcp://host:port``; port ``*`` takes a free one.
            max_bytes: The service's own limit. ZeroMQ cuts off what is four times as long.
            delay_s: How much later than it could an action is answered, asked for each one.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._backend = backend
        self._delay_s = delay_s
        self._stopping = threading.Event()
        self._done: deque[_Done] = deque()
        self._waiting = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="policy")
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._router.linger = _LINGER_MS
        self._router.rcvhwm = MAX_WAITING
        self._router.setsockopt(zmq.MAXMSGSIZE, _HARD_LIMIT * max_bytes)
        try:
            self._router.bind(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ConfigError(f"cannot listen at {address}: {error}") from error
        self.address = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.settimeout(0.0)
        self._wake_out.settimeout(0.0)
        self.wake_fd = self._wake_in.fileno()

    def run(self) -> bool:
        """Serve until somebody stops it.

        Returns:
            Whether the backend let go in time; else its thread still hangs in a call.

        Raises:
            VlaRosError: The backend cannot be connected.
        """
        connecting = self._worker.submit(self._backend.connect)
        connecting.add_done_callback(self._connected)
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(self._wake_out.fileno(), zmq.POLLIN)
        while not self._stopping.is_set():
            ready = dict(poller.poll())
            if self._wake_out.fileno() in ready:
                self._reply_done()
            if self._router in ready:
                self._take_requests()
        ended = self._end()
        if connecting.done() and not connecting.cancelled():
            connecting.result()
        return ended

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopping.set()
        self._wake()

    def _connected(self, future: Future[PolicyInfo]) -> None:
        if future.cancelled() or future.exception() is not None:
            self.stop()
        else:
            _LOG.info("ready: %s", future.result().description)

    def _wake(self) -> None:
        # A full socket wakes as well, and after the end there is nobody to be woken.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"\0")

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
        if len(body) != 1:
            self._send(envelope, encode_error(f"a request has one part; found {len(body)}"))
            return
        begun = self._service.begin(body[0].buffer)
        if isinstance(begun, bytes):
            self._send(envelope, begun)
            if self._service.killed:
                self.stop()
        elif self._waiting >= MAX_WAITING:
            text = f"the server is busy: {self._waiting} requests are waiting already"
            self._send(envelope, encode_error(text))
        else:
            self._waiting += 1
            future = self._worker.submit(self._work, begun)
            future.add_done_callback(lambda done: self._finished(envelope, done))

    def _work(self, job: Job) -> bytes:
        if self._stopping.is_set():
            return encode_error("the server is ending")
        reply = self._service.finish(job)
        if job.infers:
            self._stopping.wait(self._delay_s())
        return reply

    def _finished(self, envelope: list[bytes], future: Future[bytes]) -> None:
        self._done.append(_Done(envelope, future))
        self._wake()

    def _reply_done(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(4096)
        while self._done:
            done = self._done.popleft()
            self._waiting -= 1
            error = done.future.exception()
            if error is None:
                self._send(done.envelope, done.future.result())
            else:
                # A fault of the backend's, not of the request's: the server goes on.
                _LOG.error("the policy failed", exc_info=error)
                text = f"the policy failed: {type(error).__name__}: {error}"
                self._send(done.envelope, encode_error(text))

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        # A client that is gone, or reads nothing, loses its reply; nobody waits for it.
        with contextlib.suppress(zmq.Again):
            self._router.send_multipart([*envelope, reply], zmq.NOBLOCK)

    def _end(self) -> bool:
        closing = self._worker.submit(self._backend.close)
        ended = bool(wait([closing], timeout=_PATIENCE_S).done)
        self._worker.shutdown(wait=False)
        self._reply_done()
        self._router.close()
        self._context.term()
        self._wake_in.close()
        self._wake_out.close()
        return ended
