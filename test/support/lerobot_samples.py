# SPDX-License-Identifier: Apache-2.0
"""The golden pickles of LeRobot's wire, and what they hold. See test/wire/lerobot/golden."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vla_ros.wire.lerobot.actions import TimedActions
from vla_ros.wire.lerobot.features import features_of
from vla_ros.wire.lerobot.observation import TimedObservation
from vla_ros.wire.lerobot.policy_setup import PolicySetup

GOLDEN = Path(__file__).parents[1] / "wire" / "lerobot" / "golden"
STATE = ("elbow.pos", "gripper.pos")
CAMERAS = {"front": (480, 640), "top": (240, 320)}
IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
CHUNK = np.arange(6).reshape(3, 2) * 0.5 - 1.0


def golden(name: str) -> bytes:
    """A golden pickle."""
    return (GOLDEN / f"{name}.pickle").read_bytes()


def setup() -> PolicySetup:
    """What ``policy_setup`` holds."""
    return PolicySetup("act", "someone/policy", features_of(STATE, CAMERAS), 50, "cuda:1")


def observation() -> TimedObservation:
    """What ``observation`` holds."""
    values = {"elbow.pos": -1.25, "gripper.pos": 3.5, "front": IMAGE, "top": IMAGE, "task": "pick"}
    return TimedObservation(1700000000.25, 40, values, must_go=True)


def actions(dtype: str = "float32") -> TimedActions:
    """What ``actions`` holds."""
    return TimedActions(np.array([1.5, 1.75, 2.0]), np.arange(40, 43), CHUNK.astype(dtype))
