# SPDX-License-Identifier: Apache-2.0
"""The six joints of the GR00T samples with LeRobot's names, and a stand-in for LeRobot's server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import numpy as np

from test.support.gr00t_samples import POLICY, moves
from vla_ros.wire.lerobot.actions import TimedActions, encode_actions
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.observation import TimedObservation, decode_observation
from vla_ros.wire.lerobot.policy_setup import PolicySetup, decode_policy_setup
from vla_ros.wire.lerobot.protobuf import PartsJoiner, decode_data, encode_data

STATE = (*(f"joint_{index}.pos" for index in range(5)), "claw.pos")
CHECKPOINT = "checkpoints/six_joints"
LEROBOT_POLICY = f"""{POLICY}
lerobot:
  type: act
  checkpoint: {CHECKPOINT}
  device: cuda
  state: [{", ".join(STATE)}]
  action: [{", ".join(STATE)}]
"""


def answer_to(seen: TimedObservation, actions: np.ndarray | None = None) -> bytes:
    """The message with the actions for an observation, the samples' where none are given."""
    given = moves() if actions is None else actions
    steps = np.arange(len(given))
    return encode_data(
        encode_actions(TimedActions(seen.timestamp + steps / 30, seen.timestep + steps, given))
    )


class StockServer:
    """Answers as LeRobot's server does: one state for all, nothing at all where it fails.

    Attributes:
        setups: What it was asked to load.
        seen: What it was shown.
        act: What to answer to an observation; None: nothing at all.
        hooks: Method to what is called before it is worked off.
    """

    wait_s = 0.3

    def __init__(self, act: Callable[[TimedObservation], bytes | None] = answer_to) -> None:
        self.setups: list[PolicySetup] = []
        self.seen: list[TimedObservation] = []
        self.act = act
        self.hooks: dict[str, Callable[[], object]] = {}
        self._newest: TimedObservation | None = None
        self._loaded = False
        self._news = threading.Condition()

    def __call__(self, method: str, message: Any, _: grpc.ServicerContext) -> bytes:
        self.hooks.get(method, lambda: None)()
        if method == READY:
            self._newest = None
        elif method == SEND_POLICY_INSTRUCTIONS:
            self.setups.append(decode_policy_setup(decode_data(message)))
            self._loaded = True
        elif method == SEND_OBSERVATIONS:
            self._observe(message)
        elif method == GET_ACTIONS:
            return self._actions()
        return b""

    def _observe(self, parts: Sequence[bytes]) -> None:
        joiner = PartsJoiner()
        *_, data = [joiner.add(part) for part in parts]
        assert data is not None
        with self._news:
            self._newest = decode_observation(data)
            self.seen.append(self._newest)
            self._news.notify_all()

    def _actions(self) -> bytes:
        with self._news:
            self._news.wait_for(lambda: self._newest is not None, self.wait_s)
            seen, self._newest = self._newest, None
        return (self.act(seen) or b"") if seen is not None and self._loaded else b""
