# SPDX-License-Identifier: Apache-2.0
"""What LeRobot's client and server say, made and read by LeRobot's own classes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import torch
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedAction, TimedObservation
from lerobot.datasets.utils import hw_to_dataset_features
from lerobot.transport import services_pb2

from test.support.lerobot_arm import CAMERAS, HORIZON, IMAGE, INSTRUCTION, VALUES

STATE = np.arange(len(VALUES)) * 1.5


def setup() -> Any:
    """What a client asks for."""
    robot = {**dict.fromkeys(VALUES, float), **dict.fromkeys(CAMERAS, (*IMAGE, 3))}
    features = hw_to_dataset_features(robot, "observation", use_video=False)
    return RemotePolicyConfig("act", "nobody/nothing", features, HORIZON)


def observation() -> Any:
    """What a client shows."""
    values = dict(zip(VALUES, STATE.tolist(), strict=True))
    images = dict.fromkeys(CAMERAS, np.zeros((*IMAGE, 3), np.uint8))
    seen = {**values, **images, "task": INSTRUCTION}
    return TimedObservation(timestamp=1.0, timestep=3, observation=seen, must_go=True)


def actions(action: Any = None) -> list[Any]:
    """What a server answers; its only action may be anything."""
    return [TimedAction(1.0, 0, torch.zeros(len(VALUES)) if action is None else action)]


def read(message: bytes) -> np.ndarray:
    """(H, D) The actions in a message, as LeRobot's client reads them."""
    timed = pickle.loads(services_pb2.Actions.FromString(message).data)
    return np.stack([each.get_action().numpy() for each in timed])
