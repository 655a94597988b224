# SPDX-License-Identifier: Apache-2.0
"""One connection to a gRPC server whose messages are plain bytes.

A unary call may be given up before its own time is over. It then goes on alone, because a server
works a call off whether or not somebody waits for it, and ``drain`` fetches its end before anything
else is asked. A connection that fails is let go of; the next call makes a new one.

All of it belongs to one thread. Times are seconds of ``time.monotonic``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import grpc

from vla_ros.core.errors import BackendError, BackendSilent, BackendUnavailable, RemotePolicyError
from vla_ros.wire.lerobot.methods import STILL_THERE

_OPTIONS = (
    # A robot's network is its own, whatever proxy the environment names for the web.
    ("grpc.enable_http_proxy", 0),
    # Each connection for itself: none waits out the time of one that failed before.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # Servers cut off who pings them oftener; what is sent and not received is noticed without.
    ("grpc.keepalive_time_ms", 600_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
# Nothing is cancelled on this side.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class _Call:
    """A call under way.

    Attributes:
        method: Which one.
        future: Its end.
        patient: Whether it may go on for longer than somebody waits.
    """

    method: str
    future: grpc.Future[bytes]
    patient: bool


@dataclass(frozen=True, slots=True)
class Late:
    """The end of a call that was given up before.

    Attributes:
        method: Which one.
        reply: The answer; None: it failed.
        error: Why it failed.
    """

    method: str
    reply: bytes | None = None
    error: BackendError | None = None


class GrpcChannel:
    """A request goes out, its answer comes back, or a ``BackendError`` is raised in time.

    Attributes:
        address: ``host:port``.
        connection: Which connection this is: another number means that it may be another server.
    """

    def __init__(self, address: str, *, connect_s: float, max_bytes: int) -> None:
        """Keep the facts; the first call connects.

        Args:
            address: ``host:port``.
            connect_s: A connection that is not made in this time has failed [s].
            max_bytes: A longer answer is refused.
        """
        self.address = address
        self.connection = 1
        self._options = (
            *_OPTIONS,
            ("grpc.min_reconnect_backoff_ms", round(connect_s * 1000)),
            ("grpc.max_receive_message_length", max_bytes),
        )
        self._channel: grpc.Channel | None = None
        self._given_up: _Call | None = None

    def call(self, method: str, request: bytes, *, deadline_s: float, patience_s: float) -> bytes:
        """Send a request and wait for its answer.

        Args:
            method: The method's path.
            request: The message.
            deadline_s: When to give up waiting.
            patience_s: How long the call itself may go on [s], to be drained later.

        Raises:
            BackendUnavailable: No answer before the deadline, or the connection failed.
            RemotePolicyError: The server answered with an error.
        """
        send: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._open().unary_unary(method)
        future = send.future(request, timeout=patience_s)
        return self._end_of(_Call(method, future, patient=True), deadline_s)

    def stream(self, method: str, parts: Iterable[bytes], *, deadline_s: float) -> bytes:
        """Send a request in parts and wait for its answer.

        Raises:
            BackendUnavailable: No answer before the deadline, or the connection failed.
            RemotePolicyError: The server answered with an error.
        """
        left_s = max(deadline_s - time.monotonic(), 0.0)
        # A blocking call would not end in time where the network takes nothing.
        send: grpc.StreamUnaryMultiCallable[bytes, bytes] = self._open().stream_unary(method)
        future = send.future(iter(parts), timeout=left_s)
        return self._end_of(_Call(method, future, patient=False), deadline_s)

    def drain(self, deadline_s: float) -> Late | None:
        """Wait for the end of a call that was given up; None: there is none.

        Raises:
            BackendSilent: It goes on still.
        """
        if self._given_up is None:
            return None
        call, self._given_up = self._given_up, None
        try:
            return Late(call.method, reply=self._end_of(call, deadline_s))
        except BackendError as error:
            if self._given_up is not None:
                raise BackendSilent(
                    f"{self.address} is still busy with an earlier {_name(call.method)}"
                ) from error
            return Late(call.method, error=error)

    def close(self) -> None:
        """Let go of the connection. A later call connects anew."""
        if self._channel is not None:
            self._channel.close()
        self._channel = self._given_up = None
        self.connection += 1

    def _open(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address, options=self._options)
        return self._channel

    def _end_of(self, call: _Call, deadline_s: float) -> bytes:
        started_s = time.monotonic()
        try:
            return bytes(call.future.result(max(deadline_s - started_s, 0.0)))
        except grpc.FutureTimeoutError as error:
            self._given_up = call
            raise self._silent(call.method, time.monotonic() - started_s) from error
        except grpc.RpcError as error:
            if call.patient and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                # So long a silence may be the network's; a new connection finds out.
                self.close()
            raise self._error(error, call.method, time.monotonic() - started_s) from error

    def _error(self, error: grpc.RpcError, method: str, waited_s: float) -> BackendError:
        code, words = error.code(), error.details()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._silent(method, waited_s)
        if code in _GONE:
            told: Iterable[Any] = error.trailing_metadata() or ()
            if STILL_THERE not in told:
                self.close()
            return BackendUnavailable(f"{self.address}: {words}")
        return RemotePolicyError(f"{self.address}: {_name(method)}: {code.name}: {words}")

    def _silent(self, method: str, waited_s: float) -> BackendSilent:
        return BackendSilent(
            f"{self.address} gave no answer to {_name(method)} within {waited_s:.2f} s"
        )


def _name(method: str) -> str:
    return method.rpartition("/")[2]
