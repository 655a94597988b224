# SPDX-License-Identifier: Apache-2.0
"""``host:port`` as people write it, where an IPv6 address stands in brackets. Pure; any thread."""

from __future__ import annotations

import ipaddress

from vla_ros.core.errors import ConfigError

_MAX_PORT = 65535


def parse_address(text: str, *, where: str) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``.

    >>> parse_address("gpu-box:5555", where="--address")
    ('gpu-box', 5555)
    >>> parse_address("[::1]:80", where="--address")
    ('::1', 80)

    Args:
        text: What was written.
        where: Where it stands, for errors.

    Raises:
        ConfigError: It is none.
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_port = port.isascii() and port.isdecimal() and 0 < int(port) <= _MAX_PORT
    if not bare or (":" in bare) != (bare != host) or not is_port:
        raise ConfigError(
            f"{where} must be HOST:PORT, such as 192.168.1.20:5555 or [::1]:5555; found {text!r}"
        )
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """``HOST:PORT`` of a host and a port.

    >>> join_address("::1", 80)
    '[::1]:80'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, reached in a way that no other machine has.

    >>> is_loopback("127.0.0.1"), is_loopback("192.168.1.20")
    (True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
