# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between WebSockets and a service.

``run`` belongs to the caller's thread, in which an event loop does all socket work. A connection is
a client; it is answered in the order in which it asks. ``stop`` may be called from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.serving.asked import Asked, Client
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import MAX_SESSIONS
from vla_ros.serving.status_service import HEALTHZ
from vla_ros.serving.wake import Wake

_LOG = logging.getLogger(__name__)
# The library tells of each connection, and of each that is no WebSocket as of an error of its own.
_LIBRARY_LOG = _LOG.getChild("library")
_LIBRARY_LOG.setLevel(logging.CRITICAL)
_MAX_CONNECTIONS = 2 * MAX_SESSIONS
# For a client to say that it has read the last word, and for all of them to go.
_CLOSE_S = 0.2
_PATIENCE_S = 0.5


class WebsocketFront:
    """Serves a service at an address.

    Attributes:
        address: Where it listens, with the real port.
    """

    def __init__(
        self, service: OpenpiService, worker: PolicyWorker, *, host: str, port: int, max_bytes: int
    ) -> None:
        """Listen; nothing is answered before ``run``.

        Args:
            service: What answers.
            worker: What does what is asked of the policy.
            host: Where to listen.
            port: 0 takes a free one.
            max_bytes: A longer message loses the connection.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        self._service = service
        self._worker = worker
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
        self._wake = Wake()
        self._stopping = False
        self._connections = 0

    def run(self) -> None:
        """Serve until somebody stops it; replies that are ready still go out."""
        asyncio.run(self._serve())
        self._wake.close()

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._stopping = True
        self._wake.ring()

    async def _serve(self) -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._wake.fileno(), woken.set)
        server = await serve(
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
        )
        while not self._stopping:
            await woken.wait()
            self._wake.clear()
            woken.clear()
        loop.remove_reader(self._wake.fileno())
        server.close()
        # A client whose request nobody has ended by now is left behind.
        await asyncio.wait([loop.create_task(server.wait_closed())], timeout=_PATIENCE_S)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """The answer to who is not let in, or does not want to be."""
        if request.path == HEALTHZ:
            state = self._worker.state
            if state == "ready":
                return connection.respond(HTTPStatus.OK, "OK\n")
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"{state}\n")
        if not self._service.admits(request.headers.get("Authorization", "")):
            return connection.respond(HTTPStatus.UNAUTHORIZED, "Unauthorized: Invalid API token\n")
        if self._connections >= _MAX_CONNECTIONS:
            text = f"the server has {_MAX_CONNECTIONS} connections\n"
            return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, text)
        return None

    async def _client(self, connection: ServerConnection) -> None:
        """Serves a client until it or we hang up."""
        client = Client(self._service.protocol, connection.id)
        self._connections += 1
        try:
            await connection.send(self._service.greeting)
            await self._answer(self._service.connected(), client)
            async for message in connection:
                asked = self._service.begin(message, client)
                await connection.send(await self._answer(asked, client))
        except ConnectionClosed:
            _LOG.debug("a client is gone")
        except VlaRosError as error:
            await _hang_up(connection, self._service.refuse(error))
        finally:
            self._connections -= 1
            self._worker.forget(client)

    async def _answer(self, asked: Asked[bytes], client: Client) -> bytes:
        return await asyncio.wrap_future(self._worker.submit(asked, client))


async def _hang_up(connection: ServerConnection, text: str) -> None:
    """Says what is wrong, as openpi's server does: a text, and the connection's end."""
    with contextlib.suppress(ConnectionClosed):
        await connection.send(text)
    await connection.close(CloseCode.INTERNAL_ERROR, "Internal server error.")
