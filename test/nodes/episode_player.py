# SPDX-License-Identifier: Apache-2.0
"""What the episode runner talks to, played by one node, and how the runner is run in tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import ChunkTiming, ExecutorState, TaskState
from vla_ros_msgs.srv import ResetWorld

from test.ros.harness import Domain
from vla_ros.core.config_files import config_file
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.episode_runner import EpisodeRunner
from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, SENSOR

ROBOT = load_robot_spec(config_file("robots", "so101_sim"))
CAMERA = next(iter(ROBOT.cameras))
JOINTS = [name.rpartition("/")[0] for name in ROBOT.state_names]


class Stage(Node):
    """Plays executor and robot: answers their services and publishes what they would."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("stage", **kwargs)
        self.calls: list[str] = []
        self.instructions: list[str] = []
        self.refuse = False
        self.obeys = True
        self.running = False
        self.judges = True
        self.chunks = 1
        self.judged = TaskState()
        for name in (
            "executor/start",
            "executor/stop",
            "recording_source/start",
            "unitree_bridge/reset_all",
        ):
            self.create_service(Trigger, name, lambda _, answer, name=name: self.said(name, answer))
        self.create_service(ResetWorld, "simulation/reset", self.on_reset)
        self.create_subscription(
            String, "instruction", lambda it: self.instructions.append(it.data), LATCHED
        )
        self.tasks = [
            self.create_publisher(TaskState, f"{judge}/task_state", LATCHED)
            for judge in ("simulation", "unitree_bridge")
        ]
        self.state = self.create_publisher(ExecutorState, "executor/state", LATCHED)
        self.timing = self.create_publisher(ChunkTiming, "executor/chunk_timing", EVENT)
        group = next(iter(ROBOT.command_groups.values()))
        self.command = self.create_publisher(Float64MultiArray, group.topic, COMMAND)
        stream = next(iter(ROBOT.state_streams.values()))
        self.joints = self.create_publisher(JointState, stream.topic, SENSOR)
        self.camera = self.create_publisher(Image, ROBOT.cameras[CAMERA].topic, SENSOR)
        self.create_timer(0.02, self.publish)
        self.ticks = 0

    def said(self, name: str, answer: Trigger.Response) -> Trigger.Response:
        self.calls.append(name)
        if name == "unitree_bridge/reset_all":
            self.ticks = 0
        if name in ("executor/start", "executor/stop"):
            self.running = name == "executor/start" or not self.obeys
        answer.success, answer.message = not self.refuse, "told to refuse" if self.refuse else ""
        return answer

    def on_reset(
        self, request: ResetWorld.Request, answer: ResetWorld.Response
    ) -> ResetWorld.Response:
        self.calls.append(f"reset {request.seed}")
        answer.success = True
        answer.instruction = request.instruction or f"task {request.seed}"
        self.judged = TaskState(seed=request.seed)
        self.ticks = 0
        return answer

    def publish(self) -> None:
        now = self.get_clock().now().to_msg()
        self.ticks += 1
        # Judged a while after the reset, seed 8 a failure.
        self.judged.success = self.judges and self.ticks > 15 and self.judged.seed != 8
        self.judged.failed = self.judges and self.ticks > 15 and self.judged.seed == 8
        self.judged.detail = "as the test says"
        self.judged.header.stamp = now
        for task in self.tasks:
            task.publish(self.judged)
        joints = JointState(name=JOINTS, position=[0.1] * len(JOINTS))
        joints.header.stamp = now
        self.joints.publish(joints)
        if self.running:
            self.command.publish(Float64MultiArray(data=[0.2] * len(JOINTS)))
        state = ExecutorState(
            mode=ExecutorState.MOVE,
            ticks=self.get_clock().now().nanoseconds // 20_000_000,
            hold_reasons=["starved"],
            hold_ticks=[self.ticks],
            names=list(ROBOT.command_names),
            tick_errors_ms=[0.25],
            chunks_received=self.chunks,
        )
        state.header.stamp = now
        self.state.publish(state)
        timing = ChunkTiming(request_id=1, requested=now, sent=now, received=now, joined=now)
        timing.header.stamp = now
        self.timing.publish(timing)
        spec = ROBOT.cameras[CAMERA]
        image = Image(height=spec.height, width=spec.width, encoding="rgb8", step=3 * spec.width)
        image.data = bytes(3 * spec.width * spec.height)
        image.header.stamp = now
        self.camera.publish(image)


def runner(domain: Domain, output: Path, **parameters: Any) -> EpisodeRunner:
    given = {"robot": "so101_sim", "output": str(output), "autostart": False, **parameters}
    return domain.add(EpisodeRunner, **given)  # type: ignore[no-any-return]


def run(domain: Domain, node: EpisodeRunner) -> int:
    assert node.start()
    domain.spin_until(node.exit_code.done, "the end", timeout_s=30.0)
    return int(node.exit_code.result())


def read(path: Path) -> EpisodeLog:
    with np.load(path, allow_pickle=False) as arrays:
        return EpisodeLog.from_arrays(arrays)
