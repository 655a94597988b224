# SPDX-License-Identifier: Apache-2.0
"""Tick errors beside three cameras and a busy policy on the same cores, with and without priority.

The executor and the aggregator are the real nodes, each in its process. One process plays three
cameras of 640x480 at 30 Hz and the joints at 100 Hz; another one plays the inference node with a
policy that works on every core for 0.15 s per chunk. A bare loop, which does nothing but tick at
the same rate and priority, tells what the machine itself adds: a virtual one may stand still for
tens of milliseconds. Argument: how long each case lasts [s] (25).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.node import Node as RosNode
from vla_ros_msgs.msg import ExecutorState, Observation

from benchmarks import fake_arm
from vla_ros.bringup.deployment import Deployment, Node, Program
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.config_files import config_file
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.ros.qos import EVENT, LATCHED, NEWEST
from vla_ros.ros.ring_messages import chunk_to_message
from vla_ros.ros.stamps import ns_from_time

DOMAIN = 78
CAMERAS = ("one", "two", "three")
THINKS_S = 0.15
WARM_UP_S = 3.0
# With real-time priority, at p99 and p99.9 [ms].
LIMITS_MS = (1.0, 3.0)


def describe(folder: Path) -> tuple[str, str]:
    """The SO101 and its policy with three such cameras; the files' paths."""
    robot = fake_arm.describe(CAMERAS)
    policy = yaml.safe_load(config_file("policies", "so101_scripted").read_text("utf-8"))
    policy["video"] = {name: {"camera": name} for name in CAMERAS}
    paths = folder / "robot.yaml", folder / "policy.yaml"
    for path, facts in zip(paths, (robot, policy), strict=True):
        path.write_text(yaml.safe_dump(facts), "utf-8")
    return str(paths[0]), str(paths[1])


def play_sensors(robot_file: str) -> None:
    """Publish images and joint states until the process is ended."""
    fake_arm.play(load_robot_spec(Path(robot_file)), lambda: 0.1)


