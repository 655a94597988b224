# SPDX-License-Identifier: Apache-2.0
"""Watches the ring and fills an episode's log: commands, measured poses, queue, chunks, film.

Callbacks run in the thread that spins the node; ``begin``, ``end`` and ``wait_for`` may be called
from another one. ``vla_ros.core.episode_log`` has the series.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from vla_ros_msgs.msg import ChunkTiming, ExecutorState, ObservationRequest, RequestFailure

from vla_ros.core.episode_log import EpisodeLog
from vla_ros.core.robot_spec import CommandGroup, RobotSpec
from vla_ros.ros.commands import command_type
from vla_ros.ros.images import camera_image, message_type, rgb_from_camera_image
from vla_ros.ros.joint_states import JointStateReader, joint_state_readers
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT, SENSOR
from vla_ros.ros.stamps import ns_from_time

_FILM_QUALITY = 92
# rclpy before Iron gives callbacks the message alone; then it counts when it was heard.
_TELLS_WHEN_SENT = hasattr(Subscription, "CallbackType")
_COUNTERS = (
    "ticks",
    "starved_ticks",
    "missed_ticks",
    "observations_requested",
    "chunks_received",
    "chunks_dropped",
    "requests_failed",
)


class EpisodeWatcher:
    """Fills the log of the episode in progress, if one is."""

    def __init__(self, node: LifecycleBase, undo: ExitStack, robot: RobotSpec) -> None:
        """Subscribe to everything that is watched, the film's camera apart.

        Args:
            node: Subscribes.
            undo: Takes how the subscriptions are undone.
            robot: Whose commands and states are watched.
        """
        self._node = node
        self._robot = robot
        self._changed = threading.Condition()
        self._log: EpisodeLog | None = None
        self._state: ExecutorState | None = None
        self._begun: ExecutorState | None = None
        self._film: Path | None = None
        self._frames = 0
        self._command = np.full(len(robot.command_names), np.nan)
        self._commanded_s = -math.inf
        self.measured_ns = 0
        subscribe = partial(node.subscribe, undo)
        subscribe(ExecutorState, "executor/state", self._on_state, EVENT)
        subscribe(ChunkTiming, "executor/chunk_timing", self._on_chunk, EVENT)
        subscribe(ObservationRequest, "observation_request", self._on_request, EVENT)
        subscribe(RequestFailure, "request_failure", self._on_failure, EVENT)
        begin = 0
        for group in robot.command_groups.values():
            places = slice(begin, begin := begin + len(group.interfaces))
            on_command = self._on_sent_command if _TELLS_WHEN_SENT else self._on_command
            callback = partial(on_command, group, places)
            subscribe(command_type(group), group.topic, callback, EVENT)
        readers = joint_state_readers(robot.state_streams)
        for name, stream in robot.state_streams.items():
            on_measured = partial(self._on_measured, name, readers[name])
            subscribe(JointState, stream.topic, on_measured, SENSOR)

    @property
    def ticks(self) -> int:
        """How many ticks the executor last said it made; 0 before it spoke."""
        return 0 if self._state is None else int(self._state.ticks)

    @property
    def chunks(self) -> int:
        """How many chunks the executor last said it joined; 0 before it spoke."""
        return 0 if self._state is None else int(self._state.chunks_received)

    @property
    def words(self) -> str:
        """Why the executor last said that it holds."""
        return "" if self._state is None else f"{self._state.hold_reason} {self._state.detail}"

    @property
    def quiet_s(self) -> float:
        """For how long nothing was commanded [s]."""
        return time.monotonic() - self._commanded_s

    def heard(self, series: str) -> bool:
        """Whether the episode in progress has a sample of a series."""
        return self._log is not None and len(self._log.stamps(series)) > 0

    def watch_camera(self, undo: ExitStack, camera: str) -> None:
        """Subscribe to the camera that films are made from."""
        spec = self._robot.cameras[camera]

        def keep(message: Any) -> None:
            with self._changed:
                if self._film is not None:
                    image = rgb_from_camera_image(camera_image(message, camera, spec), spec)[
                        :, :, ::-1
                    ]
                    path = self._film / f"{self._frames:05d}.jpg"
                    cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, _FILM_QUALITY])
                    self._frames += 1

        self._node.subscribe(undo, message_type(spec), spec.topic, keep, SENSOR)

    def begin(self, film: Path | None) -> None:
        """Start a new log.

        Args:
            film: A folder for the camera's frames, or None for no film.
        """
        with self._changed:
            if film is not None:
                film.mkdir(parents=True, exist_ok=True)
            self._log, self._begun, self._film, self._frames = EpisodeLog(), self._state, film, 0
            self._command[:] = np.nan

    def end(self) -> EpisodeLog:
        """The log of the episode that ends now, with what was counted in it."""
        with self._changed:
            log = self._log or EpisodeLog()
            self._log = self._film = None
            if self._state is not None:
                log.facts["counters"] = _counted(self._begun, self._state)
                log.facts["names"] = list(self._state.names)
            return log

    def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is true, looked at whenever something was heard."""
        with self._changed:
            return self._changed.wait_for(condition, timeout_s)

    def notify(self) -> None:
        """Something was heard elsewhere that somebody may wait for."""
        with self._changed:
            self._changed.notify_all()

    def _add(self, series: str, stamp_ns: int, values: Any) -> None:
        with self._changed:
            if self._log is not None:
                self._log.add(series, stamp_ns, values)
            self._changed.notify_all()

    def _on_state(self, message: ExecutorState) -> None:
        stamp_ns = ns_from_time(message.header.stamp)
        with self._changed:
            before, self._state = self._state, message
        holding = float(message.mode != ExecutorState.MOVE)
        self._add("queue", stamp_ns, [message.remaining_steps, message.remaining_s, holding])
        for error_ms in message.tick_errors_ms:
            self._add("tick_error_ms", stamp_ns, error_ms)
        self._add("threshold", stamp_ns, message.asks_at_steps)
        if before is not None:
            length_s = (stamp_ns - ns_from_time(before.header.stamp)) * 1e-9
            for reason, ticks in _held(before, message).items():
                self._add(f"hold.{reason}", stamp_ns, [length_s, ticks])
            for kind, count in _dropped(before, message).items():
                self._add(f"dropped.{kind}", stamp_ns, count)

    def _on_request(self, message: ObservationRequest) -> None:
        self._add("request", ns_from_time(message.stamp), message.request_id)

    def _on_failure(self, message: RequestFailure) -> None:
        stamp_ns = self._node.get_clock().now().nanoseconds
        self._add(f"failure.{message.reason}", stamp_ns, message.request_id)

    def _on_chunk(self, message: ChunkTiming) -> None:
        times = ("requested", "sent", "received", "joined", "commanded")
        stamp_ns = ns_from_time(message.header.stamp)
        stamps_ns = [ns_from_time(getattr(message, name)) for name in times]
        # Relative to the anchor: nanoseconds since 1970 do not fit a float.
        seconds = [(at_ns - stamp_ns) * 1e-9 if at_ns else np.nan for at_ns in stamps_ns]
        self._add("chunk", stamp_ns, seconds)
        self._add("blend", stamps_ns[-1], ns_from_time(message.blend) * 1e-9)

    def _on_sent_command(
        self, group: CommandGroup, places: slice, message: Any, info: dict[str, int]
    ) -> None:
        """A command, which has no stamp of its own, with the moment when it was sent."""
        self._take_command(group, places, message, info["source_timestamp"])

    def _on_command(self, group: CommandGroup, places: slice, message: Any) -> None:
        self._take_command(group, places, message, self._node.get_clock().now().nanoseconds)

    def _take_command(
        self, group: CommandGroup, places: slice, message: Any, stamp_ns: int
    ) -> None:
        if isinstance(message, Float64MultiArray):
            values = message.data
        else:
            values = _by_joint(group, message.joint_names, message.points[0].positions)
        self._command[places] = values
        self._commanded_s = time.monotonic()
        # The executor tells its groups in their order: with the last, a tick's command is whole.
        if places.stop == len(self._command) and np.isfinite(self._command).all():
            self._add("command", stamp_ns, self._command)

    def _on_measured(self, stream: str, reader: JointStateReader, message: JointState) -> None:
        if reader.is_for_another(message):
            return
        self.measured_ns = ns_from_time(message.header.stamp)
        self._add(f"measured.{stream}", self.measured_ns, reader.values(message))


