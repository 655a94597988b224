# SPDX-License-Identifier: Apache-2.0
"""A simulated robot behind the topics of a real one.

Physics runs in real time; joint states and camera images carry the moment of the physics that they
show. Commands are taken as ros2_control's controllers take them. One thread owns the world: ticks
and resets are handed to it. Between two joint states at most one image is rendered.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory
from vla_ros_msgs.msg import TaskState
from vla_ros_msgs.srv import ResetWorld

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.ros.commands import command_type
from vla_ros.ros.controllers import CommandIntake
from vla_ros.ros.images import camera_message, message_type
from vla_ros.ros.joint_states import joint_state_message
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, LATCHED, SENSOR, STATE
from vla_ros.ros.stamps import time_from_ns
from vla_ros.ros.tick_thread import TickThread
from vla_ros.sim.real_time import RealTime
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.world import World

_BUILD_S = 60.0
_RESET_S = 10.0
_TASK_RATE_HZ = 10.0
_LOG_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class SimulationParams:
    """What the simulation can be told."""

    robot: str = param(REQUIRED, "Robot description: a name or a .yaml file.", read_only=True)
    scene: str = param("so101_table", "Scene description: a name or a .yaml file.", read_only=True)
    seed: int = param(0, "Seed of the first world.", ge=0, read_only=True)
    instruction: str = param(
        "", "The first world's task; empty: drawn from the seed.", read_only=True
    )
    renderer: Literal["auto", "opengl", "raycast"] = param(
        "auto", "How cameras are rendered; auto: with OpenGL where it can be had.", read_only=True
    )
    state_rate_hz: float = param(
        100.0, "Joint states per second [Hz].", ge=1.0, le=1000.0, read_only=True
    )
    camera_rate_hz: float = param(
        30.0, "Images per second of each camera [Hz].", ge=0.1, le=1000.0, read_only=True
    )
    trajectory_topics: tuple[str, ...] = param(
        (),
        "For each command group, a topic where it takes joint trajectories beside its own topic;"
        " empty: none.",
        read_only=True,
    )


class Simulation(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("simulation", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Build the world."""
        params = self._params = self.parameters.declare(SimulationParams).value
        self._robot = robot = load_robot_spec(config_file("robots", params.robot))
        scene = load_scene_spec(config_file("sim", params.scene))
        self._lock = threading.Lock()
        self._time = RealTime()
        self._intakes = {
            name: CommandIntake(group.interfaces) for name, group in robot.command_groups.items()
        }
        if len(params.trajectory_topics) not in (0, len(self._intakes)):
            raise ConfigError(
                f"parameter 'trajectory_topics' has {len(params.trajectory_topics)} entries,"
                f" expected none or one for each of {', '.join(self._intakes)}"
            )
        self._images = {
            name: self.publisher(undo, message_type(camera), camera.topic, SENSOR)
            for name, camera in robot.cameras.items()
        }
        self._states: dict[str, Publisher] = {
            name: self.publisher(undo, JointState, stream.topic, STATE)
            for name, stream in robot.state_streams.items()
        }
        self._tasks = self.publisher(undo, TaskState, "~/task_state", LATCHED)
        self._owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="world")
        undo.callback(self._owner.shutdown, cancel_futures=True)
        self._world: World = self._owner.submit(
            World, robot, scene, renderer=params.renderer
        ).result(_BUILD_S)
        self._owner.submit(self._reset, params.seed, params.instruction).result(_RESET_S)
        self.serve(undo, ResetWorld, "~/reset", self._on_reset)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Let time run."""
        groups = self._robot.command_groups.items()
        for name, group in groups:
            kind = command_type(group)
            self.subscribe(undo, kind, group.topic, partial(self._on_command, name), EVENT)
        for (name, _), topic in zip(groups, self._params.trajectory_topics, strict=False):
            self.subscribe(undo, JointTrajectory, topic, partial(self._on_command, name), EVENT)
        self._owner.submit(self._begin_time).result(_RESET_S)
        ticks = TickThread(
            lambda _: self._owner.submit(self._tick).result(_RESET_S),
            period_ns=round(1e9 / self._params.state_rate_hz),
            realtime_priority=0,
            guard=self.fatal("the simulation"),
        )
        undo.callback(ticks.stop)
        ticks.start()

    def _on_command(self, group: str, message: Any) -> None:
        intake = self._intakes[group]
        try:
            with self._lock:
                if isinstance(message, JointTrajectory):
                    intake.on_trajectory(message, self._now_ns(), self._targets[group])
                else:
                    intake.on_array(message)
        except ActionError as error:
            text = f"command group {group}: ignored: {error}"
            self.get_logger().error(text, throttle_duration_sec=_LOG_EVERY_S)

    def _on_reset(
        self, request: ResetWorld.Request, response: ResetWorld.Response
    ) -> ResetWorld.Response:
        reset = self._owner.submit(self._reset, request.seed, request.instruction)
        try:
            response.instruction = reset.result(_RESET_S)
            response.success = True
        except ConfigError as error:
            response.message = str(error)
        except FutureTimeoutError:
            reset.cancel()
            response.message = f"the world was not reset within {_RESET_S:g} s"
        return response

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    # What follows runs in the thread that owns the world.

    def _reset(self, seed: int, instruction: str) -> str:
        """Make the world anew, forget all commands, and show everything at once."""
        instruction = self._world.reset(seed, instruction)
        with self._lock:
            self._seed = seed
            self._targets = {
                name: self._world.state(group.interfaces)
                for name, group in self._robot.command_groups.items()
            }
            for intake in self._intakes.values():
                intake.forget()
        self._begin_time()
        self._publish_states(self._now_ns())
        for camera in self._robot.cameras:
            self._publish_image(camera, self._now_ns())
        self._publish_task()
        return instruction

    def _begin_time(self) -> None:
        """From now on the world's time runs with the clock."""
        self._time.begin(world_s=self._world.time_s, now_s=time.monotonic())
        period_s = 1.0 / self._params.camera_rate_hz
        count = max(len(self._robot.cameras), 1)
        self._image_due_s = {
            name: self._world.time_s + period_s * (1.0 + place / count)
            for place, name in enumerate(self._robot.cameras)
        }
        self._task_due_s = 0.0

    def _tick(self) -> None:
        elapsed_s, lost_s = self._time.until(world_s=self._world.time_s, now_s=time.monotonic())
        if lost_s:
            text = f"the simulation is slower than real time; lost {lost_s:.2f} s"
            self.get_logger().warning(text, throttle_duration_sec=_LOG_EVERY_S)
        now_ns = self._now_ns()
        self._world.set_targets(self._commanded(now_ns))
        self._world.advance(elapsed_s)
        stamp_ns = now_ns - round((elapsed_s - self._world.time_s) * 1e9)
        self._publish_states(stamp_ns)
        self._render_one(stamp_ns)
        if self._world.time_s >= self._task_due_s:
            self._task_due_s = self._world.time_s + 1.0 / _TASK_RATE_HZ
            self._publish_task()

    def _commanded(self, now_ns: int) -> NDArray[np.float64]:
        with self._lock:
            for name, intake in self._intakes.items():
                targets = intake.targets(now_ns)
                if targets is not None:
                    self._targets[name] = targets
            return np.concatenate(list(self._targets.values()))

    def _publish_states(self, stamp_ns: int) -> None:
        stamp = time_from_ns(stamp_ns)
        for name, stream in self._robot.state_streams.items():
            values = self._world.state(stream.interfaces)
            self._states[name].publish(joint_state_message(stream.interfaces, values, stamp))

    def _render_one(self, stamp_ns: int) -> None:
        """Render the camera that is most overdue, if one is."""
        camera, due_s = min(self._image_due_s.items(), key=lambda item: item[1], default=("", None))
        if due_s is None or self._world.time_s < due_s:
            return
        self._image_due_s[camera] = max(
            due_s + 1.0 / self._params.camera_rate_hz, self._world.time_s
        )
        self._publish_image(camera, stamp_ns)

    def _publish_image(self, camera: str, stamp_ns: int) -> None:
        message = camera_message(
            self._world.render(camera), camera, self._robot.cameras[camera], time_from_ns(stamp_ns)
        )
        self._images[camera].publish(message)

    def _publish_task(self) -> None:
        state = self._world.task_state()
        message = TaskState(
            instruction=self._world.instruction,
            seed=self._seed,
            success=state.success,
            failed=state.failed,
            detail=state.detail,
            elapsed_s=self._world.time_s,
        )
        message.header.stamp = time_from_ns(self._now_ns())
        self._tasks.publish(message)


def main() -> int:
    """Run the node."""
    return run(Simulation)


if __name__ == "__main__":
    sys.exit(main())
