# SPDX-License-Identifier: Apache-2.0
"""Golden pickles of LeRobot's wire, by LeRobot itself; run where LeRobot is.

``python lerobot_golden.py FOLDER`` writes what LeRobot, torch and numpy pickle. The pickles named
``ours_*`` there, which this package wrote, are read by them, and must be what is written here.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.async_inference.helpers import RemotePolicyConfig, TimedAction, TimedObservation
from lerobot.datasets.utils import hw_to_dataset_features

STATE = ("elbow.pos", "gripper.pos")
IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
CHUNK = np.arange(6).reshape(3, 2) * 0.5 - 1.0
TIMESTAMPS = (1.5, 1.75, 2.0)
FIRST_TIMESTEP = 40
DTYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool")


def setup() -> Any:
    """What a client asks for."""
    robot = {**dict.fromkeys(STATE, float), "front": (480, 640, 3), "top": (240, 320, 3)}
    features = hw_to_dataset_features(robot, "observation", use_video=False)
    return RemotePolicyConfig("act", "someone/policy", features, 50, "cuda:1")


def observation() -> Any:
    """What a client shows; its two images are one and the same array."""
    values = {"elbow.pos": -1.25, "gripper.pos": 3.5, "front": IMAGE, "top": IMAGE, "task": "pick"}
    return TimedObservation(1700000000.25, FIRST_TIMESTEP, values, must_go=True)


def odd_observation() -> Any:
    """An observation with numpy's numbers, and images that are not laid out as usual."""
    values = {
        "elbow.pos": np.float32(-1.25),
        "gripper.pos": np.int64(3),
        "closed": True,
        "steps": 2**40,
        "front": np.asfortranarray(IMAGE),
        "top": IMAGE[:, ::-1],
        "wide": IMAGE.astype(np.uint16),
    }
    return TimedObservation(1.5, 0, values)


def actions(dtype: str) -> Any:
    """What a server answers: rows of one tensor."""
    rows = torch.from_numpy(CHUNK).to(getattr(torch, dtype))
    return [
        TimedAction(timestamp, FIRST_TIMESTEP + index, row)
        for index, (timestamp, row) in enumerate(zip(TIMESTAMPS, rows, strict=True))
    ]


def write(folder: Path) -> None:
    """Write all that LeRobot sends."""
    for protocol in (4, 5):
        for name, value in (
            ("policy_setup", setup()),
            ("observation", observation()),
            ("odd_observation", odd_observation()),
            ("actions", actions("float32")),
        ):
            (folder / f"{name}_{protocol}.pickle").write_bytes(pickle.dumps(value, protocol))
    for dtype in DTYPES:
        (folder / f"actions_{dtype}.pickle").write_bytes(pickle.dumps(actions(dtype)))


def check(folder: Path) -> None:
    """See that LeRobot reads what this package writes as what it would write itself."""
    read = {path.stem: pickle.loads(path.read_bytes()) for path in folder.glob("ours_*.pickle")}
    assert read["ours_policy_setup"] == setup()
    seen, expected = read["ours_observation"], observation()
    np.testing.assert_equal(vars(seen), vars(expected))
    assert all(type(seen.observation[key]) is float for key in STATE)
    assert seen.observation["front"].dtype == np.uint8
    for dtype in ("float32", "float64"):
        given = read[f"ours_actions_{dtype}"]
        for action, row in zip(given, actions(dtype), strict=True):
            assert (action.timestamp, action.timestep) == (row.timestamp, row.timestep)
            assert action.action.dtype == row.action.dtype
            assert action.action.equal(row.action)
            assert action.action.untyped_storage().nbytes() == row.action.nbytes


if __name__ == "__main__":
    write(Path(sys.argv[1]))
    check(Path(sys.argv[1]))
