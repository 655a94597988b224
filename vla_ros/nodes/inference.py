# SPDX-License-Identifier: Apache-2.0
"""Observations in, action chunks out, by way of one backend in one thread.

Configure does not wait for a policy server that is not there yet, and fails on one that does not
fit. Every observation is answered by exactly one chunk or one failure.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import Observation, RequestFailure

from vla_ros.backends.base import PolicyBackend
from vla_ros.backends.registry import backend_class, new_backend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.latency import PercentileWindow
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.nodes.inference_worker import InferenceWorker, WorkerCallbacks
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.parameters import ParameterGroup
from vla_ros.ros.process import run
from vla_ros.ros.qos import EVENT, NEWEST
from vla_ros.ros.ring_messages import chunk_to_message, failure_to_message

_FIRST_CONNECTION_S = 1.0
_LOG_EVERY_S = 5.0
_INFERENCES = 100


@dataclass(frozen=True, slots=True)
class InferenceParams:
    """What the inference node can be told."""

    robot: str = param(REQUIRED, "Robot description: a name or a .yaml file.", read_only=True)
    policy: str = param(REQUIRED, "Policy description: a name or a .yaml file.", read_only=True)
    backend: str = param(
        "", "How the policy is reached; empty: as its description says.", read_only=True
    )


class Inference(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("inference", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Read the descriptions and begin to connect."""
        params = self.parameters.declare(InferenceParams).value
        robot = load_robot_spec(config_file("robots", params.robot))
        policy = load_policy_spec(config_file("policies", params.policy))
        policy.check_against(robot)
        self._policy = policy.name
        backend = backend_class(params.backend or policy.backend)
        group: ParameterGroup[Any] = self.parameters.declare(backend.Config, prefix="backend.")
        self._count_lock = threading.Lock()
        self._inferences_ms = PercentileWindow(_INFERENCES)
        self._chunk_count = self._failure_count = 0
        self._trouble: Failure | None = None
        self._chunks = self.publisher(undo, ActionChunkMsg, "action_chunk", EVENT)
        self._failures = self.publisher(undo, RequestFailure, "request_failure", EVENT)
        self._worker = self._make_worker(backend, group, robot, policy)
        undo.callback(group.listen(lambda _: self._worker.renew()))
        undo.callback(self._stop_worker)
        self._worker.start()
        if not self._worker.check(_FIRST_CONNECTION_S):
            self.get_logger().warning("the policy cannot be reached yet; trying on")
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Take observations."""
        self.subscribe(undo, Observation, "observation", self._worker.offer, NEWEST)

    def _make_worker(
        self,
        backend: type[PolicyBackend],
        group: ParameterGroup[Any],
        robot: RobotSpec,
        policy: PolicySpec,
    ) -> InferenceWorker:
        return InferenceWorker(
            lambda: new_backend(
                backend, group.value, robot=robot, policy=policy, now_ns=self._now_ns
            ),
            robot,
            WorkerCallbacks(self._on_chunk, self._on_failure, self._on_trouble),
            now_ns=self._now_ns,
            guard=self.fatal("the inference thread"),
        )

    def _stop_worker(self) -> None:
        if not self._worker.stop():
            self.get_logger().warning("the backend is still busy; leaving it behind")

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    def _on_chunk(self, chunk: ActionChunk) -> None:
        self._chunks.publish(chunk_to_message(chunk, self._policy))
        with self._count_lock:
            self._chunk_count += 1
            self._inferences_ms.add((chunk.timing.received_ns - chunk.timing.sent_ns) * 1e-6)

    def _on_failure(self, message: Observation, failure: Failure) -> None:
        request = message.request
        self._failures.publish(
            failure_to_message(request, failure.reason, failure.detail, self._now_ns())
        )
        with self._count_lock:
            self._failure_count += 1
        text = f"no chunk for request {request.request_id}: {failure.reason}: {failure.detail}"
        self.get_logger().warning(text, throttle_duration_sec=_LOG_EVERY_S)

    def _on_trouble(self, trouble: Failure | None) -> None:
        if trouble is None and self._worker.info is not None:
            text = f"connected: {self._worker.info.description}"
            self.get_logger().info(text, throttle_duration_sec=_LOG_EVERY_S)
        elif trouble is not None and self._trouble is None:
            text = f"{trouble.reason}: {trouble.detail}"
            self.get_logger().warning(text, throttle_duration_sec=_LOG_EVERY_S)
        self._trouble = trouble

    def _statuses(self) -> Iterator[Status]:
        trouble, info = self._trouble, self._worker.info
        with self._count_lock:
            values = {
                "chunks": str(self._chunk_count),
                "failures": str(self._failure_count),
                "inference_ms_p50": f"{self._inferences_ms.percentile(50.0):.1f}",
                "inference_ms_p95": f"{self._inferences_ms.percentile(95.0):.1f}",
            }
        if trouble is not None:
            message = f"{trouble.reason}: {trouble.detail}"
        else:
            message = "connecting" if info is None else f"connected: {info.description}"
            if self._worker.in_use:
                values["server"] = self._worker.in_use
        connected = trouble is None and info is not None
        yield Status("policy", Level.OK if connected else Level.ERROR, message, values)


def main() -> int:
    """Run the node."""
    return run(Inference)


if __name__ == "__main__":
    sys.exit(main())
