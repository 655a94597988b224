# SPDX-License-Identifier: Apache-2.0
"""Our ring at the same server: aggregator, inference and executor, each in its process."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import numpy as np
import rclpy
import yaml
from rclpy.node import Node as RosNode
from std_msgs.msg import Float64MultiArray
from vla_ros_msgs.msg import ExecutorState

from benchmarks import fake_arm
from benchmarks.lerobot.facts import CAMERAS, CHUNK, JOINTS, RATE_HZ
from benchmarks.lerobot.figures import Figures, interval_figures
from vla_ros.bringup.deployment import Deployment, Node, Program
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.ros.qos import COMMAND, LATCHED

_START_S = 60.0


def describe(folder: Path, checkpoint: str) -> dict[str, str]:
    """Write the arm's and the policy's description; the parameters that name them."""
    robot = fake_arm.describe(CAMERAS)
    interfaces = {"interfaces": [f"{joint}/position" for joint in JOINTS], "unit": "degree"}
    names = [f"{joint}.pos" for joint in JOINTS]
    policy = {
        "name": "act",
        "backend": "lerobot_grpc",
        "rate_hz": RATE_HZ,
        "horizon": CHUNK,
        "instruction_key": "task",
        "video": {name: {"camera": name} for name in CAMERAS},
        "state": {"state": interfaces},
        "action": {"action": interfaces},
        "lerobot": {
            "type": "act",
            "checkpoint": checkpoint,
            "device": "cpu",
            "state": names,
            "action": names,
        },
    }
    paths = {"robot": folder / "robot.yaml", "policy": folder / "policy.yaml"}
    for (_, path), facts in zip(paths.items(), (robot, policy), strict=True):
        path.write_text(yaml.safe_dump(facts), "utf-8")
    return {name: str(path) for name, path in paths.items()}


class _Watch(RosNode):
    """Keeps when commands were sent, and what the executor says."""

    def __init__(self) -> None:
        super().__init__("watch")
        self.sent_ns: list[int] = []
        self.states: list[ExecutorState] = []
        topic = "forward_position_controller/commands"
        self.create_subscription(Float64MultiArray, topic, self._command, COMMAND)
        self.create_subscription(ExecutorState, "executor/state", self.states.append, LATCHED)

    def _command(self, _: Float64MultiArray, info: dict[str, int]) -> None:
        self.sent_ns.append(info["source_timestamp"])

    def watch(self, seconds: float, groups: list[ProcessGroup]) -> None:
        """Listen for so long after the first movement."""
        deadline = time.monotonic() + _START_S
        began: float | None = None
        while began is None or time.monotonic() < began + seconds:
            rclpy.spin_once(self, timeout_sec=0.1)
            for group in groups:
                group.check()
            if began is None and self.states and self.states[-1].mode == ExecutorState.MOVE:
                began = time.monotonic()
                self.sent_ns.clear()
                del self.states[:-1]
            if began is None and time.monotonic() > deadline:
                said = self.states[-1] if self.states else "nothing"
                raise TimeoutError(f"the arm does not move; the executor says {said}")


def ours(port: int, checkpoint: str, seconds: float, folder: Path, domain: int) -> Figures:
    """Run the ring for so long.

    Args:
        port: Where the server, or the link to it, is.
        checkpoint: What the server shall load.
        seconds: How long.
        folder: For descriptions and logs.
        domain: A ROS domain that nobody else uses.
    """
    facts = describe(folder, checkpoint)
    backend = {"backend.port": port, "backend.timeout_s": 3.0}
    executor = {
        "control_rate_hz": RATE_HZ,
        "actions_per_chunk": CHUNK,
        "chunk_size_threshold": 0.5,
        "soft_start_s": 0.0,
    }
    nodes = (
        Node("aggregator", parameters={**facts, "instruction": "stay"}),
        Node("inference", parameters={**facts, **backend}),
        Node("executor", parameters={**facts, **executor}),
    )
    made = (
        Deployment(nodes=(), programs=(Program("benchmarks.lerobot.sensors", (facts["robot"],)),)),
        Deployment(nodes=nodes),
    )
    rclpy.init(domain_id=domain)
    watch = _Watch()
    try:
        with contextlib.ExitStack() as stack:
            groups = [
                stack.enter_context(
                    ProcessGroup(
                        deployment,
                        log_folder=folder / "logs",
                        environment={"ROS_DOMAIN_ID": str(domain)},
                    )
                )
                for deployment in made
            ]
            watch.watch(seconds, groups)
        return _figures(watch)
    finally:
        watch.destroy_node()
        rclpy.shutdown()


def _figures(watch: _Watch) -> Figures:
    first, last = watch.states[0], watch.states[-1]
    ticks = np.diff([state.ticks for state in watch.states])
    held = np.diff([sum(state.hold_ticks) for state in watch.states])
    steps = np.diff([state.executed_steps for state in watch.states])
    # The clock of the plan runs with the ticks: what it is ahead was skipped, what it is behind was
    # executed longer than once.
    ahead = np.rint(steps - (ticks - held)).astype(int)
    return Figures(
        **interval_figures(np.array(watch.sent_ns) * 1e-9),
        observations_per_chunk=(last.observations_requested - first.observations_requested)
        / max(last.chunks_received - first.chunks_received, 1),
        chunks=last.chunks_received - first.chunks_received,
        steps_twice=int(-ahead[ahead < 0].sum()),
        steps_skipped=int(ahead[ahead > 0].sum()),
        starved_ticks=last.starved_ticks - first.starved_ticks,
    )
