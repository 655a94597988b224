# SPDX-License-Identifier: Apache-2.0
"""The demo: a robot runs a policy over real ROS 2 topics, every node in a process of its own.

Starts the same deployment as the launch file, lets the episode runner conduct episodes, and leaves
``summary.json``, ``timeline.png``, ``seam.png``, ``film.mp4``, logs of each episode and process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import random
import shutil
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.bringup.deployment import Deployment, Node, ParameterValue
from vla_ros.bringup.film import write_film
from vla_ros.bringup.followed import Followed, followed, recording_start_ns
from vla_ros.bringup.processes import ProcessDied, ProcessGroup
from vla_ros.bringup.recorded import Recorded, recorded
from vla_ros.bringup.report import summary, table
from vla_ros.bringup.so101_async import So101Async, so101_async
from vla_ros.bringup.timeline import draw_seam, draw_timeline
from vla_ros.core.config_files import config_file
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec

_START_S = 60.0
_EPISODE_S = 30.0
# Says that a folder is a demo's, and may be emptied by the next one.
_MARK = ".demo"
_RUNNER = "episode_runner"
# Whether a recording was followed is found out at the end.
_VERDICTS = {True: "success", False: "no success", None: "played"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if every episode could be run, whatever came of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _options(arguments)
    output: Path = options.output
    try:
        _empty(output)
        robot, deployment = _stage(options)
        _run(deployment, options, output)
        _report(output, robot, options)
    except VlaRosError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("demo: interrupted; everything was stopped\n")
        return 130
    return 0


def _empty(output: Path) -> None:
    """An empty folder; what an earlier demo left in it is removed, anything else is not."""
    if output.exists() and any(output.iterdir()) and not (output / _MARK).exists():
        raise ConfigError(f"output folder {output} is not empty and not a demo's; choose another")
    if output.exists():
        shutil.rmtree(output)
    output.mkdir(parents=True)
    (output / _MARK).touch()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="demo", description="Run episodes over real ROS 2.")
    parser.add_argument("--output", type=Path, default=Path("out/demo"), help="emptied first")
    parser.add_argument("--episodes", type=_positive, default=None, help="how many (5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first episode (0)")
    parser.add_argument("--latency-ms", type=_latency, default=0.0, help="of the server (0)")
    parser.add_argument("--instruction", default="", help="what to do (drawn from the seed)")
    parser.add_argument("--recording", type=Path, default=None, help="an episode's .npz to replay")
    parser.add_argument("--robot", default=None, help="a robot's name or .yaml file")
    parser.add_argument("--policy", default=None, help="a policy's name or .yaml file")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, found {value}")
    return value


def _latency(text: str) -> float:
    value = float(text)
    if not 0.0 <= value <= 60000.0:
        raise argparse.ArgumentTypeError(f"must be in [0, 60000] ms, found {value:g}")
    return value


def _stage(options: argparse.Namespace) -> tuple[RobotSpec, Deployment]:
    """The deployment with its episode runner, and the robot in it."""
    port = _free_port()
    if options.recording is not None:
        options.episodes = options.episodes or 1
        return _recorded_stage(options, port)
    options.episodes = options.episodes or 5
    chosen = So101Async(
        server_port=port,
        latency_ms=options.latency_ms,
        instruction=options.instruction,
        seed=options.seed,
        **_named(options),
    )
    robot = load_robot_spec(config_file("robots", chosen.robot_name))
    runner = _runner(
        options,
        robot,
        seed=options.seed,
        instruction=options.instruction,
        episode_timeout_s=_EPISODE_S,
    )
    return robot, so101_async(chosen) + runner


def _recorded_stage(options: argparse.Namespace, port: int) -> tuple[RobotSpec, Deployment]:
    if not options.recording.is_file():
        raise ConfigError(f"recording {options.recording} does not exist")
    chosen = Recorded(
        options.recording, server_port=port, latency_ms=options.latency_ms, **_named(options)
    )
    robot = load_robot_spec(config_file("robots", chosen.robot))
    recording = str(options.recording.resolve())
    runner = _runner(options, robot, source="recording", recording=recording)
    return robot, recorded(chosen) + runner


def _runner(options: argparse.Namespace, robot: RobotSpec, **more: ParameterValue) -> Deployment:
    """The node that conducts the episodes and films the first one with the first camera."""
    parameters: dict[str, ParameterValue] = {
        "robot": robot.source,
        "output": str(options.output.resolve()),
        "episodes": options.episodes,
        "film_camera": next(iter(robot.cameras), ""),
        **more,
    }
    return Deployment(nodes=(Node(_RUNNER, parameters=parameters),))


def _named(options: argparse.Namespace) -> dict[str, Any]:
    """Robot and policy, as far as they were named."""
    named = {"robot": options.robot, "policy": options.policy}
    return {key: name for key, name in named.items() if name is not None}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _run(deployment: Deployment, options: argparse.Namespace, output: Path) -> None:
    """Run the processes until the episode runner has ended, and show how it goes."""
    # Another ROS graph on this machine must neither see nor disturb the demo.
    domain = os.environ.get("ROS_DOMAIN_ID") or str(random.randint(1, 100))
    environment = {"ROS_DOMAIN_ID": domain, "ROS_LOG_DIR": str(output.resolve() / "logs" / "ros")}
    names = ", ".join(process.name for process in deployment.processes)
    sys.stdout.write(f"starting {names} (ROS_DOMAIN_ID {domain})\n")
    with ProcessGroup(deployment, log_folder=output / "logs", environment=environment) as processes:
        for index in range(options.episodes):
            _wait_for_episode(processes, output, index)
            log = _load(output, index)
            verdict = _VERDICTS[log.facts.get("success")]
            sys.stdout.write(
                f"episode {index + 1}/{options.episodes}  seed {log.facts['seed']}"
                f"  {log.facts['duration_s']:5.1f} s  {verdict}  {log.facts['instruction']}\n"
            )
            sys.stdout.flush()
        processes.wait(_RUNNER, timeout_s=_EPISODE_S)


def _wait_for_episode(processes: ProcessGroup, output: Path, index: int) -> None:
    deadline = time.monotonic() + _START_S + 4.0 * _EPISODE_S
    path = _log_path(output, index)
    while not path.exists():
        if time.monotonic() > deadline:
            raise ProcessDied(f"episode {index + 1} did not end in time; logs: {output / 'logs'}")
        try:
            processes.check()
        except ProcessDied:
            # The runner ends by itself after the last episode, just after its log appears.
            if not path.exists():
                raise
        time.sleep(0.1)


def _log_path(output: Path, index: int) -> Path:
    return output / f"episode_{index:02d}.npz"


def _load(output: Path, index: int) -> EpisodeLog:
    with np.load(_log_path(output, index), allow_pickle=False) as arrays:
        return EpisodeLog.from_arrays(arrays)


def _report(output: Path, robot: RobotSpec, options: argparse.Namespace) -> None:
    """Write and show what came of it."""
    logs = [_load(output, index) for index in range(options.episodes)]
    if options.recording is not None:
        for log in logs:
            compared = _follow(log, robot, options.recording)
            log.facts["followed"] = dataclasses.asdict(compared) | {"share": compared.share}
            log.facts["success"] = compared.share >= 0.99
    figures = summary(logs)
    (output / "summary.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    draw_timeline(logs[0], robot, output / "timeline.png")
    written = ["summary.json", "timeline.png"]
    if draw_seam(logs[0], robot, output / "seam.png"):
        written.append("seam.png")
    if write_film(output / "film", output / "film.mp4", duration_s=logs[0].facts["duration_s"]):
        written.append("film.mp4")
    sys.stdout.write(f"\n{table(figures)}\n")
    if options.recording is not None:
        compared = logs[0].facts["followed"]
        sys.stdout.write(
            f"  recorded action followed  {compared['share']:.2%} of {compared['ticks']} commands"
            f" (worst {compared['worst_rad']:.4f} rad)\n"
        )
    sys.stdout.write(f"\nwritten to {output}: {', '.join(written)}, logs/\n")


def _follow(log: EpisodeLog, robot: RobotSpec, recording: Path) -> Followed:
    """Compare the commands of an episode with the recorded actions of the same moments."""
    with np.load(recording, allow_pickle=False) as arrays:
        times_s = arrays["timestamp_s"]
        states, actions = (arrays[name].astype(np.float64) for name in ("state", "action"))
    series = f"measured.{next(iter(robot.state_streams))}"
    first_ns = int(log.stamps(series)[0])
    start_ns = recording_start_ns(first_ns, log.values(series)[0], times_s, states)
    first_chunk_ns = log.stamps("chunk")[0] + round(log.values("chunk")[0, 4] * 1e9)
    late = log.stamps("command") > first_chunk_ns
    seconds = (log.stamps("command")[late] - start_ns) * 1e-9
    return followed(seconds, log.values("command")[late], times_s, actions, tick_s=0.02)


if __name__ == "__main__":
    raise SystemExit(main())
