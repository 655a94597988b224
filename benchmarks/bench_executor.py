# SPDX-License-Identifier: Apache-2.0
"""What a tick of the executor computes, without ROS: medians over many ticks [us]."""

from __future__ import annotations

import statistics
import time

import numpy as np

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Measured
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec

TICK_NS = 20_000_000
TICKS = 5000
CHUNK_EVERY = 25


def measure(robot_name: str, policy_name: str) -> None:
    robot = load_robot_spec(config_file("robots", robot_name))
    policy = load_policy_spec(config_file("policies", policy_name))
    executor = ActionExecutor(robot, policy, ExecutorParams())
    executor.start()
    pose = 0.5 * (robot.limit_array("lower") + robot.limit_array("upper"))
    wave = np.random.default_rng(0).uniform(-0.1, 0.1, (policy.horizon, len(policy.action_names)))
    columns = [robot.command_names.index(name) for name in policy.action_names]
    ticks, joins = [], []
    for tick in range(TICKS):
        now_ns = tick * TICK_NS
        if tick % CHUNK_EVERY == 1:
            epoch = executor.status(now_ns).epoch
            chunk = ActionChunk(
                now_ns - TICK_NS,
                policy.step_ns,
                policy.action_names,
                pose[columns] + wave,
                epoch=epoch,
            )
            begin = time.perf_counter_ns()
            executor.offer(chunk, now_ns)
            joins.append((time.perf_counter_ns() - begin) * 1e-3)
        begin = time.perf_counter_ns()
        executor.update(now_ns, Measured(pose, 0.0))
        executor.poll_request(now_ns)
        ticks.append((time.perf_counter_ns() - begin) * 1e-3)
    print(
        f"{robot_name:14} {len(pose):3} interfaces  tick p50 {statistics.median(ticks):6.1f} us"
        f"  p99 {np.percentile(ticks, 99):6.1f} us  join p50 {statistics.median(joins):6.1f} us"
    )


if __name__ == "__main__":
    measure("so101_sim", "so101_scripted")
    measure("gr1_recording", "gr1_replay")
