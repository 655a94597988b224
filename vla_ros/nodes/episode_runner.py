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
from rclpy.client import Client
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import TaskState
from vla_ros_msgs.srv import ResetWorld

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.episode_watcher import EpisodeWatcher
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import LATCHED

_SERVICE_S = 60.0
_FRESH_S = 5.0
# How long it may take until a deactivation is noticed.
_CANCEL_S = 0.2
# The last frame of a recording is shown before its end; commands of it need a moment to come.
_TAIL_S = 0.2


@dataclass(frozen=True, slots=True)
class EpisodeRunnerParams:
    """Which episodes are run and where their logs go."""

    robot: str = param(REQUIRED, "The robot's name or description file.", read_only=True)
    output: str = param(REQUIRED, "Folder for the logs, episode_00.npz and on.", read_only=True)
    source: Literal["simulation", "recording"] = param(
        "simulation", "What plays the robot.", read_only=True
    )
    recording: str = param("", "The episode's file, where a recording plays.", read_only=True)
    episodes: int = param(5, "How many episodes.", ge=1, le=100000, read_only=True)
    seed: int = param(0, "Seed of the first episode; each next one adds 1.", read_only=True)
    instruction: str = param(
        "", "What to do; empty: whatever the simulation draws from the seed.", read_only=True
    )
    episode_timeout_s: float = param(
        30.0, "An episode without success ends after this [s].", ge=1.0, le=3600.0, read_only=True
    )
    film_camera: str = param("", "Camera of the first episode's film; empty: none.", read_only=True)


class EpisodeFailed(VlaRosError):  # noqa: N818 - the name is what happened
    """An episode could not be run at all."""


class EpisodeRunner(LifecycleBase):
    """Runs the episodes, then ends the process."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node, unconfigured."""
        super().__init__("episode_runner", **kwargs)
        self._cancelled = threading.Event()

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
        self._instruction = self.publisher(undo, String, "instruction", LATCHED)
        self._task = TaskState()
        self.subscribe(undo, TaskState, "simulation/task_state", self._on_task, LATCHED)
        self._stop = self._client(undo, Trigger, "executor/stop")
        self._start = self._client(undo, Trigger, "executor/start")
        self._reset_world = self._client(undo, ResetWorld, "simulation/reset")
        self._start_recording = self._client(undo, Trigger, "recording_source/start")

    def _client(self, undo: ExitStack, service: type, name: str) -> Client:
        client = self.create_client(service, name)
        undo.callback(self.destroy_client, client)
        return client

    def activate(self, undo: ExitStack) -> None:
        """Run the episodes in a thread."""
        self._cancelled.clear()
        thread = threading.Thread(target=self._run, name="episodes", daemon=True)
        undo.callback(thread.join, _FRESH_S)
        undo.callback(self._cancelled.set)
        thread.start()

    def _on_task(self, message: TaskState) -> None:
        self._task = message
        self._watcher.notify()

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
        self._prepare(self._params.seed)
        self._call(self._start, Trigger.Request())
        if not self._watcher.wait_for(self._is_warm, _SERVICE_S):
            raise EpisodeFailed(
                f"no chunk came round the ring within {_SERVICE_S:g} s;"
                f" the executor says: {self._watcher.words or 'nothing'}"
            )

    def _is_warm(self) -> bool:
        return self._watcher.chunks > 0 or self._cancelled.is_set()

    def _episode(self, index: int) -> None:
        """Set the stage, let the ring run, and save what was seen."""
        seed = self._params.seed + index
        self._call(self._stop, Trigger.Request())
        instruction = self._prepare(seed)
        filmed = index == 0 and self._params.film_camera
        output = Path(self._params.output)
        self._watcher.begin(output / "film" if filmed else None)
        self._call(self._start, Trigger.Request())
        begun_ns = self.get_clock().now().nanoseconds
        outcome = self._wait(seed)
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

    def _prepare(self, seed: int) -> str:
        """Set the stage; what the robot is to do on it."""
        if self._params.source == "recording":
            return self._set_recording()
        return self._set_world(seed)

    def _wait(self, seed: int) -> dict[str, Any]:
        """Let the episode happen; what came of it."""
        if self._params.source == "recording":
            return self._wait_for_end()
        return self._wait_for_task(seed)

    def _set_world(self, seed: int) -> str:
        """A new simulated world; the arm's pose in it must have been published."""
        request = ResetWorld.Request(seed=seed, instruction=self._params.instruction)
        instruction: str = self._call(self._reset_world, request).instruction
        self._wait_for_fresh_state()
        self._instruction.publish(String(data=instruction))
        return instruction

    def _set_recording(self) -> str:
        """The recording from its beginning."""
        self._call(self._start_recording, Trigger.Request())
        self._wait_for_fresh_state()
        return self._params.instruction

    def _wait_for_fresh_state(self) -> None:
        since_ns = self.get_clock().now().nanoseconds
        watcher = self._watcher
        if not watcher.wait_for(lambda: watcher.measured_ns > since_ns, _FRESH_S):
            raise EpisodeFailed(f"no joint state came within {_FRESH_S:g} s after the reset")

    def _wait_for_task(self, seed: int) -> dict[str, Any]:
        """Until the simulation judges the task done or failed, or time is up."""

        def judged() -> bool:
            mine = self._task.seed == seed and (self._task.success or self._task.failed)
            return mine or self._cancelled.is_set()

        self._watcher.wait_for(judged, self._params.episode_timeout_s)
        mine = self._task.seed == seed
        return {"success": mine and self._task.success, "detail": self._task.detail}

    def _wait_for_end(self) -> dict[str, Any]:
        """Until the recording is over; whether it was followed is for the report to say."""
        with np.load(self._params.recording, allow_pickle=False) as recording:
            length_s = float(recording["timestamp_s"][-1])
        self._watcher.wait_for(self._cancelled.is_set, length_s - _TAIL_S)
        return {"recording": self._params.recording}

    def _call(self, client: Client, request: Any) -> Any:
        """Call a service and wait for its answer.

        Raises:
            EpisodeFailed: It does not exist, does not answer, or refuses.
        """
        name = client.srv_name
        deadline = time.monotonic() + _SERVICE_S
        while not client.wait_for_service(_CANCEL_S):
            if self._cancelled.is_set() or time.monotonic() > deadline:
                raise EpisodeFailed(f"service {name} did not appear within {_SERVICE_S:g} s")
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(_FRESH_S):
            raise EpisodeFailed(f"service {name} did not answer within {_FRESH_S:g} s")
        answer = future.result()
        if not answer.success:
            raise EpisodeFailed(f"service {name} refused: {answer.message}")
        return answer


def main() -> int:
    """Run the node; the process's exit code."""
    return run(EpisodeRunner)


if __name__ == "__main__":
    raise SystemExit(main())
