# SPDX-License-Identifier: Apache-2.0
"""A network that can be cut: a TCP proxy in front of a server.

It runs in a thread of its own; its methods may be called by any other one.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

_BLOCK = 1 << 16
_PATIENCE_S = 5.0


class TcpProxy:
    """Passes connections on to ``target_port``, as far as it is told to.

    Attributes:
        port: Where it listens, also after it was cut and mended.
        delay_s: By how much answers come later.
        bytes_per_s: How fast it is in each direction.
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.delay_s = 0.0
        self.bytes_per_s = float("inf")
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = asyncio.Event()
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, and refuse new ones."""
        self._run(self._cut())

    def mend(self) -> None:
        """Listen again, and let everything through that waited."""
        self._run(self._listen())

    def swallow(self) -> None:
        """Take what comes and say nothing: neither side learns that nobody hears it."""
        self._run(self._close_gate())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        self._open.set()

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._connections:
            writer.transport.abort()
        # Whoever waits at the gate finds its connection gone.
        self._open.set()
        await asyncio.sleep(0)

    async def _end(self) -> None:
        await self._cut()
        serving = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*serving, return_exceptions=True)

    async def _close_gate(self) -> None:
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection("127.0.0.1", self._target_port)
            both = {writer, there[1]}
            self._connections |= both
            pumps = [
                asyncio.create_task(self._pump(reader, there[1], delayed=False)),
                asyncio.create_task(self._pump(there[0], writer, delayed=True)),
            ]
            if self._server is not None:  # it may have been cut meanwhile
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            there[1].transport.abort()
            self._connections -= both
        writer.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delayed: bool
    ) -> None:
        while block := await reader.read(_BLOCK):
            if delayed and self.delay_s > 0.0:
                await asyncio.sleep(self.delay_s)
            await self._open.wait()
            await asyncio.sleep(len(block) / self.bytes_per_s)
            writer.write(block)
            await writer.drain()
