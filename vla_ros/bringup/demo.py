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
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vla_ros.bringup.demo_stage import RUNNER, Stage, make_stage
from vla_ros.bringup.film import write_film
from vla_ros.bringup.followed import Followed, followed, recording_start_ns
from vla_ros.bringup.processes import ProcessDied, ProcessGroup
from vla_ros.bringup.report import summary, table
from vla_ros.bringup.timeline import draw_seam, draw_timeline
from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.robot_spec import RobotSpec

_START_S = 60.0
# Says that a folder is a demo's, and may be emptied by the next one.
_MARK = ".demo"
# Whether a recording was followed is found out at the end.
_VERDICTS = {True: "success", False: "no success", None: "played"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; 0 if every episode could be run, whatever came of it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _options(arguments)
    output: Path = options.output
    try:
        _empty(output)
        stage = make_stage(options)
        _run(stage, output)
        _report(output, stage, options.recording)
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
    parser.add_argument(
        "--robot", default=None, help="so101 (default) or g1; with --recording, a robot's name"
    )
    parser.add_argument("--policy", default=None, help="a policy's name or .yaml file")
    parser.add_argument(
        "--backend", default=None, help="how it is reached, if not as its file says"
    )
    parser.add_argument("--server", default=None, help="HOST:PORT of a server that runs already")
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


def _run(stage: Stage, output: Path) -> None:
    """Run the processes until the episode runner has ended, and show how it goes."""
    # Another ROS graph on this machine must neither see nor disturb the demo, and Unitree's
    # simulators are on domain 1.
    domain = os.environ.get("ROS_DOMAIN_ID") or str(random.randint(2, 100))
    deployment = stage.deployment
    environment = {"ROS_DOMAIN_ID": domain, "ROS_LOG_DIR": str(output.resolve() / "logs" / "ros")}
    names = ", ".join(process.name for process in deployment.processes)
    sys.stdout.write(f"starting {names} (ROS_DOMAIN_ID {domain})\n")
    with ProcessGroup(deployment, log_folder=output / "logs", environment=environment) as processes:
        for index in range(stage.episodes):
            _wait_for_episode(processes, output, index, stage.episode_s)
            log = _load(output, index)
            verdict = _VERDICTS[log.facts.get("success")]
            sys.stdout.write(
                f"episode {index + 1}/{stage.episodes}  seed {log.facts['seed']}"
                f"  {log.facts['duration_s']:5.1f} s  {verdict}  {log.facts['instruction']}\n"
            )
            sys.stdout.flush()
        processes.wait(RUNNER, timeout_s=stage.episode_s)


def _wait_for_episode(processes: ProcessGroup, output: Path, index: int, episode_s: float) -> None:
    deadline = time.monotonic() + _START_S + 4.0 * episode_s
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


def _report(output: Path, stage: Stage, recording: Path | None) -> None:
    """Write and show what came of it."""
    robot = stage.robot
    logs = [_load(output, index) for index in range(stage.episodes)]
    if recording is not None:
        for log in logs:
            compared = _follow(log, robot, recording)
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
    if recording is not None:
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
