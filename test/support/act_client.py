# SPDX-License-Identifier: Apache-2.0
"""The client of the ACT server's own document, with its arrays filled in. Takes the port."""

# ruff: noqa: T201 - it is theirs
from __future__ import annotations

import pickle
import sys

import numpy as np
import zmq

context = zmq.Context()
socket = context.socket(zmq.REQ)
socket.connect(f"tcp://localhost:{sys.argv[1]}")

socket.send(pickle.dumps("RESET"))
response = pickle.loads(socket.recv())
print(response)

base_pos = np.array([0, 1, 2], dtype=np.float32)
base_vel = np.array([0, 0, 0, 1, 1, 1], dtype=np.float32)
joint_pos = np.array([0, 1, 2, 3, 4, 5, 6], dtype=np.float32)
gripper = np.array([0.5], dtype=np.float32)
qpos = np.concatenate([base_pos, base_vel, joint_pos, gripper])

images = {
    "rgb_main": np.array(np.full((480, 640, 3), 1, np.uint8)),
    "rgb_left": np.array(np.full((480, 640, 3), 2, np.uint8)),
    "rgb_under": np.array(np.full((480, 640, 3), 3, np.uint8)),
}

data = {"qpos": qpos, "images": images}
socket.send(pickle.dumps(data))
response = pickle.loads(socket.recv())

if response["status"] == "OK":
    action = response["action"]
    print(f"Action: {action}")
else:
    print(f"Error: {response['message']}")

socket.close()
context.term()
