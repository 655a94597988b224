# SPDX-License-Identifier: Apache-2.0
"""Conducts episodes over the ring and leaves a log of each.

Before each episode the executor is stopped, the stage (a simulation or a recording) is set, and the
executor is started again. The script runs in a thread of its own; the node is spun by the main one.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from std_srvs.srv import Trigger

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.episode_stages import RecordingStage, SimulationStage, Stage, UnitreeStage
from vla_ros.nodes.episode_watcher import EpisodeWatcher
from vla_ros.nodes.service_calls import SERVICE_S, EpisodeFailed, ServiceCalls
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run

_JOIN_S = 5.0
# Nothing is commanded for so long where a robot has come to rest; a stop takes less than so long.
_QUIET_S, _STOPPING_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class EpisodeRunnerParams:
    """Which episodes are run and where their logs go."""

    robot: str = param(REQUIRED, "The robot's name or description file.", read_only=True)
    output: str = param(REQUIRED, "Folder for the logs, episode_00.npz and on.", read_only=True)
    source: Literal["simulation", "recording", "unitree"] = param(
        "simulation", "What plays the robot.", read_only=True
    )
    recording: str = param("", "The episode's file, where a recording plays.", read_only=True)
    episodes: int = param(5, "How many episodes.", ge=1, le=100000, read_only=True)
    seed: int = param(0, "Seed of the first episode; each next one adds 1.", read_only=True)
    instruction: str = param(
        "", "What to do; empty: whatever the stage draws from the seed.", read_only=True
    )
    episode_timeout_s: float = param(
        30.0, "An episode without success ends after this [s].", ge=1.0, le=3600.0, read_only=True
    )
    film_camera: str = param("", "Camera of the first episode's film; empty: none.", read_only=True)


class EpisodeRunner(LifecycleBase):
    """Runs the episodes, then ends the process."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node, unconfigured."""
        super().__init__("episode_runner", **kwargs)
        self._calls = ServiceCalls(self)

    def configure(self, undo: ExitStack) -> None:
        """Make clients and subscriptions.

        Raises:
            ConfigError: A parameter or the robot's description is wrong.
        """
        self._params = self.parameters.declare(EpisodeRunnerParams).value
        robot = load_robot_spec(config_file("robots", self._params.robot))
        self._watcher = EpisodeWatcher(self, undo, robot)
        camera = self._params.film_camera
        if camera and camera not in robot.cameras:
            raise ConfigError(
                f"film_camera {camera!r} is not a camera of {robot.name};"
                f" it has {', '.join(robot.cameras)}"
            )
        if camera:
            self._watcher.watch_camera(undo, camera)
        self._stop = self._calls.to(undo, Trigger, "executor/stop")
        self._start = self._calls.to(undo, Trigger, "executor/start")
        self._stage = self._make_stage()
        self._stage.configure(undo)

    def _make_stage(self) -> Stage:
        params = self._params
        common = (self, self._watcher, self._calls, params.instruction)
        if params.source == "recording":
            return RecordingStage(*common, recording=params.recording)
        return UnitreeStage(*common) if params.source == "unitree" else SimulationStage(*common)

    def activate(self, undo: ExitStack) -> None:
        """Run the episodes in a thread."""
        self._calls.cancelled.clear()
        thread = threading.Thread(target=self._run, name="episodes", daemon=True)
        undo.callback(thread.join, _JOIN_S)
        undo.callback(self._calls.cancelled.set)
        thread.start()

    def _run(self) -> None:
        with self.fatal("the episodes' thread"):
            try:
                self._warm_up()
                for index in range(self._params.episodes):
                    self._episode(index)
            except EpisodeFailed as error:
                self.get_logger().fatal(str(error))
                self.end_process(1)
            else:
                self.end_process(0)

    def _warm_up(self) -> None:
        """Wait until a chunk has gone round the ring: nodes need seconds to find each other."""
        self._stage.warm_up(self._params.seed)
        self._start(Trigger.Request())
        if not self._watcher.wait_for(self._is_warm, SERVICE_S):
            raise EpisodeFailed(
                f"no chunk came round the ring within {SERVICE_S:g} s;"
                f" the executor says: {self._watcher.words or 'nothing'}"
            )

    def _is_warm(self) -> bool:
        return self._watcher.chunks > 0 or self._calls.cancelled.is_set()

    def _come_to_rest(self) -> None:
        """Stop the robot; a command that is still on its way would meet the next world."""
        self._stop(Trigger.Request())
        stopped_s, watcher = time.monotonic(), self._watcher

        def rests() -> bool:
            quiet_s = min(watcher.quiet_s, time.monotonic() - stopped_s)
            return quiet_s > _QUIET_S or self._calls.cancelled.is_set()

        if not watcher.wait_for(rests, _STOPPING_S):
            raise EpisodeFailed(f"the robot is still commanded {_STOPPING_S:g} s after its stop")

    def _episode(self, index: int) -> None:
        """Set the stage, let the ring run, and save what was seen."""
        seed = self._params.seed + index
        self._come_to_rest()
        instruction = self._stage.prepare(seed)
        filmed = index == 0 and self._params.film_camera
        output = Path(self._params.output)
        self._watcher.begin(output / "film" if filmed else None)
        self._start(Trigger.Request())
        begun_ns = self.get_clock().now().nanoseconds
        outcome = self._stage.wait(seed, self._params.episode_timeout_s)
        ended_ns = self.get_clock().now().nanoseconds
        log = self._watcher.end()
        log.facts |= {
            "episode": index,
            "seed": seed,
            "instruction": instruction,
            "begun_ns": begun_ns,
            "duration_s": (ended_ns - begun_ns) * 1e-9,
            **outcome,
        }
        path = output / f"episode_{index:02d}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.part")
        with unfinished.open("wb") as file:
            np.savez(file, **log.to_arrays())  # type: ignore[arg-type]
        unfinished.rename(path)  # whoever waits for the log never sees half of one


def main() -> int:
    """Run the node; the process's exit code."""
    return run(EpisodeRunner)


if __name__ == "__main__":
    raise SystemExit(main())
