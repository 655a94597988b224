# SPDX-License-Identifier: Apache-2.0
"""The methods of LeRobot's policy server, as gRPC calls them. Pure; any thread may call.

``READY`` and ``GET_ACTIONS`` take an empty message; ``SEND_OBSERVATIONS`` takes a stream of parts;
all but ``GET_ACTIONS`` answer with an empty message.
"""

from __future__ import annotations

SERVICE = "transport.AsyncInference"
READY = f"/{SERVICE}/Ready"
SEND_POLICY_INSTRUCTIONS = f"/{SERVICE}/SendPolicyInstructions"
SEND_OBSERVATIONS = f"/{SERVICE}/SendObservations"
GET_ACTIONS = f"/{SERVICE}/GetActions"


def address_of(host: str, port: int) -> str:
    """Where a server is, as gRPC wants it said: an address of IPv6 stands in brackets.

    >>> address_of("::1", 8080)
    '[::1]:8080'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
