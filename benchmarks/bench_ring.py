# SPDX-License-Identifier: Apache-2.0
"""The ring as it runs: tick errors of the executor alone and in the demo, and pipeline overhead.

Arguments: how many episodes of the demo (3), and how long the executor idles [s] (20).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rclpy
from vla_ros_msgs.msg import ExecutorState

from vla_ros.bringup.deployment import Deployment, Node
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.ros.qos import LATCHED

DOMAIN = 77


def idle_tick_errors_ms(duration_s: float, folder: Path) -> np.ndarray:
    """Tick errors of an executor that nothing disturbs, its first second left out [ms]."""
    alone = Node("executor", parameters={"robot": "so101_sim", "policy": "so101_scripted"})
    errors: list[tuple[float, float]] = []
    rclpy.init(domain_id=DOMAIN)
    watcher = rclpy.create_node("watcher")

    def hear(message: ExecutorState) -> None:
        errors.extend((time.monotonic(), error_ms) for error_ms in message.tick_errors_ms)

    watcher.create_subscription(ExecutorState, "executor/state", hear, LATCHED)
    environment = {"ROS_DOMAIN_ID": str(DOMAIN)}
    with ProcessGroup(Deployment(nodes=(alone,)), log_folder=folder, environment=environment) as it:
        deadline = time.monotonic() + 10.0 + duration_s
        while not errors or errors[-1][0] - errors[0][0] < duration_s:
            it.check()
            if time.monotonic() > deadline:
                raise TimeoutError("the executor does not tick")
            rclpy.spin_once(watcher, timeout_sec=0.1)
    watcher.destroy_node()
    rclpy.shutdown()
    return np.array([error_ms for at, error_ms in errors if at - errors[0][0] > 1.0])


def demo(episodes: int, folder: Path) -> dict[str, dict[str, float]]:
    """The demo's summary."""
    command = [sys.executable, "-m", "vla_ros.bringup.demo", "--episodes", str(episodes)]
    subprocess.run(
        [*command, "--seed", "500", "--output", str(folder)], check=True, stdout=subprocess.DEVNULL
    )
    summary: dict[str, dict[str, float]] = json.loads((folder / "summary.json").read_text())
    return summary


def show(name: str, figures: dict[str, float]) -> None:
    print(f"{name:42} " + "  ".join(f"{key} {value:7.3f}" for key, value in figures.items()))


def main(episodes: int = 3, idle_s: float = 20.0) -> None:
    with tempfile.TemporaryDirectory() as folder:
        idle = idle_tick_errors_ms(idle_s, Path(folder) / "logs")
        figures = {
            "p50": np.percentile(idle, 50),
            "p99": np.percentile(idle, 99),
            "max": idle.max(),
        }
        show(f"tick error at 50 Hz, idle [ms] (n={len(idle)})", figures)
        summary = demo(episodes, Path(folder) / "demo")
        show("tick error at 50 Hz, demo [ms]", summary["tick_jitter_ms"])
        show("pipeline overhead [ms]", summary["pipeline_overhead_ms"])
        show("  with the wait for the next tick [ms]", summary["overhead_to_command_ms"])
        show("inference [ms]", summary["inference_ms"])
        show("age of the anchor frame [ms]", summary["anchor_age_ms"])


if __name__ == "__main__":
    main(*(kind(text) for kind, text in zip((int, float), sys.argv[1:], strict=False)))
