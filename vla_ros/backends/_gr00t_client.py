# SPDX-License-Identifier: Apache-2.0
"""The five endpoints of a GR00T policy server. One thread.

Every call has a deadline on ``time.monotonic`` [s] and raises ``BackendUnavailable`` (no answer),
``RemotePolicyError`` (an error as the answer) or ``WireFormatError`` (an answer that is none).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.wire.gr00t import message
from vla_ros.wire.gr00t.message import Request, decode_reply, encode_request
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

    def get_modality_config(self, deadline_s: float) -> tuple[dict[str, ModalityConfig], Gr00tWire]:
        """What the policy takes and gives, and the wire that its server speaks."""
        return decode_modality(
            self._ask(message.GET_MODALITY_CONFIG, {}, Gr00tWire.B, deadline_s).value
        )

    def get_action(self, data: Mapping[str, Any], wire: Gr00tWire, deadline_s: float) -> Answer:
        """The policy's answer to an observation."""
        return self._ask(message.GET_ACTION, data, wire, deadline_s)

    def _ask(
        self, endpoint: str, data: Mapping[str, Any], wire: Gr00tWire, deadline_s: float
    ) -> Answer:
        request = encode_request(Request(endpoint, data, self._api_token, wire))
        sent_ns = self._now_ns()
        reply = self.channel.call(request, deadline_s)
        received_ns = self._now_ns()
        return Answer(decode_reply(reply, max_bytes=self._max_bytes), sent_ns, received_ns)
