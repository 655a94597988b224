# SPDX-License-Identifier: Apache-2.0
"""Ports for an image server of the tests."""

from __future__ import annotations

import contextlib
import random
import socket

_USUAL = (5555, 55555, 55556, 55557, 60000)


def free_port_offset() -> int:
    """What teleimager's usual ports must be moved by, so that all of them are free."""
    for _ in range(100):
        offset = random.randrange(200, 5000)
        if all(_is_free(port - offset) for port in _USUAL):
            return -offset
    raise RuntimeError("no free ports were found")


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as tried:
        try:
            tried.bind(("", port))
        except OSError:
            return False
        return True
