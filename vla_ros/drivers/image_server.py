# SPDX-License-Identifier: Apache-2.0
"""Serves images as teleimager does, in its new protocol or in the legacy one.

A subscriber that is slow gets the newest image and no older one. ``publish`` belongs to one thread;
the configuration is served by a thread of its own. ``close`` comes after the last ``publish``.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from dataclasses import replace

import zmq

from vla_ros.core.errors import ConfigError
from vla_ros.drivers.jpeg import join_jpegs
from vla_ros.drivers.teleimager import (
    CONFIG_PORT,
    LEGACY_PORT,
    ImageSource,
    encode_config,
    legacy_message,
)

_POLL_MS = 100
_JOIN_S = 2.0


class ImageServer:
    """The new protocol: a configuration, and a port for each source.

    Attributes:
        config_port: Where the configuration is asked for.
        sources: What is published, with the real ports.
    """

    def __init__(
        self,
        sources: Sequence[ImageSource],
        *,
        config_port: int = CONFIG_PORT,
        port_offset: int = 0,
        interface: str = "*",
    ) -> None:
        """Listen.

        Args:
            sources: What will be published. Port 0 takes a free one.
            config_port: Where the configuration is served; 0 takes a free port.
            port_offset: Added to every port that is given: another robot's server on this machine.
            interface: The address to listen at; ``*`` is all of them.

        Raises:
            ConfigError: A port is taken.
        """
        with contextlib.ExitStack() as undo:
            context = undo.enter_context(zmq.Context())
            self._sockets: dict[str, zmq.Socket[bytes]] = {}
            real = []
            for source in sources:
                socket = undo.enter_context(_publisher(context))
                port = _bind(socket, interface, source.port, port_offset)
                self._sockets[source.name] = socket
                real.append(replace(source, port=port))
            self.sources = tuple(real)
            responder = undo.enter_context(context.socket(zmq.REP))
            responder.linger = 0
            self.config_port = _bind(responder, interface, config_port, port_offset)
            self._ended = threading.Event()
            thread = threading.Thread(
                target=self._answer, args=(responder,), name="image config", daemon=True
            )
            thread.start()
            undo.callback(thread.join, _JOIN_S)
            undo.callback(self._ended.set)
            self._undo = undo.pop_all()

    def publish(self, name: str, jpeg: bytes) -> None:
        """Send a source's newest image.

        Args:
            name: The source's name.
            jpeg: A JPEG file.
        """
        self._sockets[name].send(jpeg)

    def close(self) -> None:
        """Listen no more; a second time does nothing."""
        self._undo.close()

    def _answer(self, responder: zmq.Socket[bytes]) -> None:
        """Serve the configuration: whatever is asked, upstream gives that answer."""
        answer = encode_config(self.sources)
        while not self._ended.is_set():
            if responder.poll(_POLL_MS):
                responder.recv()
                responder.send(answer)


class LegacyImageServer:
    """The legacy protocol: all sources side by side in one image on one port.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        port: int = LEGACY_PORT,
        port_offset: int = 0,
        interface: str = "*",
        quality: int = 85,
        header: bool = False,
    ) -> None:
        """Listen.

        Args:
            names: The sources, from left to right.
            port: Where to listen; 0 takes a free port.
            port_offset: Added to the port.
            interface: The address to listen at; ``*`` is all of them.
            quality: With which the wide image is encoded, 1 to 100.
            header: Whether time and number stand before each image.

        Raises:
            ConfigError: The port is taken.
        """
        self._last = names[-1]
        self._quality = quality
        self._header = header
        self._newest = dict.fromkeys(names, b"")
        self._sent = 0
        with contextlib.ExitStack() as undo:
            context = undo.enter_context(zmq.Context())
            self._socket = undo.enter_context(_publisher(context))
            self.port = _bind(self._socket, interface, port, port_offset)
            self._undo = undo.pop_all()

    def publish(self, name: str, jpeg: bytes) -> None:
        """Keep a source's newest image; the last source's sends the newest ones of all.

        Args:
            name: The source's name.
            jpeg: A JPEG file.

        Raises:
            DeviceError: An image is no JPEG file, or of another height than the others.
        """
        if name not in self._newest:
            raise KeyError(name)
        self._newest[name] = jpeg
        if name != self._last or not all(self._newest.values()):
            return
        wide = join_jpegs(tuple(self._newest.values()), quality=self._quality)
        if self._header:
            wide = legacy_message(wide, time_s=time.time(), number=self._sent)
        self._socket.send(wide)
        self._sent += 1

    def close(self) -> None:
        """Listen no more; a second time does nothing."""
        self._undo.close()


def _publisher(context: zmq.Context[zmq.Socket[bytes]]) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.PUB)
    socket.linger = 0
    # Only the newest image waits for a slow subscriber.
    socket.conflate = 1
    socket.sndhwm = 1
    return socket


def _bind(socket: zmq.Socket[bytes], interface: str, port: int, port_offset: int) -> int:
    """The port that the socket listens at."""
    address = f"tcp://{interface}:{port + port_offset if port else '*'}"
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        raise ConfigError(f"cannot serve images at {address}: {error}") from error
    return int(socket.getsockopt_string(zmq.LAST_ENDPOINT).rpartition(":")[2])
