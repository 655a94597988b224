# SPDX-License-Identifier: Apache-2.0
"""An openpi policy server over any backends: frames in, frames out, no I/O.

openpi's clients know no reset, so each connection begins an episode. Those of RoboArena's servers
and of vLLM-Omni may also ask for one by its endpoint.

``begin`` and ``admits`` may be called by any thread. ``finish`` belongs to the thread that owns the
backends.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from vla_ros.core.errors import ConfigError
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import PolicyInput, action_columns, observation_from
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.limits import DEFAULT_MAX_BYTES
from vla_ros.wire.openpi.reply import encode_answer, encode_metadata, encode_reset_done
from vla_ros.wire.openpi.request import decode_request


@dataclass(frozen=True, slots=True)
class OpenpiJob:
    """A request that needs the policy.

    Attributes:
        given: What the client sees; None: it wants a reset.
    """

    given: PolicyInput | None

    @property
    def infers(self) -> bool:
        """Whether the policy has to think (else: to forget)."""
        return self.given is not None


# What every connection begins with.
RESET_JOB = OpenpiJob(None)


class OpenpiService:
    """Answers an openpi client's requests with its backend.

    Attributes:
        greeting: What every client is told first.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        api_token: str | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Keep the facts.

        Args:
            sessions: The policy, as each client has it.
            api_token: What a client must say to be let in; None: nothing.
            max_bytes: A longer request is refused.
            now_ns: The clock that stamps the observations.
            now_s: The clock that tells how long an inference took.

        Raises:
            ConfigError: The policy looks at more than the newest images.
        """
        policy = sessions.policy
        if policy.video_deltas != NOW:
            raise ConfigError(
                f"{policy.source}: video: delta_indices: openpi's clients show the newest images"
                f" alone; found {list(policy.video_deltas)}"
            )
        self.greeting = encode_metadata(policy)
        self._sessions = sessions
        self._policy = policy
        self._admitted = None if api_token is None else f"Api-Key {api_token}".encode()
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._now_s = now_s

    def admits(self, authorization: str) -> bool:
        """Whether a client that says this, the header ``Authorization``, is let in."""
        given = authorization.encode()
        return self._admitted is None or hmac.compare_digest(given, self._admitted)

    def begin(self, message: bytes | str) -> OpenpiJob:
        """What a client asks.

        Raises:
            WireFormatError: It is no request.
        """
        return OpenpiJob(decode_request(message, self._policy, max_bytes=self._max_bytes))

    def finish(self, job: OpenpiJob, client: Hashable) -> bytes:
        """The reply to a request.

        Raises:
            VlaRosError: The observation is none of the policy's, or the policy gave no answer.
        """
        backend = self._sessions.backend(client)
        if job.given is None:
            backend.reset()
            return encode_reset_done()
        observation = observation_from(self._policy, job.given, stamp_ns=self._now_ns())
        started_s = self._now_s()
        chunk = backend.infer(observation)
        timing_ms = {"infer_ms": 1e3 * (self._now_s() - started_s)}
        return encode_answer(action_columns(self._policy, chunk), timing_ms)
