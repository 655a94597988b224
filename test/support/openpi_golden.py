# SPDX-License-Identifier: Apache-2.0
"""Writes golden messages of openpi's wire with openpi-client's own packer.

Needs openpi-client: ``python openpi_golden.py FOLDER``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

PIXELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
STATE = np.array([0.0, 0.125, 0.25, 0.375, 0.5, 0.75], np.float32)
ACTIONS = np.arange(5 * 6, dtype=np.float32).reshape(5, 6) / np.float32(8)
REQUEST = {
    "observation/exterior_image_1_left": PIXELS[0],
    "observation/wrist_image_left": PIXELS[1],
    "observation/joint_position": STATE[:5],
    "observation/gripper_position": STATE[5:],
    "prompt": "Put the red cube on the plate.",
}
TIMING = {"infer_ms": 12.5, "prev_total_ms": 20.25}
MESSAGES: dict[str, Any] = {
    "metadata": {"name": "six_joints_openpi", "action_horizon": 5, "action_dim": 6},
    "metadata_odd": {"reset_pose": [0, -1.5, 1.5], "bound": np.float32(0.5), "flag": np.True_},
    "request": REQUEST,
    "request_session": {**REQUEST, "endpoint": "infer", "session_id": "a1"},
    "reset": {"endpoint": "reset", "session_id": "a1"},
    "reset_done": {"status": "reset successful"},
    "answer": {"actions": ACTIONS, "server_timing": TIMING},
    # As openpi's policies answer: in doubles, and with more than the actions.
    "answer_odd": {
        "state": STATE.astype(np.float64),
        "actions": ACTIONS.astype(np.float64),
        "policy_timing": {"infer_ms": np.float64(11.5)},
        "server_timing": {"infer_ms": 12.5},
    },
    "answer_array": ACTIONS[None],
    "answer_by_key": {"arm": ACTIONS[None, :, :5], "claw": ACTIONS[None, :, 5:]},
    "error": {"type": "error", "message": "Internal inference error"},
}


def main(folder: Path) -> None:
    # Not to be had where the tests are collected.
    from openpi_client import msgpack_numpy  # noqa: PLC0415

    for name, message in MESSAGES.items():
        (folder / f"{name}.msgpack").write_bytes(msgpack_numpy.packb(message))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
