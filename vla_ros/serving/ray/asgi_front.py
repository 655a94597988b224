# SPDX-License-Identifier: Apache-2.0
"""Carries requests and replies between an ASGI server, such as Ray Serve's, and our services.

GR00T's HTTP endpoints and openpi's WebSocket are both at the root, and those of each policy below
its name: ``/act`` and ``/`` ask the first policy, ``/NAME/act`` and ``/NAME`` the one of that name.
One event loop; what takes long is done in its threads.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import VlaRosError
from vla_ros.serving.asked import Asked, Client, Inference
from vla_ros.serving.http_service import HttpReply, HttpRequest, HttpService, refusal
from vla_ros.serving.openpi_service import OpenpiService
from vla_ros.wire.gr00t import http

# What Ray calls the header by which a client stays with its replica, whatever it connects through.
SESSION = "x-session-id"
# What openpi's servers call it.
_ALSO_HEALTH = "/healthz"
# Why a WebSocket ends.
_NOT_ADMITTED, _FAILED = 1008, 1011
_REASON = "Internal server error."

R = TypeVar("R")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Policy(Protocol):
    """Where observations are inferred. All methods raise ``VlaRosError`` alone."""

    async def infer(self, asked: Inference[Any], client: Client) -> ActionChunk:
        """The chunk for an observation of a client."""

    async def reset(self, client: Client) -> None:
        """Forget a client's episode."""

    async def forget(self, client: Client) -> None:
        """Note that a client is gone."""

    async def look(self) -> None:
        """Find out how the policy is, before somebody is told."""


@dataclass(frozen=True, slots=True)
class Served:
    """A policy, and who speaks for it.

    Attributes:
        policy: It.
        http: Answers over HTTP.
        openpi: Answers over WebSocket; None: the policy cannot be asked in that way.
    """

    policy: Policy
    http: HttpService
    openpi: OpenpiService | None


class AsgiFront:
    """An ASGI application.

    Attributes:
        served: What it serves, by name.
    """

    def __init__(self, served: Mapping[str, Served], *, max_bytes: int) -> None:
        """Keep the facts.

        Args:
            served: At least one policy, by name.
            max_bytes: A longer body is refused.
        """
        self.served = served
        self._first = next(iter(served.values()))
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket, as ASGI says."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _live(receive, send)

    def _find(self, scope: Scope) -> tuple[Served, str]:
        """Who answers at a path, and what is left of it."""
        path = str(scope["path"]).removeprefix(scope.get("root_path", "").rstrip("/"))
        name, _, rest = path.lstrip("/").partition("/")
        if name in self.served:
            return self.served[name], f"/{rest}"
        return self._first, path or "/"

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        served, path = self._find(scope)
        body = await self._body(receive)
        if isinstance(body, HttpReply):
            reply = body
        else:
            request = HttpRequest(
                method=scope["method"],
                path=http.HEALTH if path == _ALSO_HEALTH else path,
                content_type=headers.get("content-type", ""),
                authorization=headers.get("authorization", ""),
                body=body,
            )
            reply = await _answer(served, request, _client(served.http.protocol, scope, headers))
        length = str(len(reply.body)).encode()
        told = [(b"content-type", reply.content_type.encode()), (b"content-length", length)]
        await send({"type": "http.response.start", "status": reply.status, "headers": told})
        await send({"type": "http.response.body", "body": reply.body})

    async def _body(self, receive: Receive) -> bytes | HttpReply:
        """What a client sends, or the refusal of what is too long: it is not read to its end."""
        parts: list[bytes] = []
        length, more = 0, True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            length += len(parts[-1])
            more = message.get("more_body", False)
            if length > self._max_bytes:
                return refusal(413, f"the body has more than {self._max_bytes} bytes")
        return b"".join(parts)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _headers(scope)
        served, path = self._find(scope)
        service = served.openpi
        await receive()
        # Who asks for what is not there is answered 403, as ASGI has it.
        if service is None or path != "/" or not service.admits(headers.get("authorization", "")):
            await send({"type": "websocket.close", "code": _NOT_ADMITTED})
            return
        client = _client(service.protocol, scope, headers)
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": service.greeting})
        try:
            await _ask(served.policy, service.connected(), client)
            while (message := await receive())["type"] == "websocket.receive":
                data = message.get("bytes") or message.get("text") or b""
                asked = await asyncio.to_thread(service.begin, data, client)
                reply = await _ask(served.policy, asked, client)
                await send({"type": "websocket.send", "bytes": reply})
        except VlaRosError as error:
            # As openpi's server does: a text, and the connection's end.
            await send({"type": "websocket.send", "text": service.refuse(error)})
            await send({"type": "websocket.close", "code": _FAILED, "reason": _REASON})
        finally:
            with contextlib.suppress(VlaRosError):
                await served.policy.forget(client)


async def _answer(served: Served, request: HttpRequest, client: Client) -> HttpReply:
    """The reply to a request, whatever it is."""
    try:
        if request.path == http.HEALTH:
            await served.policy.look()
        begun = await asyncio.to_thread(served.http.begin, request, client)
        return begun if isinstance(begun, HttpReply) else await _ask(served.policy, begun, client)
    except VlaRosError as error:
        return served.http.refuse(error)


async def _ask(policy: Policy, asked: Asked[R], client: Client) -> R:
    """The reply to what needs the policy."""
    if isinstance(asked, Inference):
        chunk = await policy.infer(asked, client)
        return await asyncio.to_thread(asked.answer, chunk)
    await policy.reset(client)
    return asked.done()


async def _live(receive: Receive, send: Send) -> None:
    """Nothing is to be done when a server starts and ends, but it wants to hear so."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _client(protocol: str, scope: Scope, headers: Mapping[str, str]) -> Client:
    """Who asks: the session that it names, or the connection."""
    host, port = scope.get("client") or ("", 0)
    return Client(protocol, headers.get(SESSION) or f"{host}:{port}")