def play_policy(policy_file: str) -> None:
    """Answer each observation after working on every core for a while."""
    policy = load_policy_spec(Path(policy_file))
    node = rclpy.create_node("inference")
    chunks = node.create_publisher(
        type(chunk_to_message(_stay(policy_file, Observation(), 0), "busy")), "action_chunk", EVENT
    )
    matrix = np.random.default_rng(0).normal(size=(400, 400))

    def work(until_s: float) -> None:
        while time.monotonic() < until_s:
            np.tanh(matrix @ matrix)
            sum(range(2000))

    def think(observation: Observation) -> None:
        sent_ns = node.get_clock().now().nanoseconds
        until_s = time.monotonic() + THINKS_S
        threads = [
            threading.Thread(target=work, args=(until_s,)) for _ in range(os.cpu_count() or 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        chunk = _stay(policy_file, observation, sent_ns)
        chunks.publish(chunk_to_message(chunk, policy.name))

    node.create_subscription(Observation, "observation", think, NEWEST)
    rclpy.spin(node)


def _stay(policy_file: str, observation: Observation, sent_ns: int) -> ActionChunk:
    """A chunk that stays where the joints are."""
    policy = load_policy_spec(Path(policy_file))
    request = observation.request
    return ActionChunk(
        ns_from_time(observation.header.stamp),
        policy.step_ns,
        policy.action_names,
        np.full((policy.horizon, len(policy.action_names)), 0.1),
        request.request_id,
        request.epoch,
        ChunkTiming(ns_from_time(request.stamp), sent_ns, sent_ns + round(THINKS_S * 1e9)),
    )


def play_bare(rate_hz: str, priority: str, path: str) -> None:
    """Tick until the process is ended, and write by how much each tick was late [ms]."""
    ended = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: ended.set())
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    if int(priority):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(int(priority)))
    period_ns = round(1e9 / float(rate_hz))
    due_ns, late_ms = time.monotonic_ns() + period_ns, []
    while not ended.is_set():
        time.sleep(max(due_ns - time.monotonic_ns(), 0) * 1e-9)
        now_ns = time.monotonic_ns()
        late_ms.append((now_ns - due_ns) * 1e-6)
        due_ns += period_ns * (1 + (now_ns - due_ns) // period_ns)
    np.save(path, late_ms)


class Watcher(RosNode):
    """Keeps what the executor and the aggregator say."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self._errors: list[tuple[float, float]] = []
        self.last = ExecutorState()
        self.images_hz = 0.0
        self.create_subscription(ExecutorState, "executor/state", self._state, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._diagnostics, EVENT)

    def watch(self, duration_s: float, groups: list[ProcessGroup]) -> None:
        """Listen until the executor has ticked for so long."""
        deadline = time.monotonic() + 30.0 + duration_s
        while not self._errors or self._errors[-1][0] - self._errors[0][0] < duration_s:
            for group in groups:
                group.check()
            if time.monotonic() > deadline:
                raise TimeoutError("the executor does not tick")
            rclpy.spin_once(self, timeout_sec=0.1)

    def errors_ms(self) -> NDArray[np.float64]:
        """(N,) Tick errors after the start."""
        begun_s = self._errors[0][0] + WARM_UP_S
        return np.array([error_ms for at_s, error_ms in self._errors if at_s > begun_s])

    def _state(self, message: ExecutorState) -> None:
        self.last = message
        self._errors.extend((time.monotonic(), error_ms) for error_ms in message.tick_errors_ms)

    def _diagnostics(self, message: DiagnosticArray) -> None:
        rates = [
            float(item.value)
            for status in message.status
            if status.name.rpartition(" ")[2] in CAMERAS
            for item in status.values
            if item.key == "rate_hz"
        ]
        self.images_hz = sum(rates) or self.images_hz


def case(rate_hz: float, priority: int, duration_s: float, folder: Path) -> dict[str, float]:
    """The figures of one case."""
    robot, policy = describe(folder)
    facts = {"robot": robot, "policy": policy}
    executor = {
        **facts,
        "control_rate_hz": rate_hz,
        "realtime_priority": priority,
        "chunk_size_threshold": 0.95,
    }
    module = "benchmarks.bench_ticks"
    bare = folder / "bare.npy"
    # Programs of one module would have one name in a group.
    made = {
        "nodes": Deployment(
            nodes=(
                Node("aggregator", parameters={**facts, "instruction": "stay"}),
                Node("executor", parameters=executor),
            )
        ),
        **{
            role: Deployment(nodes=(), programs=(Program(module, (role, *arguments)),))
            for role, arguments in (
                ("sensors", (robot,)),
                ("policy", (policy,)),
                ("bare", (str(rate_hz), str(priority), str(bare))),
            )
        },
    }
    watcher = Watcher()
    with contextlib.ExitStack() as stack:
        groups = [
            stack.enter_context(
                ProcessGroup(
                    deployment,
                    log_folder=folder / name,
                    environment={"ROS_DOMAIN_ID": str(DOMAIN)},
                )
            )
            for name, deployment in made.items()
        ]
        watcher.watch(duration_s, groups)
    missed, chunks = watcher.last.missed_ticks, watcher.last.chunks_received
    watcher.destroy_node()
    return {
        **_figures(watcher.errors_ms()),
        "missed": float(missed),
        "images/s": watcher.images_hz,
        "chunks/s": chunks / duration_s,
        **{f"bare {name}": value for name, value in _figures(np.load(bare)).items()},
    }


def _figures(errors_ms: NDArray[np.float64]) -> dict[str, float]:
    p50, p99, p999 = np.percentile(errors_ms, [50.0, 99.0, 99.9])
    return {"p50": p50, "p99": p99, "p99.9": p999, "worst": errors_ms.max()}


def main(duration_s: float = 25.0) -> None:
    rclpy.init(domain_id=DOMAIN)
    print("tick error [ms] beside three cameras and a busy policy")
    for priority in (50, 0):
        for rate_hz in (50.0, 100.0):
            with tempfile.TemporaryDirectory() as folder:
                figures = case(rate_hz, priority, duration_s, Path(folder))
            told = "  ".join(f"{key} {value:.2f}" for key, value in figures.items())
            met = figures["p99"] <= LIMITS_MS[0] and figures["p99.9"] <= LIMITS_MS[1]
            verdict = (
                f"  within {LIMITS_MS[0]:g} and {LIMITS_MS[1]:g} ms: {met}" if priority else ""
            )
            print(f"{rate_hz:4.0f} Hz, priority {priority:2d}: {told}{verdict}", flush=True)
    rclpy.shutdown()


if __name__ == "__main__":
    roles = {"sensors": play_sensors, "policy": play_policy, "bare": play_bare}
    if sys.argv[1:2] and sys.argv[1] in roles:
        if sys.argv[1] != "bare":
            rclpy.init()
        roles[sys.argv[1]](*sys.argv[2:])
    else:
        main(*map(float, sys.argv[1:]))
