# SPDX-License-Identifier: Apache-2.0
"""Action chunks in, commands out: the ring's heart, in a process of its own.

A dedicated thread ticks on absolute deadlines, asks the core for this tick's command and publishes
it; everything else happens in the thread that spins the node. One lock guards the core. Before the
node falls silent, because it is deactivated or has failed, its last command is a hold.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ObservationRequest, RequestFailure

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ActionError, ObservationError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, ExecutorStatus, Hold
from vla_ros.core.hold_reasons import BAD_CHUNK, DEACTIVATED, STOPPED
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.executor_report import ExecutorReport
from vla_ros.ros.commands import CommandPublishers
from vla_ros.ros.diagnostics import Diagnostics, Status
from vla_ros.ros.joint_states import JointStateReader, MeasuredPose
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, NEWEST, SENSOR
from vla_ros.ros.realtime import realtime_process
from vla_ros.ros.ring_messages import chunk_from_message, request_to_message
from vla_ros.ros.tick_thread import TickThread

_LOG_EVERY_S = 5.0
# A robot that decelerates within its limits is at rest long before this.
_COME_TO_REST_S = 0.5
# A command that changes less than this in a tick is at rest [rad or m].
_REST = 1e-6
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
    dry_run: bool = param(False, "Do everything but publish commands.", read_only=True)
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
        self._core = ActionExecutor(self._robot, policy, group.value)
        self._lock = threading.Lock()
        self._pose = MeasuredPose(self._robot)
        self._report = ExecutorReport(self, undo, self._robot)
        # A chunk whose first command is not out yet, and when it was joined.
        self._joined: tuple[ActionChunk, int] | None = None
        self._last: NDArray[np.float64] | None = None
        self._at_rest = threading.Event()
        self._ticks: TickThread | None = None
        self._missed_before = 0
        self._commands = CommandPublishers(self, undo, self._robot)
        self._requests = self.publisher(undo, ObservationRequest, "observation_request", NEWEST)
        undo.callback(group.listen(self._retune))
        for name, callback in (
            ("start", self._start),
            ("stop", self._stop),
            ("reset", self._reset),
        ):
            self.serve(undo, Trigger, f"~/{name}", callback)
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Listen, and begin to tick."""
        for name in self._pose.streams:
            stream = self._robot.state_streams[name]
            callback = partial(self._on_state, name, JointStateReader(name, stream))
            self.subscribe(undo, JointState, stream.topic, callback, SENSOR)
        self.subscribe(undo, ActionChunkMsg, "action_chunk", self._on_chunk, EVENT)
        self.subscribe(undo, RequestFailure, "request_failure", self._on_failure, EVENT)
        self.every(undo, 1.0 / self._params.state_rate_hz, self._publish_state)
        if self._params.start_on_activate:
            self._core.start()
        else:
            self._core.stop()
        guard = contextlib.ExitStack()
        guard.enter_context(self.fatal("the tick thread"))
        guard.enter_context(self._held_on_failure())
        self._at_rest.clear()
        self._ticks = TickThread(
            self._tick,
            period_ns=self._period_ns(),
            realtime_priority=self._params.realtime_priority,
            guard=guard,
        )
        # What is there now stays; the collector need not look at it in the middle of a tick.
        gc.collect()
        gc.freeze()
        undo.callback(gc.unfreeze)
        # One less than the tick thread, which the others must never keep from running.
        undo.enter_context(realtime_process(max(self._params.realtime_priority - 1, 0)))
        undo.callback(self._fall_silent, self._ticks)
        self._ticks.start()
        self.get_logger().info(
            f"ticks at {self._core.params.control_rate_hz:g} Hz, {self._ticks.scheduling}"
        )

    def _period_ns(self) -> int:
        return round(1e9 / self._core.params.control_rate_hz)

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _tick(self, late_ns: int) -> None:
        measured = self._pose.read(time.monotonic_ns())
        now_ns = self._now_ns()
        with self._lock:
            command = self._core.update(now_ns, measured)
            request = self._core.poll_request(now_ns)
            joined, self._joined = self._joined, None
        self._command(command)
        if request is not None:
            self._requests.publish(request_to_message(request))
        self._report.ticked(late_ns)
        if joined is not None:
            chunk, joined_ns = joined
            self._report.commanded(chunk, joined_ns=joined_ns, now_ns=self._now_ns())

    def _command(self, command: Command) -> None:
        """Publish the command, except that a robot that is stopped and at rest is left alone.

        Its controllers keep their last command, and somebody else may take them over.
        """
        positions, last = command.positions, self._last
        stopped = isinstance(command, Hold) and command.reason in (STOPPED, DEACTIVATED)
        resting = stopped and (
            positions is None or last is None or np.allclose(positions, last, rtol=0.0, atol=_REST)
        )
        if positions is not None and not (resting and (last is None or self._at_rest.is_set())):
            self._publish_command(positions)
        if resting:
            self._at_rest.set()

    def _publish_command(self, positions: NDArray[np.float64]) -> None:
        self._last = positions
        if not self._params.dry_run:
            self._commands.publish(positions, self._period_ns())

    @contextlib.contextmanager
    def _held_on_failure(self) -> Iterator[None]:
        """Where the tick thread fails, its last command holds."""
        ended = False
        try:
            yield
            ended = True
        finally:
            if not ended and self._last is not None:
                self._publish_command(self._last)

    def _come_to_rest(self, reason: str) -> None:
        """Decelerate, and return when the hold is published."""
        self._at_rest.clear()
        with self._lock:
            self._core.stop(reason)
        if self._ticks is not None and self._ticks.alive:
            self._at_rest.wait(_COME_TO_REST_S)

    def _fall_silent(self, ticks: TickThread) -> None:
        """Hold as the last command, and say so."""
        self._come_to_rest(DEACTIVATED)
        ticks.stop()
        self._missed_before += ticks.missed
        self._ticks = None
        self._publish_state()

    def _on_state(self, stream: str, reader: JointStateReader, message: JointState) -> None:
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
            with self._lock:
                self._core.fail(message.request_id, message.epoch, failure, now_ns)
            self.get_logger().warning(str(error), throttle_duration_sec=_LOG_EVERY_S)
            return
        try:
            with self._lock:
                self._core.offer(chunk, now_ns)
                self._joined = chunk, now_ns
        except ActionError as error:
            text = f"dropped the chunk of request {chunk.request_id}: {error}"
            self.get_logger().warning(text, throttle_duration_sec=_LOG_EVERY_S)
            return
        self._report.joined(chunk, now_ns)

    def _on_failure(self, message: RequestFailure) -> None:
        failure = Failure(message.reason, message.detail)
        with self._lock:
            self._core.fail(message.request_id, message.epoch, failure, self._now_ns())

    def _retune(self, params: ExecutorParams) -> None:
        with self._lock:
            self._core.configure(params)
        if self._ticks is not None:
            self._ticks.set_period(self._period_ns())

    def _start(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._ticks is not None
        response.message = "started" if response.success else "the executor is not active"
        if response.success:
            with self._lock:
                self._core.start()
        return response

    def _stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._come_to_rest(STOPPED)
        response.success, response.message = True, "stopped until ~/start is called"
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            epoch = self._core.reset()
        response.success, response.message = True, f"epoch {epoch}"
        return response

    def _status(self, now_ns: int) -> ExecutorStatus:
        with self._lock:
            return self._core.status(now_ns)

    def _publish_state(self) -> None:
        now_ns = self._now_ns()
        missed = self._missed_before + (0 if self._ticks is None else self._ticks.missed)
        self._report.publish(self._status(now_ns), missed_ticks=missed, now_ns=now_ns)

    def _statuses(self) -> Iterator[Status]:
        scheduling = "" if self._ticks is None else self._ticks.scheduling
        yield self._report.diagnostics(self._status(self._now_ns()), scheduling)


def main() -> int:
    """Run the node."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    return run(Executor)


if __name__ == "__main__":
    sys.exit(main())
