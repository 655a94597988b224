# SPDX-License-Identifier: Apache-2.0
"""An ACT server: pickles in, pickles out, no I/O. Nothing is unpickled.

Each observation is answered with one action, joined from the chunks that the policy gave at the
client's last steps (temporal ensembling). A reset begins a new episode, and so does a connection.
Whatever comes in, one reply goes out; what was wrong stands in it as a message.

Any thread may call. What is joined belongs to the one that owns the backends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ConfigError, VlaRosError, WireFormatError
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import PolicyInput, action_columns, observation_from, split_columns
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.step_ensemble import StepEnsemble
from vla_ros.serving.asked import Asked, Client, Inference, Reset
from vla_ros.serving.sessions import MAX_SESSIONS
from vla_ros.wire.act.reply import DONE, encode_action, encode_error
from vla_ros.wire.act.request import ActObservation, decode_request
from vla_ros.wire.limits import DEFAULT_MAX_BYTES

_LOG = logging.getLogger(__name__)


class ActService:
    """Answers ACT's clients.

    Attributes:
        protocol: What it speaks, for whoever counts its clients.
        killed: False: no client can make the server end.
    """

    protocol = "act"

    def __init__(
        self,
        policy: PolicySpec,
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Keep the facts.

        Args:
            policy: What is served.
            max_bytes: A longer request is refused.
            now_ns: The clock that stamps the observations.

        Raises:
            ConfigError: The policy looks at more than the newest images.
        """
        if policy.video_deltas != NOW:
            raise ConfigError(
                f"{policy.source}: video: delta_indices: ACT's clients show the newest images"
                f" alone; found {list(policy.video_deltas)}"
            )
        self.killed = False
        self._policy = policy
        self._max_bytes = max_bytes
        self._now_ns = now_ns
        self._lock = threading.Lock()
        # Guarded by it. Who asked last stands last.
        self._episodes: dict[Client, StepEnsemble] = {}

    def begin(
        self, data: bytes | memoryview, client: Client, rest: Sequence[memoryview] = ()
    ) -> bytes | Asked[bytes]:
        """The refusal of a request, or what must be asked of the policy."""
        try:
            if rest:
                raise WireFormatError(f"a request has one part; found {1 + len(rest)}")
            seen = decode_request(bytes(data), max_bytes=self._max_bytes)
            if seen is not None:
                return self._inference(seen, client)
        except VlaRosError as error:
            return self.refuse(error)
        with self._lock:
            # Whether or not the policy can forget as well.
            self._episodes.pop(client, None)
        return Reset(lambda: DONE)

    def refuse(self, error: VlaRosError) -> bytes:
        """A reply that says what is wrong."""
        _LOG.warning("refused a request: %s", error)
        return encode_error(str(error))

    def _inference(self, seen: ActObservation, client: Client) -> Inference[bytes]:
        given = PolicyInput(
            video=seen.images,
            state=split_columns(self._policy.state, seen.qpos),
            # ACT's clients have nothing to say.
            language={self._policy.instruction_key: ""},
        )
        observation = observation_from(self._policy, given, stamp_ns=self._now_ns())
        episode = self._episode(client)

        def answer(chunk: ActionChunk) -> bytes:
            action = episode.add(action_columns(self._policy, chunk))
            return encode_action(action.astype(np.float32))

        # One action is answered, so the robot has at most one to execute.
        return Inference(observation, answer, runs_out_in_s=1e-9 * self._policy.step_ns)

    def _episode(self, client: Client) -> StepEnsemble:
        """What a client's chunks are joined in."""
        with self._lock:
            episode = self._episodes.pop(client, None)
            if episode is None:
                episode = StepEnsemble(self._policy.horizon, len(self._policy.action_names))
            self._episodes[client] = episode
            if len(self._episodes) > 2 * MAX_SESSIONS:
                # ZeroMQ does not tell who is gone.
                del self._episodes[next(iter(self._episodes))]
        return episode
