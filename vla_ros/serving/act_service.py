# SPDX-License-Identifier: Apache-2.0
"""An ACT server over any backends: pickles in, pickles out, no I/O. Nothing is unpickled.

Each observation is answered with one action, joined from the chunks that the policy gave at the
client's last steps (temporal ensembling). A reset begins a new episode, and so does a connection.
Whatever comes in, one reply goes out; what was wrong stands in it as a message.

``begin`` may be called by any thread. ``finish`` belongs to the thread that owns the backends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import (
    PolicyInput,
    action_columns,
    observation_from,
    split_columns,
)
from vla_ros.core.step_ensemble import StepEnsemble
from vla_ros.serving.sessions import MAX_SESSIONS, Sessions
from vla_ros.wire.act.reply import DONE, encode_action, encode_error
from vla_ros.wire.act.request import ActObservation, decode_request
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ActJob:
    """A request that needs the policy.

    Attributes:
        observation: What the client sees; None: it wants a reset.
    """

    observation: ActObservation | None

    @property
    def infers(self) -> bool:
        """Whether the policy has to think (else: to forget)."""
        return self.observation is not None


class ActService:
    """Answers an ACT client's requests with its backend.

    Attributes:
        killed: False: no client can make the server end.
    """

    def __init__(
        self,
        sessions: Sessions,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            sessions: The policy, as each client has it.
            max_bytes: A longer request is refused.
            now_ns: The clock that stamps the observations.

        Raises:
            ConfigError: The policy looks at more than the newest images.
        """
        policy = sessions.policy
        if policy.video_deltas != NOW:
            raise ConfigError(
                f"{policy.source}: video: delta_indices: ACT's clients show the newest images"
                f" alone; found {list(policy.video_deltas)}"
            )
        self.killed = False
        self._sessions = sessions
        self._policy = policy
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        # Who asked last stands last.
        self._episodes: dict[Hashable, StepEnsemble] = {}

    def begin(self, data: bytes | memoryview) -> bytes | ActJob:
        """The refusal of a request, or the work that must be done first. For any thread."""
        try:
            return ActJob(decode_request(bytes(data), max_bytes=self._max_bytes))
        except VlaRosError as error:
            return self.refusal(str(error))

    def finish(self, job: ActJob, client: Hashable) -> bytes:
        """The reply to a request that needs the policy. For the backends' thread."""
        try:
            if job.observation is not None:
                return self._act(job.observation, client)
            self._episodes.pop(client, None)
            self._sessions.backend(client).reset()
            return DONE
        except VlaRosError as error:
            return self.refusal(str(error))

    def refusal(self, text: str) -> bytes:
        """A reply that says what is wrong. For any thread."""
        _LOG.warning("refused a request: %s", text)
        return encode_error(text)

    def _act(self, seen: ActObservation, client: Hashable) -> bytes:
        given = PolicyInput(
            video=seen.images,
            state=split_columns(self._policy.state, seen.qpos),
            # ACT's clients have nothing to say.
            language={self._policy.instruction_key: ""},
        )
        observation = observation_from(self._policy, given, stamp_ns=self._now_ns())
        chunk = self._sessions.backend(client).infer(observation)
        action = self._episode(client).add(action_columns(self._policy, chunk))
        return encode_action(action.astype(np.float32))

    def _episode(self, client: Hashable) -> StepEnsemble:
        """What a client's chunks are joined in."""
        episode = self._episodes.pop(client, None)
        if episode is None:
            episode = StepEnsemble(self._policy.horizon, len(self._policy.action_names))
        self._episodes[client] = episode
        if len(self._episodes) > 2 * MAX_SESSIONS:
            # ZeroMQ does not tell who is gone.
            del self._episodes[next(iter(self._episodes))]
        return episode
