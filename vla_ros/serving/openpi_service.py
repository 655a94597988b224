# SPDX-License-Identifier: Apache-2.0
"""An openpi policy server: frames in, frames out, no I/O.

openpi's clients know no reset, so each connection begins an episode. Those of RoboArena's servers
and of vLLM-Omni may also ask for one by its endpoint.

Any thread may call.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import action_columns, observation_from
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.asked import Asked, Client, Inference, Reset
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.openpi.reply import encode_answer, encode_metadata, encode_reset_done
from vla_ros.wire.openpi.request import decode_request

_LOG = logging.getLogger(__name__)


class OpenpiService:
    """Answers openpi's clients.

    Attributes:
        protocol: What it speaks, for whoever counts its clients.
        greeting: What every client is told first.
    """

    protocol = "openpi"

    def __init__(
        self,
        policy: PolicySpec,
        *,
        api_token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            policy: What is served.
            api_token: What a client must say to be let in; None: nothing.
            max_bytes: A longer request is refused.
            now_ns: The clock that stamps the observations.

        Raises:
            ConfigError: The policy looks at more than the newest images.
        """
        if policy.video_deltas != NOW:
            raise ConfigError(
                f"{policy.source}: video: delta_indices: openpi's clients show the newest images"
                f" alone; found {list(policy.video_deltas)}"
            )
        self.greeting = encode_metadata(policy)
        self._policy = policy
        self._admitted = None if api_token is None else f"Api-Key {api_token}".encode()
        self._max_bytes = max_bytes
        self._now_ns = now_ns

    def admits(self, authorization: str) -> bool:
        """Whether a client that says this, the header ``Authorization``, is let in."""
        given = authorization.encode()
        return self._admitted is None or hmac.compare_digest(given, self._admitted)

    def connected(self) -> Reset[bytes]:
        """What every connection begins with; nobody waits for the reply."""
        return Reset(encode_reset_done)

    def begin(self, message: bytes | str, client: Client) -> Asked[bytes]:
        """What a client asks of the policy.

        Raises:
            WireFormatError: It is no request.
            ConfigError: The observation is none of the policy's.
        """
        del client
        given = decode_request(message, self._policy, max_bytes=self._max_bytes)
        if given is None:
            return Reset(encode_reset_done)
        observation = observation_from(self._policy, given, stamp_ns=self._now_ns())
        return Inference(observation, self._answer)

    def refuse(self, error: VlaRosError) -> str:
        """What is wrong, as openpi says it before it hangs up."""
        _LOG.warning("refused a request: %s", error)
        return str(error)

    def _answer(self, chunk: ActionChunk) -> bytes:
        took_ns = chunk.timing.received_ns - chunk.timing.sent_ns
        return encode_answer(action_columns(self._policy, chunk), {"infer_ms": 1e-6 * took_ns})
