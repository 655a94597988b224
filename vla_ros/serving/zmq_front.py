# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between ZeroMQ and a service.

Two threads: ``run`` belongs to the caller's, which does all socket work and answers what needs no
policy, a ping for instance, at once; one worker owns the backends. Every request gets exactly one
reply, in the order of the work. ``stop`` may be called from anywhere, signal handlers included.
"""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import zmq

from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.serving.policy_worker import MAX_WAITING, PolicyWorker
from vla_ros.serving.sessions import Sessions

_LOG = logging.getLogger(__name__)
_AT_ONCE = 64
# Beyond the limit that a client is told of, ZeroMQ itself cuts the connection.
_HARD_LIMIT = 4
_LINGER_MS = 200


class ZmqJob(Protocol):
    """A request that needs the policy."""

    @property
    def infers(self) -> bool:
        """Whether the policy has to think (else: to forget)."""


J = TypeVar("J", bound=ZmqJob)


class ZmqService(Protocol[J]):
    """What answers requests; see ``Gr00tService`` and ``ActService``."""

    killed: bool

    def begin(self, data: bytes | memoryview) -> bytes | J:
        """The reply to a request, or the work that must be done first. For the front's thread."""

    def finish(self, job: J, client: Hashable) -> bytes:
        """The reply to a request that needs the policy. For the backends' thread."""

    def refusal(self, text: str) -> bytes:
        """A reply that says what is wrong. For the front's thread."""


@dataclass(frozen=True, slots=True)
class _Done:
    envelope: list[bytes]
    future: Future[bytes]


class ZmqFront(Generic[J]):
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
        wake_fd: Whatever is written here wakes ``run``. For ``signal.set_wakeup_fd``: Python runs
            a handler only when ``run`` is awake, so a handler that calls ``stop`` needs it.
    """

    def __init__(
        self,
        service: ZmqService[J],
        sessions: Sessions,
        *,
        address: str,
        max_bytes: int,
        delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            sessions: What its worker connects, and closes at the end.
            address: ``tcp://host:port``; port ``*`` takes a free one.
            max_bytes: The service's own limit. ZeroMQ cuts off what is four times as long.
            delay_s: How much later than it could an action is answered, asked for each one.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._done: deque[_Done] = deque()
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
        self._worker = PolicyWorker(sessions, delay_s=delay_s)
        self.wake_fd = self._worker.wake.ring_fd

    def run(self) -> bool:
        """Serve until somebody stops it.

        Returns:
            Whether the backend let go in time; else its thread still hangs in a call.

        Raises:
            VlaRosError: The backend cannot be connected.
        """
        self._worker.start()
        woken = self._worker.wake.fileno()
        poller = zmq.Poller()
        poller.register(self._router, zmq.POLLIN)
        poller.register(woken, zmq.POLLIN)
        while not self._worker.stopping:
            ready = dict(poller.poll())
            if woken in ready:
                self._reply_done()
            if self._router in ready:
                self._take_requests()
        ended = self._end()
        self._worker.check()
        return ended

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._worker.stop()

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
            self._send(
                envelope, self._service.refusal(f"a request has one part; found {len(body)}")
            )
            return
        begun = self._service.begin(body[0].buffer)
        if isinstance(begun, bytes):
            self._send(envelope, begun)
            if self._service.killed:
                self.stop()
            return
        # ZeroMQ's own name of the connection.
        client = envelope[0]
        try:
            future = self._worker.submit(
                lambda: self._service.finish(begun, client), delayed=begun.infers
            )
        except BackendUnavailable as error:
            self._send(envelope, self._service.refusal(str(error)))
            return
        future.add_done_callback(lambda done: self._finished(envelope, done))

    def _finished(self, envelope: list[bytes], future: Future[bytes]) -> None:
        self._done.append(_Done(envelope, future))
        self._worker.wake.ring()

    def _reply_done(self) -> None:
        self._worker.wake.clear()
        while self._done:
            done = self._done.popleft()
            error = done.future.exception()
            if error is None:
                self._send(done.envelope, done.future.result())
            elif isinstance(error, BackendUnavailable):
                self._send(done.envelope, self._service.refusal(str(error)))
            else:
                # A fault of the backend's, not of the request's: the server goes on.
                _LOG.error("the policy failed", exc_info=error)
                text = f"the policy failed: {type(error).__name__}: {error}"
                self._send(done.envelope, self._service.refusal(text))

    def _send(self, envelope: list[bytes], reply: bytes) -> None:
        # A client that is gone, or reads nothing, loses its reply; nobody waits for it.
        with contextlib.suppress(zmq.Again):
            self._router.send_multipart([*envelope, reply], zmq.NOBLOCK)

    def _end(self) -> bool:
        ended = self._worker.end()
        self._reply_done()
        self._router.close()
        self._context.term()
        self._worker.wake.close()
        return ended
