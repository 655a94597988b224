# SPDX-License-Identifier: Apache-2.0
"""What plays the robot in episodes: how it is made ready for one, and what comes of one.

``configure`` runs in the thread that spins the node, everything else in the episodes' thread, which
may wait.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import Any

import numpy as np
from std_msgs.msg import String
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import TaskState
from vla_ros_msgs.srv import ResetWorld

from vla_ros.nodes.episode_watcher import EpisodeWatcher
from vla_ros.nodes.service_calls import EpisodeFailed, ServiceCalls
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import LATCHED
from vla_ros.ros.stamps import ns_from_time

_FRESH_S = 5.0
# The last frame of a recording is shown before its end; commands of it need a moment to come.
_TAIL_S = 0.2
# Unitree's DDS has no answer to a reset; after so long the simulator has certainly done it.
_RESET_S = 1.0


class Stage(ABC):
    """One kind of stage. All may raise EpisodeFailed."""

    def __init__(
        self, node: LifecycleBase, watcher: EpisodeWatcher, calls: ServiceCalls, instruction: str
    ) -> None:
        """Keep what stages need.

        Args:
            node: Subscribes.
            watcher: Sees what the robot measures.
            calls: Reach services.
            instruction: What to do; empty: what the stage draws.
        """
        self._node = node
        self._watcher = watcher
        self._calls = calls
        self._instruction = instruction

    @abstractmethod
    def configure(self, undo: ExitStack) -> None:
        """Make clients and subscriptions."""

    def warm_up(self, seed: int) -> None:
        """Make ready for the run before the first episode."""
        self.prepare(seed)

    @abstractmethod
    def prepare(self, seed: int) -> str:
        """Make ready for an episode; what the robot is to do in it."""

    @abstractmethod
    def wait(self, seed: int, timeout_s: float) -> dict[str, Any]:
        """Let the episode happen; what came of it."""

    def _wait_for_fresh_state(self) -> None:
        since_ns = self._node.get_clock().now().nanoseconds
        watcher = self._watcher
        if not watcher.wait_for(lambda: watcher.measured_ns > since_ns, _FRESH_S):
            raise EpisodeFailed(f"no joint state came within {_FRESH_S:g} s after the reset")


class JudgedStage(Stage):
    """A stage that says how its task stands."""

    _judge: str

    def configure(self, undo: ExitStack) -> None:
        """Speak the instruction, and hear the judge."""
        self._spoken = self._node.publisher(undo, String, "instruction", LATCHED)
        self._task = TaskState()
        self._node.subscribe(undo, TaskState, self._judge, self._on_task, LATCHED)

    def _on_task(self, message: TaskState) -> None:
        self._task = message
        self._watcher.notify()

    def _speak(self, instruction: str) -> None:
        self._spoken.publish(String(data=instruction))

    def _is_of(self, seed: int) -> bool:
        """Whether the judge's last word is about the episode of a seed."""
        raise NotImplementedError

    def wait(self, seed: int, timeout_s: float) -> dict[str, Any]:
        """Until the task is judged done or failed, or time is up."""

        def judged() -> bool:
            over = self._is_of(seed) and (self._task.success or self._task.failed)
            return over or self._calls.cancelled.is_set()

        self._watcher.wait_for(judged, timeout_s)
        return {"success": self._is_of(seed) and self._task.success, "detail": self._task.detail}


class SimulationStage(JudgedStage):
    """The node ``simulation``."""

    _judge = "simulation/task_state"

    def configure(self, undo: ExitStack) -> None:
        """Make clients and subscriptions."""
        super().configure(undo)
        self._reset = self._calls.to(undo, ResetWorld, "simulation/reset")

    def prepare(self, seed: int) -> str:
        """A new world; the robot's pose in it must have been published."""
        request = ResetWorld.Request(seed=seed, instruction=self._instruction)
        instruction: str = self._reset(request).instruction
        self._wait_for_fresh_state()
        self._speak(instruction)
        return instruction

    def _is_of(self, seed: int) -> bool:
        return bool(self._task.seed == seed)


class UnitreeStage(JudgedStage):
    """A simulator behind ``unitree_bridge``, which goes on to the next world at every reset."""

    _judge = "unitree_bridge/task_state"
    _since_ns = 0

    def configure(self, undo: ExitStack) -> None:
        """Make clients and subscriptions."""
        super().configure(undo)
        self._reset = self._calls.to(undo, Trigger, "unitree_bridge/reset_all")

    def warm_up(self, seed: int) -> None:
        """The world as it is: a reset would take the first episode's away."""
        self._speak(self._instruction)

    def prepare(self, seed: int) -> str:
        """The next world."""
        self._reset(Trigger.Request())
        self._calls.cancelled.wait(_RESET_S)
        self._since_ns = self._node.get_clock().now().nanoseconds
        self._wait_for_fresh_state()
        self._speak(self._instruction)
        return self._instruction

    def _is_of(self, seed: int) -> bool:
        return ns_from_time(self._task.header.stamp) > self._since_ns


class RecordingStage(Stage):
    """The node ``recording_source``."""

    def __init__(self, *args: Any, recording: str) -> None:
        """Keep the recording's file too."""
        super().__init__(*args)
        self._recording = recording

    def configure(self, undo: ExitStack) -> None:
        """Make a client."""
        self._start = self._calls.to(undo, Trigger, "recording_source/start")

    def prepare(self, seed: int) -> str:
        """The recording from its beginning."""
        self._start(Trigger.Request())
        self._wait_for_fresh_state()
        return self._instruction

    def wait(self, seed: int, timeout_s: float) -> dict[str, Any]:
        """Until the recording is over; whether it was followed is for the report to say."""
        with np.load(self._recording, allow_pickle=False) as recording:
            length_s = float(recording["timestamp_s"][-1])
        self._watcher.wait_for(self._calls.cancelled.is_set, length_s - _TAIL_S)
        return {"recording": self._recording}
