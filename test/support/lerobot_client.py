# SPDX-License-Identifier: Apache-2.0
"""Calls of LeRobot's client, one by one, and what it sends for the GR00T samples' robot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
import numpy as np

from test.support.gr00t_samples import INSTRUCTION, STAMP_NS, observation
from test.support.lerobot_peers import CHECKPOINT, STATE
from vla_ros.wire.lerobot.actions import TimedActions, decode_actions
from vla_ros.wire.lerobot.features import features_of
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.observation import TimedObservation, encode_observation
from vla_ros.wire.lerobot.policy_setup import PolicySetup, encode_policy_setup
from vla_ros.wire.lerobot.protobuf import decode_data, encode_data, observation_parts

CAMERAS = {"front": (3, 4), "wrist": (3, 4)}
STATE_VALUES = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75)
PATIENCE_S = 10.0


def values(**changed: Any) -> dict[str, Any]:
    """What an observation shows."""
    images = observation().images
    return {
        **dict(zip(STATE, STATE_VALUES, strict=True)),
        "front": images["head"],
        "wrist": images["hand"],
        "task": INSTRUCTION,
        **changed,
    }


def shown(timestep: int = 0, *, must_go: bool = False, **changed: Any) -> bytes:
    """An observation, encoded."""
    seen = TimedObservation(STAMP_NS * 1e-9, timestep, values(**changed), must_go)
    return encode_observation(seen)


def setup(
    state: tuple[str, ...] = STATE,
    *,
    cameras: dict[str, tuple[int, int]] = CAMERAS,
    count: int = 16,
    checkpoint: str = CHECKPOINT,
) -> bytes:
    """The message with what a client says of itself."""
    asked = PolicySetup("act", checkpoint, features_of(state, cameras), count)
    return encode_data(encode_policy_setup(asked))


class Client:
    """One connection; every call raises ``grpc.RpcError`` where it is refused."""

    def __init__(self, address: str) -> None:
        options = (("grpc.use_local_subchannel_pool", 1),)
        self._channel = grpc.insecure_channel(address, options=options)

    def close(self) -> None:
        self._channel.close()

    def ready(self) -> None:
        assert self.call(READY, b"") == b""

    def set_up(self, message: bytes | None = None) -> None:
        assert self.call(SEND_POLICY_INSTRUCTIONS, message or setup()) == b""

    def send(self, timestep: int = 0, *, must_go: bool = False, **changed: Any) -> None:
        self.stream(observation_parts(shown(timestep, must_go=must_go, **changed)))

    def stream(self, parts: Iterable[bytes], timeout_s: float = PATIENCE_S) -> None:
        call = self._channel.stream_unary(SEND_OBSERVATIONS)
        assert call(iter(parts), timeout=timeout_s) == b""

    def call(self, method: str, message: bytes, timeout_s: float = PATIENCE_S) -> bytes:
        answer: bytes = self._channel.unary_unary(method)(message, timeout=timeout_s)
        return answer

    def begin(self, method: str, message: bytes) -> Any:
        """A call under way."""
        return self._channel.unary_unary(method).future(message, timeout=PATIENCE_S)

    def actions(self) -> TimedActions | None:
        return answered(self.call(GET_ACTIONS, b""))

    def first(self, timestep: int = 0, **changed: Any) -> np.ndarray:
        """The first action for an observation."""
        self.send(timestep, **changed)
        answer = self.actions()
        assert answer is not None
        assert answer.timesteps[0] == timestep
        row: np.ndarray = answer.actions[0]
        return row


def answered(message: bytes) -> TimedActions | None:
    """The actions in a message; None: nothing at all."""
    data = decode_data(message)
    return decode_actions(data) if data else None
