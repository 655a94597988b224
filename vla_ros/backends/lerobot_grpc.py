# SPDX-License-Identifier: Apache-2.0
"""A policy behind LeRobot's policy server, or behind one of ours, over gRPC.

One thread. ``infer`` blocks at most ``timeout_s``, ``connect`` at most ``load_timeout_s``. One call
is at the server at a time: LeRobot's works several off at once with one and the same policy, and
a call that was abandoned takes the next observation away from whoever still waits.

LeRobot's server says nothing of its policy and tells no failure: it answers with nothing at all. So
the chunk is checked here against the description, and nothing at all is an error.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from vla_ros.backends._grpc_channel import GrpcChannel
from vla_ros.backends._remote import RemoteBackend, RemoteConfig
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param
from vla_ros.core.policy_io import PolicyInput, actions_from, split_columns
from vla_ros.wire.lerobot.actions import TimedActions, decode_actions
from vla_ros.wire.lerobot.features import features_of
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.observation import TASK, TimedObservation, encode_observation
from vla_ros.wire.lerobot.policy_setup import PolicySetup, encode_policy_setup
from vla_ros.wire.lerobot.protobuf import decode_data, encode_data, observation_parts

_MEBIBYTE = 1024 * 1024
# A policy that fails is loaded anew after this many times as long as loading it took.
_RELOAD_AFTER = 10.0


@dataclass(frozen=True, slots=True)
class LeRobotConfig(RemoteConfig):
    """Where the policy server is, and how patient to be with it."""

    port: int = param(8080, "The policy server's port.", ge=1, le=65535)
    load_timeout_s: float = param(
        600.0, "Longest time that the server may take to load the policy [s].", ge=0.1, le=3600.0
    )
    device: str = param("", "Torch's device at the server; empty: the one that the policy names.")
    max_message_mib: int = param(64, "A longer answer is refused [MiB].", ge=1, le=1024)


class Backend(RemoteBackend):
    """Asks a LeRobot policy server."""

    Config = LeRobotConfig

    def __init__(self, config: LeRobotConfig, **facts: Any) -> None:
        """Keep the facts; see ``PolicyBackend``.

        Raises:
            ConfigError: The policy's description does not say what LeRobot has to be told.
        """
        super().__init__(config, **facts)
        self._config = config
        self._lerobot = self.policy.lerobot_for("backend lerobot_grpc needs")
        self._max_bytes = config.max_message_mib * _MEBIBYTE
        self._channel = GrpcChannel(
            self.address,
            connect_s=config.connect_timeout_s,
            max_bytes=self._max_bytes,
        )
        # The connection at whose other end the policy is loaded; none has the number 0.
        self._loaded_at = 0
        self._load_started_s = self._loaded_s = 0.0
        self._first_ns: int | None = None
        self._label = -1

    def connect(self) -> PolicyInfo:
        """Make the server ready, and make it load the policy where it has not done so yet.

        Raises:
            BackendUnavailable: Nobody answered in time.
            RemotePolicyError: The server answered with an error, as to an unknown checkpoint.
        """
        deadline_s = time.monotonic() + self._config.load_timeout_s
        if not self._prepare(deadline_s):
            self._ready(deadline_s)
        return PolicyInfo(
            description=f"LeRobot policy server at {self._channel.address},"
            f" {self._lerobot.type} {self._lerobot.checkpoint}"
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; see ``PolicyBackend``.

        The wire has no place for a prefix.
        """
        deadline_s = self._deadline()
        given = self._given(observation)
        self._prepare(deadline_s)
        seen = self._timed(given, observation.stamp_ns)
        encoded = encode_observation(seen)
        sent_ns = self.now_ns()
        try:
            answer = self._ask(seen, encoded, deadline_s)
        except RemotePolicyError:
            self._doubt()
            raise
        received_ns = self.now_ns()
        expected = (self.policy.horizon, len(self.policy.action_names))
        if answer.actions.shape != expected:
            raise ActionError(
                f"the actions of {self.policy.source} must be {expected}, for"
                f" {', '.join(self._lerobot.action)}; found {answer.actions.shape}"
            )
        return self.chunk(
            observation,
            actions_from(self.policy, split_columns(self.policy.action, answer.actions)),
            sent_ns=sent_ns,
            received_ns=received_ns,
        )

    def reset(self) -> None:
        """Make the server forget what it was shown. What its policy remembers, it keeps.

        Raises:
            BackendError: The server could not be reached, or answered with an error.
        """
        deadline_s = self._deadline()
        if not self._prepare(deadline_s):
            self._ready(deadline_s)
        self._first_ns, self._label = None, -1

    def close(self) -> None:
        """Let go of the connection."""
        self._channel.close()

    def _prepare(self, deadline_s: float) -> bool:
        """Waits for what the server is busy with, and makes it load the policy where it must.

        Returns:
            Whether it had to.
        """
        late = self._channel.drain(deadline_s)
        if late is not None and late.method == SEND_POLICY_INSTRUCTIONS:
            if isinstance(late.error, RemotePolicyError):
                raise late.error
            if late.error is None:
                self._loaded()
        if self._loaded_at == self._channel.connection:
            return False
        self._ready(deadline_s)
        setup = encode_policy_setup(
            PolicySetup(
                policy_type=self._lerobot.type,
                checkpoint=self._lerobot.checkpoint,
                features=self._features(),
                actions_per_chunk=self.policy.horizon,
                device=self._config.device or self._lerobot.device,
            )
        )
        self._load_started_s = time.monotonic()
        self._channel.call(
            SEND_POLICY_INSTRUCTIONS,
            encode_data(setup),
            deadline_s=deadline_s,
            patience_s=self._config.load_timeout_s,
        )
        self._loaded()
        return True

    def _ready(self, deadline_s: float) -> None:
        self._channel.call(
            READY,
            b"",
            deadline_s=min(deadline_s, self._deadline()),
            patience_s=self._config.drain_timeout_s,
        )

    def _loaded(self) -> None:
        self._loaded_at = self._channel.connection
        self._loaded_s = time.monotonic()

    def _doubt(self) -> None:
        """Has the policy loaded anew, as the server may have been started anew meanwhile."""
        took_s = self._loaded_s - self._load_started_s
        if time.monotonic() - self._loaded_s >= _RELOAD_AFTER * took_s:
            self._loaded_at = 0

    def _features(self) -> dict[str, Any]:
        cameras = {key: self.robot.cameras[name] for key, name in self.policy.video.items()}
        sizes = {key: (camera.height, camera.width) for key, camera in cameras.items()}
        sizes.update({key: resize.size for key, resize in self.policy.resizes.items()})
        return features_of(self._lerobot.state, sizes)

    def _timed(self, given: PolicyInput, stamp_ns: int) -> TimedObservation:
        """An observation in LeRobot's keys, labelled with the step that is to be executed next.

        No label comes twice: answers are told from each other by them.
        """
        if self._first_ns is None:
            self._first_ns = stamp_ns
        step = round((stamp_ns - self._first_ns) / self.policy.step_ns)
        self._label = max(step, self._label + 1)
        return TimedObservation(
            timestamp=stamp_ns * 1e-9,
            timestep=self._label,
            values={
                **dict(zip(self._lerobot.state, given.state_vector.tolist(), strict=True)),
                **given.video,
                TASK: given.language[self.policy.instruction_key],
            },
            # Without it the server drops what differs little from the last, by its own measure.
            must_go=True,
        )

    def _ask(self, seen: TimedObservation, encoded: bytes, deadline_s: float) -> TimedActions:
        """The actions for an observation; answers to older ones are passed over."""
        parts = observation_parts(encoded)
        self._channel.stream(SEND_OBSERVATIONS, parts, deadline_s=deadline_s)
        while True:
            message = self._channel.call(
                GET_ACTIONS,
                b"",
                deadline_s=deadline_s,
                patience_s=self._config.drain_timeout_s,
            )
            data = decode_data(message)
            if not data:
                raise RemotePolicyError(
                    f"{self._channel.address} answered with nothing: it failed, or was shown"
                    " nothing; its log says why"
                )
            answer = decode_actions(data, max_bytes=self._max_bytes)
            steps = answer.timesteps - seen.timestep
            if steps[0] == 0:
                break
            if time.monotonic() >= deadline_s:
                raise BackendSilent(
                    f"{self._channel.address} gave actions for other observations alone"
                )
        if (steps != np.arange(len(steps))).any():
            raise WireFormatError(
                f"the actions must be of step {seen.timestep} and those that follow it, found"
                f" {answer.timesteps.tolist()[:10]}"
            )
        return answer
