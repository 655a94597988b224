# SPDX-License-Identifier: Apache-2.0
"""Receives the images of a teleimager, and looks for it again where they stay away.

One thread does all of it. It asks for the configuration, subscribes to what is wanted, and hands
every image over as it came, undecoded, in that thread. A source that is silent is asked for anew
while the others go on. ``start``, ``stop`` and ``state`` belong to whoever owns the stream.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Literal

import zmq

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.teleimager import (
    CONFIG_PORT,
    CONFIG_REQUEST,
    LEGACY_PORT,
    ImageSource,
    decode_config,
)

_LOG = logging.getLogger(__name__)
ImageProtocol = Literal["teleimager", "legacy"]
# The name of the one source of the legacy protocol, which has all images side by side.
LEGACY_SOURCE = "all side by side"
_ASK_S = 1.0
_POLL_MS = 100
_JOIN_S = 1.0
_MAX_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ImageHost:
    """Where images come from.

    Attributes:
        host: Name or address.
        config_port: Where the new protocol's configuration is asked for.
        legacy_port: Where the legacy protocol's images come.
        protocol: Which one; auto: the new one where it answers within a second, else the other.
    """

    host: str
    config_port: int = CONFIG_PORT
    legacy_port: int = LEGACY_PORT
    protocol: ImageProtocol | Literal["auto"] = "auto"


@dataclass(frozen=True, slots=True)
class StreamedImage:
    """One message of a source.

    Attributes:
        source: Its name; ``LEGACY_SOURCE`` in the legacy protocol.
        data: What came.
        received_ns: When it came, on the steady clock.
    """

    source: str
    data: bytes
    received_ns: int


@dataclass(frozen=True, slots=True)
class ImageStreamState:
    """How a stream does.

    Attributes:
        protocol: Which one is spoken; None: nobody was found yet.
        problem: What is wrong at the server as a whole; empty where nothing is.
        sources: What the server said that it has, by name.
        searches: How often the server was looked for.
    """

    protocol: ImageProtocol | None = None
    problem: str = "no image server has answered yet"
    sources: Mapping[str, ImageSource] = field(default_factory=dict)
    searches: int = 0


@dataclass(slots=True)
class _Subscription:
    port: int
    socket: zmq.Socket[bytes]
    heard_s: float


class ImageStream:
    """The images of some sources, for as long as they are wanted."""

    def __init__(
        self,
        host: ImageHost,
        wanted: Sequence[str],
        on_image: Callable[[StreamedImage], None],
        *,
        silence_s: float,
        guard: AbstractContextManager[object],
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            host: Where images come from.
            wanted: Names of sources.
            on_image: Takes each image.
            silence_s: A source from which nothing came for so long is looked for anew.
            guard: A context in which the thread runs, told of an exception that ends it.
        """
        self._host = host
        self._wanted = tuple(wanted)
        self._on_image = on_image
        self._silence_s = silence_s
        self._guard = guard
        self._state = ImageStreamState()
        self._subscriptions: dict[str, _Subscription] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="images", daemon=True)

    @property
    def state(self) -> ImageStreamState:
        """How it does now."""
        return self._state

    def start(self) -> None:
        """Begin; whoever is not there yet is looked for until it is."""
        self._thread.start()

    def stop(self) -> None:
        """Receive no more; no image is handed over after this."""
        self._stop.set()
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            _LOG.warning("the images' thread still hands one over; it is left behind")

    def _run(self) -> None:
        with self._guard, zmq.Context() as self._context:
            try:
                while not self._stop.is_set():
                    self._search()
                    self._receive()
            finally:
                self._subscribe({})

    def _search(self) -> None:
        """Find out where images come; who is subscribed to is heard meanwhile."""
        host = self._host
        nobody = f"no image server answers at {self._address(host.config_port)}"
        self._state = replace(self._state, searches=self._state.searches + 1)
        try:
            if host.protocol == "legacy":
                self._found("legacy", {}, {LEGACY_SOURCE: host.legacy_port}, "")
                return
            sources = self._ask()
            if sources is not None:
                ports = {name: sources[name].port for name in self._wanted if name in sources}
                self._found("teleimager", sources, ports, "")
            elif host.protocol == "auto" and not self._some_heard():
                tried = f"{nobody}; trying the legacy protocol at port {host.legacy_port}"
                self._found("legacy", {}, {LEGACY_SOURCE: host.legacy_port}, tried)
            else:
                self._troubled(nobody)
        except DeviceError as error:
            self._troubled(str(error))

    def _ask(self) -> dict[str, ImageSource] | None:
        """The server's sources, or None where nobody answers.

        Raises:
            DeviceError: It answers something else, or its address is none.
        """
        with self._context.socket(zmq.REQ) as socket:
            self._connect(socket, self._host.config_port)
            socket.send(CONFIG_REQUEST)
            until_s = time.monotonic() + _ASK_S
            while time.monotonic() < until_s and not self._stop.is_set():
                if self._pump(socket):
                    return decode_config(socket.recv())
        return None

    def _receive(self) -> None:
        """Hand images over, for a while at least, and for as long as all sources are heard."""
        again_s = time.monotonic() + self._silence_s
        while not self._stop.is_set() and (time.monotonic() < again_s or self._all_heard()):
            self._pump(None)

    def _pump(self, other: zmq.Socket[bytes] | None) -> bool:
        """Hand over what comes in a moment; whether something came on another socket."""
        poller = zmq.Poller()
        for subscription in self._subscriptions.values():
            poller.register(subscription.socket, zmq.POLLIN)
        if other is not None:
            poller.register(other, zmq.POLLIN)
        elif not self._subscriptions:
            self._stop.wait(_POLL_MS * 1e-3)
            return False
        ready = dict(poller.poll(_POLL_MS))
        for name, subscription in self._subscriptions.items():
            if subscription.socket in ready and not self._stop.is_set():
                data = subscription.socket.recv()
                received_ns = time.monotonic_ns()
                subscription.heard_s = received_ns * 1e-9
                if name == LEGACY_SOURCE and self._state.problem:
                    self._state = replace(self._state, problem="")
                self._on_image(StreamedImage(name, data, received_ns))
        return other in ready

    def _found(
        self,
        protocol: ImageProtocol,
        sources: dict[str, ImageSource],
        ports: dict[str, int],
        problem: str,
    ) -> None:
        """Subscribe at a server, of which is known what it speaks, or is guessed with a problem."""
        self._subscribe(ports)
        if protocol != self._state.protocol:
            where = ", ".join(f"{name} at {self._address(port)}" for name, port in ports.items())
            _LOG.info("protocol %s: looking for images of %s", protocol, where or "nobody")
        self._state = replace(self._state, protocol=protocol, problem=problem, sources=sources)

    def _troubled(self, problem: str) -> None:
        """There is something wrong, which is told once."""
        if self._state.problem != problem:
            _LOG.warning(problem)
        self._state = replace(self._state, problem=problem)

    def _subscribe(self, ports: Mapping[str, int]) -> None:
        """Keep what is heard where it was; everything else is opened anew, or closed."""
        for name, subscription in list(self._subscriptions.items()):
            if subscription.port != ports.get(name) or not self._heard(subscription):
                subscription.socket.close()
                del self._subscriptions[name]
        for name in ports.keys() - self._subscriptions.keys():
            socket = self._context.socket(zmq.SUB)
            # Only the newest image waits for this thread.
            socket.conflate = 1
            socket.rcvhwm = 1
            socket.setsockopt(zmq.MAXMSGSIZE, _MAX_BYTES)
            socket.subscribe(b"")
            self._subscriptions[name] = _Subscription(ports[name], socket, time.monotonic())
            self._connect(socket, ports[name])

    def _all_heard(self) -> bool:
        legacy = LEGACY_SOURCE in self._subscriptions
        found = legacy or self._subscriptions.keys() == set(self._wanted)
        return found and all(map(self._heard, self._subscriptions.values()))

    def _some_heard(self) -> bool:
        return any(map(self._heard, self._subscriptions.values()))

    def _heard(self, subscription: _Subscription) -> bool:
        return time.monotonic() - subscription.heard_s < self._silence_s

    def _address(self, port: int) -> str:
        return f"tcp://{self._host.host}:{port}"

    def _connect(self, socket: zmq.Socket[bytes], port: int) -> None:
        socket.linger = 0
        try:
            socket.connect(self._address(port))
        except zmq.ZMQError as error:
            raise DeviceError(f"{self._address(port)} cannot be connected to: {error}") from error
