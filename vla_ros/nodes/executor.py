# SPDX-License-Identifier: Apache-2.0
"""Action chunks in, commands out: the ring's heart, in a process of its own.

A dedicated thread ticks on absolute deadlines, asks the core for this tick's command and publishes
it; everything else happens in the thread that spins the node. One lock guards the core. Before the
node falls silent, because it is deactivated or has failed, its last command is a hold.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ObservationRequest as ObservationRequestMsg
from vla_ros_msgs.msg import RequestFailure

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ActionError, ObservationError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.hold_reasons import BAD_CHUNK, STOPPED
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.filters.registry import make_filter
from vla_ros.nodes.executor_loop import ControlLoop, Outlets
from vla_ros.nodes.executor_report import ExecutorReport
from vla_ros.nodes.executor_tuning import TuneService
from vla_ros.nodes.run_policy import RunPolicyServer
from vla_ros.ros.commands import CommandPublishers
from vla_ros.ros.diagnostics import Diagnostics, Status
from vla_ros.ros.joint_states import JointStateReader, MeasuredPose, joint_state_readers
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, NEWEST, SENSOR
from vla_ros.ros.ring_messages import chunk_from_message, request_to_message
from vla_ros.ros.transport import keep_off_shared_memory

_LOG_EVERY_S = 5.0
_SUMMARY_EVERY_S = 2.0
# CPython lets a busy thread run this long before another one's turn; its default is 5 ms.
_SWITCH_INTERVAL_S = 1e-4


@dataclass(frozen=True, slots=True)
class ExecutorNodeParams:
    """What the executor's node can be told, beside the executor's own parameters."""

    robot: str = param(REQUIRED, "Robot description: a name or a .yaml file.", read_only=True)
    policy: str = param(REQUIRED, "Policy description: a name or a .yaml file.", read_only=True)
    start_on_activate: bool = param(
        True, "Begin to move when activated, without a call of ~/start.", read_only=True
    )
    dry_run: bool = param(
        False, "Publish commands below dry_run/, where no robot listens.", read_only=True
    )
    state_rate_hz: float = param(
        20.0, "State messages per second [Hz].", ge=0.1, le=100.0, read_only=True
    )
    realtime_priority: int = param(
        50,
        "SCHED_FIFO priority of the tick thread, the other threads get one less; 0: none.",
        ge=0,
        le=99,
        read_only=True,
    )
    tune_duration_s: float = param(
        30.0, "How long ~/tune measures [s].", ge=1.0, le=3600.0, read_only=True
    )


class Executor(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("executor", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Read the descriptions and make everything; nothing moves."""
        params = self._params = self.parameters.declare(ExecutorNodeParams).value
        group = self.parameters.declare(ExecutorParams)
        self._robot = load_robot_spec(config_file("robots", params.robot))
        policy = load_policy_spec(config_file("policies", params.policy))
        self._core = ActionExecutor(
            self._robot,
            policy,
            group.value,
            make_filter=make_filter,
        )
        self._pose = MeasuredPose(self._robot)
        self._report = ExecutorReport(self, undo, self._robot)
        below = "dry_run/" if params.dry_run else ""
        self._commands = CommandPublishers(self, undo, self._robot, below=below)
        self._requests = self.publisher(undo, ObservationRequestMsg, "observation_request", NEWEST)
        self._loop = ControlLoop(
            self,
            self._core,
            self._pose,
            self._report,
            Outlets(self._commands.publish, self._publish_request),
            realtime_priority=params.realtime_priority,
        )
        self._tuning = TuneService(
            self,
            undo,
            self._robot,
            policy,
            params=lambda: self._core.params,
            duration_s=params.tune_duration_s,
        )
        self._goals = RunPolicyServer(
            self, undo, self._loop, status=lambda: self._loop.status(self._now_ns())
        )
        undo.callback(group.require(self._core.check))
        undo.callback(group.listen(self._loop.configure))
        for name, callback in (
            ("start", self._start),
            ("stop", self._stop),
            ("reset", self._reset),
        ):
            self.serve(undo, Trigger, f"~/{name}", callback)
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Listen, and begin to tick."""
        readers = joint_state_readers(self._robot.state_streams)
        for name in self._pose.streams:
            topic = self._robot.state_streams[name].topic
            callback = partial(self._on_state, name, readers[name])
            self.subscribe(undo, JointState, topic, callback, SENSOR)
        self.subscribe(undo, ActionChunkMsg, "action_chunk", self._on_chunk, EVENT)
        self.subscribe(undo, RequestFailure, "request_failure", self._on_failure, EVENT)
        self.every(undo, 1.0 / self._params.state_rate_hz, self._publish_state)
        self.every(undo, _SUMMARY_EVERY_S, self._summarize)
        if self._params.start_on_activate:
            self._loop.start()
        else:
            self._loop.come_to_rest(STOPPED)
        undo.callback(self._publish_state)
        undo.callback(self._goals.stopped, "the executor was deactivated")
        self._loop.run(undo)
        self.get_logger().info(
            f"ticks at {self._core.params.control_rate_hz:g} Hz, {self._loop.scheduling}"
        )

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _publish_request(self, request: ObservationRequest) -> None:
        self._requests.publish(request_to_message(request))

    def _on_state(self, stream: str, reader: JointStateReader, message: JointState) -> None:
        if reader.is_for_another(message):
            return
        try:
            values = reader.values(message)
        except ObservationError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=_LOG_EVERY_S)
            return
        self._pose.update(stream, values, time.monotonic_ns())

    def _on_chunk(self, message: ActionChunkMsg) -> None:
        now_ns = self._now_ns()
        try:
            chunk = chunk_from_message(message)
        except ActionError as error:
            failure = Failure(BAD_CHUNK, str(error))
            self._loop.fail(message.request_id, message.epoch, failure, now_ns)
            self.get_logger().warning(str(error), throttle_duration_sec=_LOG_EVERY_S)
            return
        try:
            planned = self._loop.offer(chunk, now_ns)
        except ActionError as error:
            text = f"dropped the chunk of request {chunk.request_id}: {error}"
            self.get_logger().warning(text, throttle_duration_sec=_LOG_EVERY_S)
            return
        self._report.joined(chunk, now_ns)
        self._tuning.see(chunk, now_ns, planned=planned)

    def _on_failure(self, message: RequestFailure) -> None:
        failure = Failure(message.reason, message.detail)
        self._loop.fail(message.request_id, message.epoch, failure, self._now_ns())

    def _start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._loop.running
        response.message = "started" if response.success else "the executor is not active"
        if response.success:
            self._loop.start()
        return response

    def _stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._loop.come_to_rest(STOPPED)
        self._goals.stopped("~/stop was called")
        response.success, response.message = True, "stopped until ~/start is called"
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = True, f"epoch {self._loop.reset()}"
        return response

    def _publish_state(self) -> None:
        now_ns = self._now_ns()
        status = self._loop.status(now_ns)
        self._report.publish(status, missed_ticks=self._loop.missed, now_ns=now_ns)

    def _summarize(self) -> None:
        self._report.summarize(self._loop.status(self._now_ns()), self._core.params)

    def _statuses(self) -> Iterator[Status]:
        status = self._loop.status(self._now_ns())
        yield self._report.diagnostics(status, self._loop.scheduling)


def main() -> int:
    """Run the node."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    keep_off_shared_memory()
    return run(Executor)


if __name__ == "__main__":
    sys.exit(main())
