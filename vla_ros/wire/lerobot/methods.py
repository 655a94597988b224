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
# What a server of this package says beside an error UNAVAILABLE of its own: the connection need not
# be made anew. LeRobot's clients pass over it.
STILL_THERE = ("vla-ros-still-there", "1")
