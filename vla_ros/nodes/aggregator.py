# SPDX-License-Identifier: Apache-2.0
"""Cameras and measured state in, one synchronized observation out when asked.

Every request gets exactly one answer: an observation, or a failure that names the stream at fault.
Images are kept as they came and looked at only when an observation is made of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String
from vla_ros_msgs.msg import Observation, ObservationRequest, RequestFailure

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ObservationError
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.past_frames import NO_PAST, PastFrame
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.core.synchronizer import Synchronizer
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.images import message_type
from vla_ros.ros.joint_states import JointStateReader, joint_state_readers
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.observations import observation_to_message
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, LATCHED, NEWEST, SENSOR, UNWARNED
from vla_ros.ros.ring_messages import failure_to_message
from vla_ros.ros.stamps import ns_from_time
from vla_ros.ros.stream_rate import StreamRate

_LOG_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class AggregatorParams:
    """What the aggregator can be told."""

    robot: str = param(REQUIRED, "Robot description: a name or a .yaml file.", read_only=True)
    policy: str = param(
        "",
        "Policy description: a name or a .yaml file. Only its cameras are observed, with the past"
        " frames that it looks at; empty: all, without a past.",
        read_only=True,
    )
    instruction: str = param(
        "", "What the robot shall do. The newer of this and the instruction topic counts."
    )


class Aggregator(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("aggregator", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Read the descriptions and make empty buffers."""
        group = self.parameters.declare(AggregatorParams)
        self._robot, past = _observed(group.value)
        self._instruction = group.value.instruction
        undo.callback(group.listen(lambda params: self._instruct(params.instruction)))
        self._synchronizer: Synchronizer[Image | CompressedImage] = Synchronizer(self._robot, past)
        self._epoch: int | None = None
        streams = (*self._robot.cameras, *self._robot.state_streams)
        self._rates = {name: StreamRate() for name in streams}
        # Stream to what was wrong with its last message.
        self._faults: dict[str, str] = {}
        self._last_ns = 0
        self._observations = self.publisher(undo, Observation, "observation", NEWEST)
        self._failures = self.publisher(undo, RequestFailure, "request_failure", EVENT)
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Listen to the streams and answer requests."""
        for name, camera in self._robot.cameras.items():
            kind = message_type(camera)
            self.subscribe(undo, kind, camera.topic, partial(self._on_image, name), SENSOR)
        readers = joint_state_readers(self._robot.state_streams)
        for name, stream in self._robot.state_streams.items():
            callback = partial(self._on_state, name, readers[name])
            self.subscribe(undo, JointState, stream.topic, callback, SENSOR)
        self._hear_instructions(undo)
        request = ObservationRequest
        self.subscribe(undo, request, "observation_request", self._on_request, NEWEST)
        undo.callback(self._synchronizer.clear)

    def _hear_instructions(self, undo: contextlib.ExitStack) -> None:
        """Listen to the instruction topic, whatever its publishers offer.

        One that is latched is heard even if it spoke before this node was there. ``ros2 topic pub``
        does not latch, which a latched subscription alone would refuse.
        """
        for qos in (LATCHED, EVENT):
            subscription = self.create_subscription(
                String,
                "instruction",
                self._on_instruction,
                qos,
                event_callbacks=UNWARNED,
            )
            undo.callback(self.destroy_subscription, subscription)

    def _on_instruction(self, message: String) -> None:
        self._instruct(message.data)

    def _instruct(self, instruction: str) -> None:
        if instruction != self._instruction:
            self._instruction = instruction
            self.get_logger().info(f"instruction: {instruction!r}")

    def _on_image(self, camera: str, message: Image | CompressedImage) -> None:
        self._rates[camera].received(time.monotonic_ns())
        self._watch_clock()
        self._synchronizer.push_image(camera, ns_from_time(message.header.stamp), message)

    def _on_state(self, stream: str, reader: JointStateReader, message: JointState) -> None:
        if reader.is_for_another(message):
            return
        self._rates[stream].received(time.monotonic_ns())
        self._watch_clock()
        try:
            values = reader.values(message)
        except ObservationError as error:
            self._faults[stream] = str(error)
            self.get_logger().warning(str(error), throttle_duration_sec=_LOG_EVERY_S)
            return
        self._faults.pop(stream, None)
        self._synchronizer.push_state(stream, ns_from_time(message.header.stamp), values)

    def _on_request(self, request: ObservationRequest) -> None:
        now_ns = self._watch_clock()
        if request.epoch != self._epoch:
            self._epoch = request.epoch
            self._synchronizer.begin_episode(now_ns)
        try:
            sample = self._synchronizer.sample(now_ns)
            message = observation_to_message(sample, self._robot, self._instruction, request)
        except ObservationError as error:
            fault = self._faults.get(error.stream)
            detail = f"{error} ({fault})" if fault else str(error)
            failure = failure_to_message(request, error.reason, detail, now_ns)
            self._failures.publish(failure)
            self.get_logger().warning(detail, throttle_duration_sec=_LOG_EVERY_S)
            return
        self._observations.publish(message)

    def _watch_clock(self) -> int:
        """Now on the ROS clock; where that has gone back, what was kept is of the future."""
        now_ns = self.get_clock().now().nanoseconds
        if now_ns < self._last_ns:
            self.get_logger().warning("the clock has gone back; forgetting all streams")
            self._synchronizer.clear()
        self._last_ns = now_ns
        return now_ns

    def _statuses(self) -> Iterator[Status]:
        steady_ns = time.monotonic_ns()
        ages_s = self._synchronizer.ages_s(self.get_clock().now().nanoseconds)
        allowed_s = {
            **{name: camera.max_age_s for name, camera in self._robot.cameras.items()},
            **{name: stream.max_age_s for name, stream in self._robot.state_streams.items()},
        }
        for name, age_s in ages_s.items():
            fresh = age_s is not None and age_s <= allowed_s[name]
            never = "has sent nothing yet" if age_s is None else "is stale"
            yield Status(
                f"stream {name}",
                Level.OK if fresh else Level.ERROR,
                "is fresh" if fresh else self._faults.get(name, never),
                {
                    "age_s": "" if age_s is None else f"{age_s:.3f}",
                    "max_age_s": f"{allowed_s[name]:g}",
                    "rate_hz": f"{self._rates[name].hz(steady_ns):.1f}",
                },
            )
        yield Status(
            "instruction",
            Level.OK if self._instruction else Level.WARN,
            self._instruction or "none was given",
        )


def _observed(params: AggregatorParams) -> tuple[RobotSpec, Mapping[str, PastFrame]]:
    """The robot with those cameras alone that the policy looks through, and which past it wants."""
    robot = load_robot_spec(config_file("robots", params.robot))
    if not params.policy:
        return robot, NO_PAST
    policy = load_policy_spec(config_file("policies", params.policy))
    policy.check_against(robot)
    seen = set(policy.video.values())
    cameras = {name: camera for name, camera in robot.cameras.items() if name in seen}
    return dataclasses.replace(robot, cameras=cameras), policy.past_frames


def main() -> int:
    """Run the node."""
    return run(Aggregator)


if __name__ == "__main__":
    sys.exit(main())
