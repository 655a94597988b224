# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between WebSockets and a service.

``run`` belongs to the caller's thread, in which an event loop does all socket work; one worker owns
the backends. A connection is a client; it is answered in the order in which it asks. ``stop`` may
be called from anywhere, signal handlers included.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from vla_ros.core.errors import BackendUnavailable, ConfigError, VlaRosError
from vla_ros.serving.openpi_service import RESET_JOB, OpenpiJob, OpenpiService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import MAX_SESSIONS, Sessions

_LOG = logging.getLogger(__name__)
# The library tells of each connection, and of each that is no WebSocket as of an error of its own.
_LIBRARY_LOG = _LOG.getChild("library")
_LIBRARY_LOG.setLevel(logging.CRITICAL)
HEALTH = "/healthz"
_MAX_CONNECTIONS = 2 * MAX_SESSIONS
# For a client to say that it has read the last word.
_CLOSE_S = 0.2


class WebsocketFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
        wake_fd: Whatever is written here wakes ``run``; see ``Wake``.
    """

    def __init__(
        self,
        service: OpenpiService,
        sessions: Sessions,
        *,
        host: str,
        port: int,
        max_bytes: int,
        delay_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            sessions: What its worker connects, and closes at the end.
            host: Where to listen.
            port: 0 takes a free one.
            max_bytes: A longer message loses the connection.
            delay_s: How much later than it could an action is answered, asked for each one.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._sessions = sessions
        self._max_bytes = max_bytes
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        shown_host = f"[{host}]" if ":" in host else host
        try:
            self._socket = socket.create_server((host, port), family=family, backlog=MAX_SESSIONS)
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen at ws://{shown_host}:{port}: {error}") from error
        # Connections inherit it: a robot that vanished is noticed, one that rests is not disturbed.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.address = f"ws://{shown_host}:{self._socket.getsockname()[1]}"
        self._worker = PolicyWorker(sessions, delay_s=delay_s)
        self.wake_fd = self._worker.wake.ring_fd
        self._connections = 0
        self._ended: asyncio.Future[None]

    def run(self) -> bool:
        """Serve until somebody stops it.

        Returns:
            Whether the backend let go in time; else its thread still hangs in a call.

        Raises:
            VlaRosError: The backend cannot be connected.
        """
        self._worker.start()
        ended = asyncio.run(self._serve())
        self._worker.wake.close()
        self._worker.check()
        return ended

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._worker.stop()

    async def _serve(self) -> bool:
        loop = asyncio.get_running_loop()
        woken, self._ended = asyncio.Event(), loop.create_future()
        loop.add_reader(self._worker.wake.fileno(), woken.set)
        async with serve(
            self._client,
            sock=self._socket,
            process_request=self._admit,
            compression=None,
            max_size=self._max_bytes,
            # Clients wait for their answer; who does not fills no memory.
            max_queue=1,
            ping_interval=None,
            close_timeout=_CLOSE_S,
            logger=_LIBRARY_LOG,
        ):
            while not self._worker.stopping:
                await woken.wait()
                self._worker.wake.clear()
                woken.clear()
            loop.remove_reader(self._worker.wake.fileno())
            # What waits is refused meanwhile, and its clients are told.
            ended = await asyncio.to_thread(self._worker.end)
            self._ended.set_result(None)
        return ended

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to who is not let in, or does not want to be."""
        if request.path == HEALTH:
            return connection.respond(HTTPStatus.OK, "OK\n")
        if not self._service.admits(request.headers.get("Authorization", "")):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "Unauthorized: Invalid API token\n")
        if self._connections >= _MAX_CONNECTIONS:
            text = f"the server has {_MAX_CONNECTIONS} connections\n"
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return None

    async def _client(self, connection: ServerConnection) -> None:
        """Serves a client until it or we hang up."""
        self._connections += 1
        try:
            await connection.send(self._service.greeting)
            await self._answer(RESET_JOB, connection)
            async for message in connection:
                job = self._service.begin(message)
                await connection.send(await self._answer(job, connection))
        except ConnectionClosed:
            _LOG.debug("a client is gone")
        except VlaRosError as error:
            _LOG.warning("refused a request: %s", error)
            await _hang_up(connection, str(error))
        except Exception as error:  # noqa: BLE001 - a fault of the backend's: the server goes on
            _LOG.error("the policy failed", exc_info=error)
            await _hang_up(connection, f"the policy failed: {type(error).__name__}: {error}")
        finally:
            self._connections -= 1
            # Where too much waits, its place is taken once it is wanted.
            with contextlib.suppress(BackendUnavailable):
                self._worker.submit(lambda: self._sessions.forget(connection.id), delayed=False)

    async def _answer(self, job: OpenpiJob, connection: ServerConnection) -> bytes:
        done = self._worker.submit(
            lambda: self._service.finish(job, connection.id), delayed=job.infers
        )
        reply = asyncio.wrap_future(done)
        either: list[asyncio.Future[Any]] = [reply, self._ended]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not reply.done():
            reply.cancel()
            raise BackendUnavailable("the server is ending")
        return reply.result()


async def _hang_up(connection: ServerConnection, text: str) -> None:
    """Says what is wrong, as openpi's server does: a text, and the connection's end."""
    with contextlib.suppress(ConnectionClosed):
        await connection.send(text)
    await connection.close(CloseCode.INTERNAL_ERROR, "Internal server error.")
