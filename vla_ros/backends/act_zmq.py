# SPDX-License-Identifier: Apache-2.0
"""A policy behind an ACT server, or behind one of ours, over ZeroMQ.

The server answers each observation with one action, joined from the chunks of its model, so a chunk
here is one action long. It counts the steps of an episode and must be told when one begins: every
connection starts with a reset. One thread; no call blocks longer than ``timeout_s``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.backends._remote import PatientConfig, RemoteBackend
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.past_frames import NOW
from vla_ros.core.policy_io import actions_from, split_columns
from vla_ros.wire.act.reply import decode_action, decode_done
from vla_ros.wire.act.request import RESET, ActObservation, encode_observation
from vla_ros.wire.limits import DEFAULT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class ActConfig(PatientConfig):
    """Where the policy server is, how patient to be with it, and what more it answers."""

    port: int = param(5555, "The policy server's port.", ge=1, le=65535)
    uncommanded: int = param(
        0,
        "How many values of an action follow those that the policy's file names, and are not"
        " commanded: the velocities, of a server that answers with them.",
        ge=0,
        le=1024,
    )
    timeout_s: float = param(2.0, "Longest time that a request may take [s].", ge=0.01, le=60.0)


class Backend(RemoteBackend):
    """Asks an ACT server."""

    Config = ActConfig

    def __init__(self, config: ActConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``."""
        super().__init__(config, **facts)
        self._config = config
        self._channel = self._new_channel()
        self._connection = 0

    def connect(self) -> PolicyInfo:
        """Reset the server, which is all that it can be asked without an observation.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error.
            WireFormatError: What answered is no ACT server.
            ConfigError: The policy's file wants more than one action of an answer, or more than the
                newest images in a request.
        """
        if self.policy.video_deltas != NOW:
            raise ConfigError(
                f"{self.policy.source}: video: delta_indices: an ACT server is shown the newest"
                f" images alone; found {list(self.policy.video_deltas)}"
            )
        if self.policy.horizon != 1:
            raise ConfigError(
                f"{self.policy.source}: horizon: must be 1, because an ACT server answers with one"
                f" action; found {self.policy.horizon}"
            )
        self.close()
        self.reset()
        return PolicyInfo(description=f"ACT policy server at {self._channel.address}")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The action for an observation, as a chunk; see ``PolicyBackend``. No prefix is sent."""
        deadline_s = self._deadline()
        given = self._given(observation)
        request = encode_observation(
            ActObservation(given.state_vector.astype(np.float32), given.video)
        )
        if self._channel.open(deadline_s) != self._connection:
            self._reset(deadline_s)
        sent_ns = self.now_ns()
        reply = self._channel.call(request, deadline_s)
        received_ns = self.now_ns()
        action = decode_action(reply, max_bytes=DEFAULT_MAX_BYTES)
        commanded = len(self.policy.action_names)
        if len(action) != commanded + self._config.uncommanded:
            raise ActionError(
                f"{self._channel.address} answers with {len(action)} values; {self.policy.source}"
                f" names {commanded}, and backend.uncommanded says that"
                f" {self._config.uncommanded} follow"
            )
        by_key = split_columns(self.policy.action, action[None, :commanded])
        return self.chunk(
            observation,
            actions_from(self.policy, by_key),
            sent_ns=sent_ns,
            received_ns=received_ns,
        )

    def reset(self) -> None:
        """Tell the server that an episode begins.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        self._reset(self._deadline())

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()
        self._channel = self._new_channel()
        self._connection = 0

    def _new_channel(self) -> ZmqChannel:
        return ZmqChannel(
            f"tcp://{self.address}", times=self._config.times, max_bytes=DEFAULT_MAX_BYTES
        )

    def _reset(self, deadline_s: float) -> None:
        connection = self._channel.open(deadline_s)
        # Should it fail, it is owed to the server before the next observation.
        self._connection = 0
        decode_done(self._channel.call(RESET, deadline_s), max_bytes=DEFAULT_MAX_BYTES)
        self._connection = connection
