# SPDX-License-Identifier: Apache-2.0
"""The five endpoints of a GR00T policy server, and two more of ours. One thread.

Every call has a deadline on ``time.monotonic`` [s] and raises ``BackendUnavailable`` (no answer),
``RemotePolicyError`` (an error as the answer) or ``WireFormatError`` (an answer that is none).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.backends._reused_memory import ReusedMemory
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.core.errors import BackendUnavailable
from vla_ros.wire.gr00t import message
from vla_ros.wire.gr00t.capabilities import Capabilities, decode_capabilities, is_marked
from vla_ros.wire.gr00t.message import (
    Request,
    decode_reply,
    encode_request_parts,
    encode_request_pieces,
)
from vla_ros.wire.gr00t.modality import ModalityConfig, decode_modality
from vla_ros.wire.gr00t.wires import Gr00tWire


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy answered, and when.

    Attributes:
        value: The reply, unpacked.
        sent_ns: When the encoded request left.
        received_ns: When the reply was in.
    """

    value: Any
    sent_ns: int
    received_ns: int


class Gr00tClient:
    """Asks a policy server.

    Attributes:
        channel: How it is reached.
    """

    def __init__(
        self,
        channel: ZmqChannel,
        *,
        api_token: str | None,
        max_bytes: int,
        now_ns: Callable[[], int],
    ) -> None:
        """Keep the facts; the first call connects.

        Args:
            channel: How the server is reached.
            api_token: What to say to be let in; None: nothing.
            max_bytes: A longer reply is refused.
            now_ns: The clock of an answer's times.
        """
        self.channel = channel
        self._api_token = api_token
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._memory = ReusedMemory()

    def ping(self, deadline_s: float) -> None:
        """Ask for a sign of life. A GR00T server gives it only when it is not inferring."""
        self._ask(message.PING, {}, Gr00tWire.B, deadline_s)

    def kill(self, deadline_s: float) -> None:
        """Make the server end."""
        self._ask(message.KILL, {}, Gr00tWire.B, deadline_s)

    def reset(
        self, deadline_s: float, options: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        """Make the policy forget the episode, and give what it says of that. Not in wire A5."""
        reply = self._ask(message.RESET, {"options": options}, Gr00tWire.B, deadline_s).value
        return reply if isinstance(reply, Mapping) else {}

    def get_modality_config(
        self, deadline_s: float
    ) -> tuple[dict[str, ModalityConfig], Gr00tWire, bool]:
        """What the policy takes and gives, the wire its server speaks, and whether it is ours."""
        reply = self._ask(message.GET_MODALITY_CONFIG, {}, Gr00tWire.B, deadline_s).value
        return *decode_modality(reply), is_marked(reply)

    def get_capabilities(self, deadline_s: float) -> Capabilities:
        """What a server of ours can do."""
        return decode_capabilities(
            self._ask(message.GET_CAPABILITIES, {}, Gr00tWire.B, deadline_s).value
        )

    def measure_link(self, size: int, deadline_s: float) -> float:
        """How long a server of ours that takes parts needs to answer that many bytes [s]."""
        data = {"bytes": np.zeros(size, np.uint8)}
        begun_s = time.perf_counter()
        self._ask(message.MEASURE_LINK, data, Gr00tWire.B, deadline_s, in_parts=True)
        return time.perf_counter() - begun_s

    def get_action(
        self, data: Mapping[str, Any], wire: Gr00tWire, deadline_s: float, *, in_parts: bool = False
    ) -> Answer:
        """The policy's answer to an observation.

        Args:
            data: What is shown to it.
            wire: In which wire.
            deadline_s: When the answer must be there.
            in_parts: Whether the request has several parts, which servers of ours in wire B take.
        """
        return self._ask(message.GET_ACTION, data, wire, deadline_s, in_parts=in_parts)

    def _ask(
        self,
        endpoint: str,
        data: Mapping[str, Any],
        wire: Gr00tWire,
        deadline_s: float,
        *,
        in_parts: bool = False,
    ) -> Answer:
        asked = Request(endpoint, data, self._api_token, wire)
        request: bytes | memoryview
        rest: list[memoryview] = []
        if in_parts:
            request, rest = encode_request_parts(asked)
        else:
            request = self._memory.join(encode_request_pieces(asked))
        sent_ns = self._now_ns()
        try:
            reply = self.channel.call(request, deadline_s, rest=rest)
        except BackendUnavailable:
            # It may still be on its way.
            self._memory = ReusedMemory()
            raise
        received_ns = self._now_ns()
        return Answer(decode_reply(reply, max_bytes=self._max_bytes), sent_ns, received_ns)
