# SPDX-License-Identifier: Apache-2.0
"""Publishes a recorded episode as camera and joint topics, at the rate it was recorded at.

Row k of the recording and frame k of its video carry the same stamp: when the playing began plus
the row's recorded time. One thread plays; the next frame is decoded before its time has come.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.nodes.recording import Recording, Video, load_recording
from vla_ros.ros.images import camera_message, message_type
from vla_ros.ros.joint_states import joint_state_message
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import SENSOR, STATE
from vla_ros.ros.stamps import time_from_ns

_JOIN_S = 1.0


@dataclass(frozen=True, slots=True)
class RecordingSourceParams:
    """What the recording source can be told."""

    robot: str = param(REQUIRED, "Robot description: a name or a .yaml file.", read_only=True)
    recording: str = param(
        REQUIRED, "The recording's .npz file; its .mp4 lies beside it.", read_only=True
    )
    camera: str = param(
        "", "The camera that was recorded; empty: the robot's only one.", read_only=True
    )
    loop: bool = param(False, "Begin again at the end.", read_only=True)
    play_on_activate: bool = param(
        True, "Begin when activated, without a call of ~/start.", read_only=True
    )


class RecordingSource(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("recording_source", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Read the recording's numbers and look at its video."""
        self._params = self.parameters.declare(RecordingSourceParams).value
        self._robot = load_robot_spec(config_file("robots", self._params.robot))
        self._camera = _recorded_camera(self._robot, self._params.camera)
        self._spec = self._robot.cameras[self._camera]
        self._recording = load_recording(
            Path(self._params.recording), _recorded_columns(self._robot)
        )
        self._open_video().close()
        self._images = self.publisher(undo, message_type(self._spec), self._spec.topic, SENSOR)
        self._states: list[tuple[Publisher, tuple[str, ...], slice]] = []
        begin = 0
        for stream in self._robot.state_streams.values():
            places = slice(begin, begin := begin + len(stream.interfaces))
            publisher = self.publisher(undo, JointState, stream.topic, STATE)
            self._states.append((publisher, stream.interfaces, places))
        self._active = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.serve(undo, Trigger, "~/start", self._start)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Play, if it shall."""
        self._active = True
        undo.callback(self._end)
        if self._params.play_on_activate:
            self._begin()

    def _open_video(self) -> Video:
        recording: Recording = self._recording
        return Video(recording.video, frames=len(recording.state), spec=self._spec)

    def _start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._active
        response.message = (
            "playing from the beginning" if self._active else "the node is not active"
        )
        if self._active:
            self._halt()
            self._begin()
        return response

    def _begin(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stop,), name="playing", daemon=True
        )
        self._thread.start()

    def _halt(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _end(self) -> None:
        self._active = False
        self._halt()

    def _run(self, stop: threading.Event) -> None:
        with self.fatal("the playing thread"):
            self._play(stop)
            while self._params.loop and not stop.is_set():
                self._play(stop)
            if not stop.is_set():
                self.get_logger().info("the recording is over")

    def _play(self, stop: threading.Event) -> None:
        """Publish the episode once, or until it is stopped."""
        with contextlib.closing(self._open_video()) as video:
            message = camera_message(video.read(), self._camera, self._spec, time_from_ns(0))
            begun_ns, begun_steady_ns = self.get_clock().now().nanoseconds, time.monotonic_ns()
            last = len(self._recording.state) - 1
            for row, recorded_ns in enumerate(self._recording.timestamp_ns.tolist()):
                wait_ns = begun_steady_ns + recorded_ns - time.monotonic_ns()
                if stop.wait(max(wait_ns, 0) * 1e-9):
                    return
                stamp = time_from_ns(begun_ns + recorded_ns)
                for publisher, interfaces, places in self._states:
                    values = self._recording.state[row, places]
                    publisher.publish(joint_state_message(interfaces, values, stamp))
                message.header.stamp = stamp
                self._images.publish(message)
                if row < last:
                    message = camera_message(video.read(), self._camera, self._spec, stamp)


def _recorded_camera(robot: RobotSpec, camera: str) -> str:
    known = ", ".join(robot.cameras) or "none"
    if not camera and len(robot.cameras) == 1:
        return next(iter(robot.cameras))
    if camera not in robot.cameras:
        raise ConfigError(
            f"parameter 'camera' must be one of the cameras of robot {robot.name}, which are"
            f" {known}; found {camera!r}"
        )
    return camera


def _recorded_columns(robot: RobotSpec) -> tuple[str, ...]:
    others = [name for name in robot.state_names if not name.endswith("/position")]
    if others:
        raise ConfigError(
            f"{robot.source}: a recording holds positions only, so it cannot play"
            f" {', '.join(others)}"
        )
    return robot.state_names


def main() -> int:
    """Run the node."""
    return run(RecordingSource)


if __name__ == "__main__":
    sys.exit(main())
