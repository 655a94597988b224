# SPDX-License-Identifier: Apache-2.0
"""WebSocket servers that do as openpi's does, or as they are told."""

from __future__ import annotations

import asyncio
import http
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from websockets.asyncio.server import Request, Response, Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from test.support.openpi_samples import golden

Answer = Callable[[bytes], bytes | str | None]


class OpenpiServer:
    """Greets, and answers one message after another, in one thread for all of its clients.

    Bytes are answered as they are; a text is an error, after which it hangs up; None is silence.

    Attributes:
        port: Where it listens.
        requests: What has come in.
        keys: What each connection said to be let in.
        paths: Where each connection wanted to go.
        closed: With which code each connection ended.
    """

    def __init__(self, answer: Answer, port: int, greeting: bytes | str | None) -> None:
        self._answer = answer
        self._greeting = greeting
        self.port = port
        self.requests: list[bytes | str] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.closed: list[int | None] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def end(self) -> None:
        """Go away, with all connections."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(5)

    def hang_up(self) -> None:
        """Close all connections, and go on listening."""
        done = threading.Event()

        async def close_all() -> None:
            assert self._server is not None
            await asyncio.gather(*(each.close() for each in self._server.connections))
            done.set()

        self._loop.call_soon_threadsafe(lambda: self._loop.create_task(close_all()))
        assert done.wait(5)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(
            self._handle,
            "127.0.0.1",
            self.port,
            compression=None,
            max_size=None,
            process_request=self._health,
            close_timeout=0.02,
        ) as self._server:
            self.port = self._server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._ended.wait()

    async def _health(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.keys.append(connection.request.headers.get("Authorization"))
        self.paths.append(connection.request.path)
        try:
            if self._greeting is not None:
                await connection.send(self._greeting)
            async for message in connection:
                self.requests.append(message)
                assert isinstance(message, bytes)
                answer = self._answer(message)
                if answer is not None:
                    await connection.send(answer)
                if isinstance(answer, str) and answer != "reset successful":
                    await connection.close(1011, "Internal server error.")
        except ConnectionClosed:
            pass
        finally:
            self.closed.append(connection.protocol.close_code)


@contextmanager
def serving(
    answer: Answer, *, port: int = 0, greeting: bytes | str | None = golden("metadata")
) -> Iterator[OpenpiServer]:
    """A server whose answers a function gives; None as greeting: it says nothing."""
    server = OpenpiServer(answer, port, greeting)
    try:
        yield server
    finally:
        server.end()


def slowly(answer: Answer, delay_s: float) -> Answer:
    """An answer that comes later, while nobody else is answered."""

    def after_a_while(request: bytes) -> bytes | str | None:
        time.sleep(delay_s)
        return answer(request)

    return after_a_while
