# SPDX-License-Identifier: Apache-2.0
"""The endpoints of a GR00T policy server: bytes in, bytes out, no I/O.

Each client is answered in the wire, the layout and the batching that it asked in. Whatever comes
in, one reply goes out; what was wrong stands in it as ``{"error": text}``.

Any thread may call.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from vla_ros.core.errors import BackendUnavailable, VlaRosError, WireFormatError
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Asked, Client, Inference, Reset
from vla_ros.serving.gr00t_inference import gr00t_inference
from vla_ros.wire.gr00t import message
from vla_ros.wire.gr00t.capabilities import Capabilities, encode_capabilities, marked
from vla_ros.wire.gr00t.jpeg import Each
from vla_ros.wire.gr00t.message import Request, decode_request, encode_error, encode_reply
from vla_ros.wire.gr00t.modality import encode_modality, modality_of
from vla_ros.wire.gr00t.options import Options, decode_options
from vla_ros.wire.gr00t.wires import Gr00tWire
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.shown import shown

_LOG = logging.getLogger(__name__)
_B = Gr00tWire.B
_ENDPOINTS = (
    message.PING,
    message.KILL,
    message.RESET,
    message.GET_ACTION,
    message.GET_MODALITY_CONFIG,
    message.GET_CAPABILITIES,
    message.MEASURE_LINK,
)


class Gr00tService:
    """Answers GR00T requests.

    Attributes:
        protocol: What it speaks.
        killed: Whether a client made the server end.
    """

    protocol = "gr00t"

    def __init__(
        self,
        policy: PolicySpec,
        *,
        api_token: str | None = None,
        modality_wire: Gr00tWire | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        ipc: str = "",
        each: Each = map,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            policy: What is served.
            api_token: What a client must say; None: nothing, and nobody may end the server.
            modality_wire: How to mark the reply of ``get_modality_config``; see
                ``encode_modality``. Clients of N1.5 need A5, and then no others can be served.
            max_bytes: A longer request is refused.
            ipc: Where programs of this machine and user can reach it; empty: nowhere.
            each: Calls for each image that came as a JPEG file.
            now_ns: The clock that stamps an observation whose client does not.
        """
        self.killed = False
        self._policy = policy
        self._api_token = api_token
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._each = each
        modality = encode_modality(modality_of(policy), modality_wire)
        # Who wants one wire alone gets that and no more.
        if modality_wire is None:
            modality = marked(modality)
        capabilities = Capabilities(jpeg=True, multipart=True, ipc=ipc)
        # What needs neither the policy nor the request's data.
        self._replies = {
            message.PING: encode_reply({"status": "ok", "message": "Server is running"}, _B),
            message.GET_MODALITY_CONFIG: encode_reply(modality, modality_wire or _B),
            message.GET_CAPABILITIES: encode_reply(encode_capabilities(capabilities), _B),
            message.MEASURE_LINK: encode_reply({}, _B),
        }

    def begin(
        self, data: bytes | memoryview, client: Client, rest: Sequence[memoryview] = ()
    ) -> bytes | Asked[bytes]:
        """The reply to a request, or what must be asked of the policy first."""
        del client
        try:
            return self._begin(decode_request(data, rest, max_bytes=self._max_bytes))
        except VlaRosError as error:
            return self.refuse(error)

    def refuse(self, error: VlaRosError) -> bytes:
        """A reply that says what is wrong."""
        _LOG.warning("refused a request: %s", error)
        return encode_error(str(error), unavailable=isinstance(error, BackendUnavailable))

    def _begin(self, request: Request) -> bytes | Asked[bytes]:
        if self._api_token is not None and not hmac.compare_digest(
            (request.api_token or "").encode(), self._api_token.encode()
        ):
            raise WireFormatError("Unauthorized: Invalid API token")
        if request.endpoint in self._replies:
            return self._replies[request.endpoint]
        if request.endpoint == message.GET_ACTION:
            return self._inference(request)
        if request.endpoint == message.RESET:
            return Reset(lambda: encode_reply({}, _B))
        if request.endpoint == message.KILL:
            if self._api_token is None:
                raise WireFormatError("kill is off, because this server has no api_token")
            self.killed = True
            return encode_reply(None, _B)
        raise WireFormatError(
            f"Unknown endpoint: {request.endpoint[:80]}; there are {', '.join(_ENDPOINTS)}"
        )

    def _inference(self, request: Request) -> Inference[bytes]:
        tree, options = request.data, Options()
        if request.wire is not Gr00tWire.A5:
            options = decode_options(request.data.get("options"))
            tree = request.data.get("observation", {})
        if not isinstance(tree, Mapping) or not tree:
            raise WireFormatError(
                f"get_action: data.observation must be a map of keys; found {shown(tree)}"
            )
        return gr00t_inference(
            self._policy,
            tree,
            options,
            wire=request.wire,
            now_ns=self._now_ns,
            encode=lambda actions: encode_reply(actions, request.wire),
            max_bytes=self._max_bytes,
            each=self._each,
        )
