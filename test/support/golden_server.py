# SPDX-License-Identifier: Apache-2.0
"""A policy server that answers with NVIDIA's own bytes."""

from __future__ import annotations

from pathlib import Path

from vla_ros.wire.gr00t.message import decode_request
from vla_ros.wire.gr00t.wires import Gr00tWire

GOLDEN = Path(__file__).parents[1] / "wire/gr00t/golden"


def golden(wire: Gr00tWire, name: str) -> bytes:
    """One golden message, such as ``ping_request``."""
    return (GOLDEN / wire.value / f"{name}.msgpack").read_bytes()


class GoldenServer:
    """Answers each endpoint of one wire.

    Attributes:
        wire: The wire that it speaks.
        instead: Endpoint to what is answered instead of the golden reply.
    """

    def __init__(self, wire: Gr00tWire, **instead: bytes | None) -> None:
        self.wire = wire
        self.instead = instead

    def __call__(self, request: bytes) -> bytes | None:
        endpoint = decode_request(request).endpoint
        if endpoint in self.instead:
            return self.instead[endpoint]
        return golden(self.wire, f"{endpoint}_reply")
