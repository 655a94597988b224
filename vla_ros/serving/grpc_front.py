# SPDX-License-Identifier: Apache-2.0
"""Carries LeRobot's calls between gRPC and a service.

``run`` belongs to the caller's thread; gRPC answers each call in a thread of its own. No call lasts
longer than the policy needs and some seconds more, whatever its client does. ``stop`` may be called
from anywhere.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from vla_ros.core.addresses import join_address
from vla_ros.core.errors import BackendUnavailable, ConfigError, VlaRosError, WireFormatError
from vla_ros.serving.asked import Asked, Client, Reset
from vla_ros.serving.lerobot_service import FORGOTTEN_AFTER_S, MAX_CLIENTS, LeRobotService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.wake import Wake
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
    SERVICE,
    STILL_THERE,
)
from vla_ros.wire.lerobot.protobuf import PartsJoiner

_LOG = logging.getLogger(__name__)
# As LeRobot's own server.
_ACTIONS_WAIT_S = 2.0
_STREAM_S = 10.0
_SWEEP_S = 1.0
_CALLS_EACH = 4
_SPARE_THREADS = 8
# LeRobot's parts have 2 MiB; gRPC's own limit is 4.
_MAX_PART_BYTES = 4 * 1024 * 1024
_PATIENCE_S = 0.2
# What gRPC can carry in an error is short.
_MAX_WORDS = 1000
_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_PART_BYTES),
    ("grpc.max_send_message_length", -1),
    # Who is gone without a word is noticed.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_EMPTY = b""

Context = grpc.ServicerContext


class GrpcFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
    """

    def __init__(
        self, service: LeRobotService, worker: PolicyWorker, *, host: str, port: int, max_bytes: int
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            worker: What does what is asked of the policy.
            host: Where to listen.
            port: 0 takes a free one.
            max_bytes: A longer observation is refused.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._worker = worker
        self._max_bytes = max_bytes
        # Guards the sessions, the calls and the streams; an observation that came in is told.
        self._changed = threading.Condition()
        self._calls: Counter[str] = Counter()
        self._streams: dict[Context, float] = {}
        self._stopping = False
        threads = MAX_CLIENTS * _CALLS_EACH + _SPARE_THREADS
        self._server = grpc.server(
            ThreadPoolExecutor(threads, thread_name_prefix="client"),
            options=_OPTIONS,
            maximum_concurrent_rpcs=threads,
        )
        self._server.add_generic_rpc_handlers((self._handlers(),))
        try:
            bound = self._server.add_insecure_port(join_address(host, port))
        except RuntimeError as error:
            raise ConfigError(f"cannot listen at {join_address(host, port)}: {error}") from error
        if not bound:  # how gRPC said it formerly
            raise ConfigError(f"cannot listen at {join_address(host, port)}")
        self.address = join_address(host, bound)
        self._wake = Wake()

    def run(self) -> None:
        """Serve until somebody stops it; replies that are ready still go out."""
        self._server.start()
        while not self._stopping:
            self._wake.wait(_SWEEP_S)
            self._sweep(time.monotonic())
        with self._changed:
            self._changed.notify_all()
        self._server.stop(_PATIENCE_S).wait(2 * _PATIENCE_S)
        self._wake.close()

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopping = True
        self._wake.ring()

    def _handlers(self) -> grpc.GenericRpcHandler:
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_unary_rpc_method_handler
        handlers: dict[str, grpc.RpcMethodHandler[Any, bytes]] = {
            READY: unary(self._ready),
            SEND_POLICY_INSTRUCTIONS: unary(self._set_up),
            SEND_OBSERVATIONS: stream(self._observe),
            GET_ACTIONS: unary(self._actions),
        }
        return grpc.method_handlers_generic_handler(
            SERVICE, {path.rpartition("/")[2]: handler for path, handler in handlers.items()}
        )

    def _ready(self, _: bytes, context: Context) -> bytes:
        with self._admitted(context) as client:
            self._ask(Reset(lambda: _EMPTY), client, context)
            with self._changed:
                self._service.begin(client, time.monotonic())
        return _EMPTY

    def _set_up(self, message: bytes, context: Context) -> bytes:
        with self._admitted(context) as client:
            try:
                setup, terms = self._service.read_setup(message)
            except VlaRosError as error:
                _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            if setup.checkpoint not in self._service.checkpoints:
                _refuse(
                    context,
                    grpc.StatusCode.PERMISSION_DENIED,
                    f"checkpoint {setup.checkpoint[:200]!r} is not served here, but"
                    f" {', '.join(sorted(self._service.checkpoints))}",
                )
            with self._changed:
                self._service.accept(client, terms)
        return _EMPTY

    def _observe(self, messages: Iterator[bytes], context: Context) -> bytes:
        with self._admitted(context) as client:
            with self._changed:
                terms = self._service.terms(client)
                self._streams[context] = time.monotonic()
            try:
                seen = self._service.read(self._joined(messages), terms)
            except VlaRosError as error:
                _refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
            finally:
                with self._changed:
                    del self._streams[context]
            with self._changed:
                if self._service.offer(client, seen):
                    self._changed.notify_all()
        return _EMPTY

    def _actions(self, _: bytes, context: Context) -> bytes:
        with self._admitted(context) as client:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopping or self._service.waiting(client), _ACTIONS_WAIT_S
                )
                seen = self._service.take(client)
            if seen is None:
                return _EMPTY
            asked = self._service.inference(seen, wanted=context.is_active)
            return self._ask(asked, client, context)

    @contextlib.contextmanager
    def _admitted(self, context: Context) -> Iterator[str]:
        """The client of a call, as long as there is room for both."""
        client: str = context.peer()
        with self._changed:
            admitted = self._service.admit(client, time.monotonic())
            self._calls[client] += 1
            calls = self._calls[client]
        try:
            if not admitted:
                text = (
                    f"the server has {MAX_CLIENTS} clients; one that is silent for"
                    f" {FORGOTTEN_AFTER_S:g} s makes room"
                )
                _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            if calls > _CALLS_EACH:
                text = f"the client has {_CALLS_EACH} calls at the server already"
                _refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, text)
            yield client
        finally:
            with self._changed:
                self._calls[client] -= 1
                if not self._calls[client]:
                    del self._calls[client]

    def _joined(self, messages: Iterator[bytes]) -> bytes:
        """The data of an observation.

        Raises:
            WireFormatError: A part is wrong, or the last one is missing.
        """
        joiner = PartsJoiner(self._max_bytes)
        # An iterator of gRPC fails where its client is gone.
        with contextlib.suppress(grpc.RpcError):
            for message in messages:
                data = joiner.add(message)
                if data is not None:
                    return data
        raise WireFormatError("the observation ended without a part END, or came too slowly")

    def _ask(self, asked: Asked[bytes], client: str, context: Context) -> bytes:
        """Has something asked of the policy."""
        try:
            return self._worker.submit(asked, self._known(client)).result()
        except BackendUnavailable as error:
            context.set_trailing_metadata((STILL_THERE,))
            _refuse(context, grpc.StatusCode.UNAVAILABLE, str(error))
        except VlaRosError as error:
            _refuse(context, grpc.StatusCode.INTERNAL, str(error))

    def _known(self, client: str) -> Client:
        return Client(self._service.protocol, client)

    def _sweep(self, now_s: float) -> None:
        """Forgets who is silent, and cuts off who sends one observation for too long."""
        with self._changed:
            silent = self._service.forget(now_s, busy=self._calls)
            slow = [call for call, begun_s in self._streams.items() if now_s - begun_s > _STREAM_S]
        for client in silent:
            self._worker.forget(self._known(client))
        for call in slow:
            call.cancel()


def _refuse(context: Context, code: grpc.StatusCode, text: str) -> NoReturn:
    _LOG.warning("refused a call of %s: %s", context.peer(), text)
    context.abort(code, text[:_MAX_WORDS])
    raise RuntimeError("gRPC has ended the call by an exception of its own")
