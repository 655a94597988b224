# SPDX-License-Identifier: Apache-2.0
"""The GR00T wires with two cameras: encoding and decoding [ms]."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from vla_ros.core.config_files import config_file
from vla_ros.core.observation import Observation
from vla_ros.core.policy_io import policy_input
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.wire.gr00t.action import decode_action, encode_action
from vla_ros.wire.gr00t.message import (
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)
from vla_ros.wire.gr00t.observation import decode_observation, encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

ROBOT, POLICY = "so101_sim", "so101_gr00t"
SIZES = ((240, 320), (480, 640))
REPEATS = 300


def median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter_ns()
        call()
        times.append((time.perf_counter_ns() - begin) * 1e-6)
    return statistics.median(times)


def measure(robot: RobotSpec, policy: PolicySpec, wire: Gr00tWire, size: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    images = {camera: random.integers(0, 255, (*size, 3), np.uint8) for camera in robot.cameras}
    state = np.zeros(len(robot.state_names))
    observation = Observation(1, "put the red cube on the plate", images, robot.state_names, state)
    old = wire is Gr00tWire.A5
    layout = Layout.FLAT if old else Layout.NESTED
    arrangement = Arrangement(wire, layout, batched=not old)
    by_key = {
        key: np.zeros((policy.horizon, len(m.interfaces))) for key, m in policy.action.items()
    }

    def encode() -> bytes:
        tree = encode_observation(policy_input(policy, observation), arrangement)
        data = tree if old else {"observation": tree, "options": None}
        return encode_request(Request("get_action", data, wire=wire))

    request, reply = encode(), encode_reply(encode_action(by_key, arrangement), wire)

    def decode() -> object:
        decoded = decode_request(request)
        tree = decoded.data if old else decoded.data["observation"]
        return decode_observation(tree, policy, decoded.wire)

    costs = {
        "encode request": median_ms(encode),
        "decode": median_ms(decode),
        "encode reply": median_ms(lambda: encode_reply(encode_action(by_key, arrangement), wire)),
        "decode ": median_ms(
            lambda: decode_action(decode_reply(reply), arrangement, policy.action)
        ),
    }
    shown = "  ".join(f"{name.strip()} {cost:6.3f}" for name, cost in costs.items())
    print(f"wire {wire.value:2}  2x{size[0]}x{size[1]}  {len(request):8} B  {shown}  ms")


if __name__ == "__main__":
    the_robot = load_robot_spec(config_file("robots", ROBOT))
    the_policy = load_policy_spec(config_file("policies", POLICY))
    for each_size in SIZES:
        for each_wire in Gr00tWire:
            measure(the_robot, the_policy, each_wire, each_size)
