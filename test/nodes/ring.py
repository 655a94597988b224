# SPDX-License-Identifier: Apache-2.0
"""An executor's node, and the rest of the ring around it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ExecutorState, ObservationRequest, RequestFailure

from test.core.helpers import policy
from test.nodes.stage import Sensors
from test.ros.harness import Domain
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.action_chunk import ChunkTiming as Timing
from vla_ros.nodes.executor import Executor
from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, NEWEST
from vla_ros.ros.ring_messages import chunk_to_message, failure_to_message
from vla_ros.ros.stamps import ns_from_time

NAMES = policy().action_names  # a and g; w is not the policy's
STEP_NS = policy().step_ns
# Where the policy always wants the arm to go; g is switched.
GOAL = (0.4, 1.0)


def ramp(now_ns: int, request: ObservationRequest) -> ActionChunk:
    """Ten actions that hold the goal."""
    return ActionChunk(
        now_ns, STEP_NS, NAMES, np.tile(GOAL, (10, 1)), request.request_id, request.epoch,
        Timing(ns_from_time(request.stamp), now_ns, now_ns),
    )  # fmt: skip


class Ring:
    """The rest of the ring: sensors, and somebody who answers requests as the test says."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.sensors = Sensors(domain)
        self.requests: list[ObservationRequest] = []
        self.respond: Callable[[ObservationRequest], None] = self.with_chunk
        peer = domain.peer
        self._chunks = peer.create_publisher(ActionChunkMsg, "action_chunk", EVENT)
        self._failures = peer.create_publisher(RequestFailure, "request_failure", EVENT)
        peer.create_subscription(ObservationRequest, "observation_request", self._asked, NEWEST)
        self.states: list[ExecutorState] = []
        self.arm: list[list[float]] = []
        self.hand: list[list[float]] = []
        peer.create_subscription(ExecutorState, "executor/state", self.states.append, LATCHED)
        peer.create_subscription(
            Float64MultiArray, "arm/commands", lambda m: self.arm.append(list(m.data)), COMMAND
        )
        peer.create_subscription(
            JointTrajectory,
            "hand/trajectory",
            lambda m: self.hand.append(list(m.points[0].positions)),
            COMMAND,
        )

    def _asked(self, request: ObservationRequest) -> None:
        self.requests.append(request)
        self.respond(request)

    def now_ns(self) -> int:
        return self.domain.peer.get_clock().now().nanoseconds

    def with_chunk(self, request: ObservationRequest) -> None:
        """Answer as a policy does."""
        self.send(ramp(self.now_ns(), request))

    def send(self, chunk: ActionChunk) -> None:
        self._chunks.publish(chunk_to_message(chunk, "test"))

    def send_raw(self, message: ActionChunkMsg) -> None:
        self._chunks.publish(message)

    def with_failure(self, reason: str, detail: str) -> None:
        """From now on, every request fails."""

        def fail(request: ObservationRequest) -> None:
            failure = failure_to_message(request, reason, detail, self.now_ns())
            self._failures.publish(failure)

        self.respond = fail

    def with_silence(self) -> None:
        self.respond = lambda _: None

    def until(self, mode: str, reason: str = "") -> ExecutorState:
        """Wait for a state of this mode and reason, said from now on."""
        begin = len(self.states)

        def found() -> ExecutorState | None:
            alike = (s for s in self.states[begin:] if (s.mode, s.hold_reason) == (mode, reason))
            return next(alike, None)

        last = self.states[-1] if self.states else None
        told = "" if last is None else f", last was {last.mode} {last.hold_reason}"
        return self.domain.spin_until(found, f"{mode} {reason}{told}")

    def call(self, name: str) -> Trigger.Response:
        return self.domain.call(Trigger, f"/executor/{name}", Trigger.Request())

    def count_commands(self, during_s: float) -> int:
        before = len(self.arm)
        self.domain.spin_for(during_s)
        return len(self.arm) - before


@pytest.fixture
def ring(domain: Domain) -> Ring:
    return Ring(domain)


@pytest.fixture
def node(domain: Domain, files, ring: Ring) -> Executor:
    """An executor that is under way, with short deadlines."""
    parameters = {"request_timeout_s": 0.3, "retry_interval_s": 0.05, "realtime_priority": 0}
    node = domain.add(Executor, **files, **parameters)
    assert node.start()
    return node
