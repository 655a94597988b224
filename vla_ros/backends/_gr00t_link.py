# SPDX-License-Identifier: Apache-2.0
"""The way to a GR00T policy server, as short as client and server agree on.

A server of this package is asked, once for each connection, what it can do beyond GR00T's wires:
take a request in several parts, which saves copies; take images as JPEG files, which are a tenth as
long; and be reached at a local socket. Any other server gets what NVIDIA's own client sends.

One thread. Deadlines are seconds of ``time.monotonic``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vla_ros.backends._gr00t_client import Gr00tClient
from vla_ros.backends._link_speed import JPEG_UP_TO_BIT_S, link_speed
from vla_ros.backends._local_socket import is_own_socket
from vla_ros.backends._remote import PatientConfig
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.core.addresses import is_loopback
from vla_ros.core.errors import BackendSilent, BackendUnavailable, ConfigError
from vla_ros.core.params import param
from vla_ros.wire.gr00t.capabilities import Capabilities
from vla_ros.wire.gr00t.jpeg import DEFAULT_QUALITY
from vla_ros.wire.limits import DEFAULT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class LinkConfig(PatientConfig):
    """Where the policy server is, how patient to be with it, and how images get there."""

    port: int = param(5555, "The policy server's port.", ge=1, le=65535)
    api_token: str = param("", "What the server wants to hear to let anybody in; empty: nothing.")
    image_encoding: Literal["auto", "raw", "jpeg"] = param(
        "auto",
        "How images are sent; jpeg needs a policy_server of vla_ros, auto takes it where the"
        " server does and the link is slower than 5 Gbit/s.",
    )
    jpeg_quality: int = param(
        DEFAULT_QUALITY, "How much of an image is kept in a JPEG file.", ge=1, le=100
    )
    local_socket: bool = param(
        True, "Whether a policy_server of vla_ros on this machine is reached without TCP."
    )


class Gr00tLink:
    """A connection to a policy server.

    Attributes:
        client: Asks the server; another one once ``agree`` found a shorter way.
        in_parts: Whether requests may have several parts.
        jpeg: Whether images are sent as JPEG files.
        told: What was agreed on, for people; empty with a server that is not ours.
    """

    def __init__(self, config: LinkConfig, *, address: str, now_ns: Callable[[], int]) -> None:
        """Keep the facts; ``open`` connects.

        Args:
            config: How to get there.
            address: ``tcp://host:port``.
            now_ns: The clock of answers' times.
        """
        self._config = config
        self._address = address
        self._now_ns = now_ns
        self._begin()

    def open(self, deadline_s: float) -> bool:
        """Make sure that a request can be sent now.

        Returns:
            Whether all was agreed on for this connection; another may be to another server.

        Raises:
            BackendUnavailable: It cannot be sent before the deadline.
        """
        try:
            self._connection = self.client.channel.open(deadline_s)
        except BackendSilent:
            raise
        except BackendUnavailable:
            if not self._is_local:
                raise
            # A server that was started anew has another local socket, which it tells at its port.
            self.close()
            self._connection = self.client.channel.open(deadline_s)
        return self._connection == self._agreed

    def agree(self, *, is_ours: bool, deadline_s: float) -> None:
        """Find the shortest way that the server knows too.

        Args:
            is_ours: Whether it is a server of this package, and may be asked.
            deadline_s: When its answers must be there.

        Raises:
            BackendError: It gave no answer, or none that can be read.
            ConfigError: It does not take images as they are to be sent.
        """
        can = self.client.get_capabilities(deadline_s) if is_ours else Capabilities()
        wanted = self._config.image_encoding
        if wanted == "jpeg" and not can.jpeg:
            raise ConfigError(
                f"image_encoding is jpeg, but the server at {self._address} takes raw images alone;"
                " allowed with it: auto, raw"
            )
        self.in_parts, self.jpeg, self.told = can.multipart, wanted == "jpeg", ""
        if is_ours:
            self._move(can.ipc, deadline_s)
            way = " over a local socket" if self._is_local else ""
            if wanted == "auto" and can.jpeg and can.multipart and not self._is_local:
                speed = link_speed(lambda size: self.client.measure_link(size, deadline_s))
                self.jpeg = speed < JPEG_UP_TO_BIT_S
                way = f" at {speed / 1e9:.3g} Gbit/s"
            self.told = f", {'JPEG' if self.jpeg else 'raw'} images{way}"
        self._agreed = self._connection

    def close(self) -> None:
        """Let go of the connection."""
        self.client.channel.close()
        self._begin()

    def _begin(self) -> None:
        self.client = self._client_at(self._address)
        self._is_local = False
        self._connection = self._agreed = 0
        self.in_parts, self.jpeg, self.told = False, False, ""

    def _move(self, address: str, deadline_s: float) -> None:
        """Goes on at a local socket, where that can be used."""
        usable = self._config.local_socket and is_loopback(self._config.host)
        if self._is_local or not usable or not is_own_socket(address):
            return
        client = self._client_at(address)
        try:
            self._connection = client.channel.open(deadline_s)
        except BackendUnavailable:
            # The connection that there is will do.
            client.channel.close()
            return
        self.client.channel.close()
        self.client, self._is_local = client, True

    def _client_at(self, address: str) -> Gr00tClient:
        return Gr00tClient(
            # Users know the port, and no local socket.
            ZmqChannel(
                address,
                times=self._config.times,
                max_bytes=DEFAULT_MAX_BYTES,
                name=self._address,
            ),
            api_token=self._config.api_token or None,
            max_bytes=DEFAULT_MAX_BYTES,
            now_ns=self._now_ns,
        )