def _by_joint(group: CommandGroup, joints: list[str], positions: list[float]) -> list[float]:
    """Positions in the group's order."""
    told = dict(zip(joints, positions, strict=True))
    return [told[interface.rpartition("/")[0]] for interface in group.interfaces]


def _counted(begun: ExecutorState | None, ended: ExecutorState) -> dict[str, Any]:
    """What was counted between two states of the executor."""
    before = begun or ExecutorState()
    counters: dict[str, Any] = {
        name: int(getattr(ended, name) - getattr(before, name)) for name in _COUNTERS
    }
    counters["holds"] = _held(before, ended)
    return counters


def _held(before: ExecutorState, after: ExecutorState) -> dict[str, int]:
    """Reasons of holds between two states, and in how many ticks."""
    earlier = dict(zip(before.hold_reasons, before.hold_ticks, strict=True))
    later = dict(zip(after.hold_reasons, after.hold_ticks, strict=True))
    return _grown(earlier, later)


def _dropped(before: ExecutorState, after: ExecutorState) -> dict[str, int]:
    """Why chunks were dropped between two states, and how many."""
    earlier = dict(zip(before.drop_kinds, before.drop_counts, strict=True))
    later = dict(zip(after.drop_kinds, after.drop_counts, strict=True))
    return _grown(earlier, later)


def _grown(earlier: dict[str, int], later: dict[str, int]) -> dict[str, int]:
    grown = {name: int(count - earlier.get(name, 0)) for name, count in later.items()}
    return {name: count for name, count in grown.items() if count > 0}
