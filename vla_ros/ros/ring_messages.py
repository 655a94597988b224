# SPDX-License-Identifier: Apache-2.0
"""The ring's requests, chunks and failures between ROS and core. Pure; any thread may call."""

from __future__ import annotations

import array

import numpy as np
from numpy.typing import NDArray
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ObservationRequest as ObservationRequestMsg
from vla_ros_msgs.msg import RequestFailure

from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.observation import CommittedActions, ObservationRequest
from vla_ros.ros.stamps import duration_from_ns, ns_from_time, time_from_ns


def doubles(values: NDArray[np.float64]) -> array.array[float]:
    """An array as the type that rclpy takes without looking at each value."""
    return array.array("d", np.ascontiguousarray(values, dtype=np.float64).tobytes())


def request_to_message(request: ObservationRequest) -> ObservationRequestMsg:
    """A request as it goes round the ring."""
    message = ObservationRequestMsg(
        stamp=time_from_ns(request.stamp_ns),
        request_id=request.request_id,
        epoch=request.epoch,
        must_go=request.must_go,
    )
    if request.runs_out_ns is not None:
        message.runs_out = time_from_ns(request.runs_out_ns)
    committed = request.committed
    if committed is not None:
        message.names = list(committed.names)
        message.committed_length = len(committed.actions)
        message.committed = doubles(committed.actions)
        message.committed_stamp = time_from_ns(committed.stamp_ns)
        message.committed_step = duration_from_ns(committed.step_ns)
        message.inference_delay_s = committed.inference_delay_s
        message.execution_horizon = committed.execution_horizon
    return message


def request_from_message(message: ObservationRequestMsg) -> ObservationRequest:
    """A request that came round the ring.

    Raises:
        ConfigError: What is committed contradicts its names, length or step.
    """
    committed = None
    if message.committed_length > 0:
        shape = (int(message.committed_length), len(message.names))
        step_ns = ns_from_time(message.committed_step)
        if len(message.committed) != shape[0] * shape[1] or step_ns <= 0:
            raise ConfigError(
                f"request {message.request_id}: committed are {len(message.committed)} values,"
                f" {step_ns} ns apart; expected {shape[0]} steps of {shape[1]} interfaces"
            )
        committed = CommittedActions(
            names=tuple(message.names),
            stamp_ns=ns_from_time(message.committed_stamp),
            step_ns=step_ns,
            actions=np.array(message.committed, dtype=np.float64).reshape(shape),
            inference_delay_s=message.inference_delay_s,
            execution_horizon=message.execution_horizon,
        )
    return ObservationRequest(
        request_id=message.request_id,
        epoch=message.epoch,
        stamp_ns=ns_from_time(message.stamp),
        must_go=message.must_go,
        committed=committed,
        # Zero stands for a moment that nobody said.
        runs_out_ns=ns_from_time(message.runs_out) or None,
    )


def chunk_to_message(chunk: ActionChunk, policy: str) -> ActionChunkMsg:
    """A chunk as it goes round the ring.

    Args:
        chunk: The chunk, with its timing.
        policy: The name of the policy that made it.
    """
    timing = chunk.timing
    message = ActionChunkMsg(
        request_id=chunk.request_id,
        epoch=chunk.epoch,
        policy=policy,
        step=duration_from_ns(chunk.step_ns),
        names=list(chunk.names),
        horizon=chunk.horizon,
        actions=doubles(chunk.actions),
        requested=time_from_ns(timing.requested_ns),
        sent=time_from_ns(timing.sent_ns),
        received=time_from_ns(timing.received_ns),
        inference_s=(timing.received_ns - timing.sent_ns) * 1e-9,
    )
    message.header.stamp = time_from_ns(chunk.stamp_ns)
    return message


def chunk_from_message(message: ActionChunkMsg) -> ActionChunk:
    """A chunk that came round the ring.

    Raises:
        ActionError: It is malformed, not finite, or its size contradicts its names and horizon.
    """
    shape = (int(message.horizon), len(message.names))
    if len(message.actions) != shape[0] * shape[1]:
        raise ActionError(
            f"chunk of request {message.request_id}: {len(message.actions)} values, expected"
            f" {shape[0]} actions of {shape[1]} interfaces"
        )
    return ActionChunk(
        stamp_ns=ns_from_time(message.header.stamp),
        step_ns=ns_from_time(message.step),
        names=tuple(message.names),
        actions=np.array(message.actions, dtype=np.float64).reshape(shape),
        request_id=message.request_id,
        epoch=message.epoch,
        timing=ChunkTiming(
            requested_ns=ns_from_time(message.requested),
            sent_ns=ns_from_time(message.sent),
            received_ns=ns_from_time(message.received),
        ),
    )


def failure_to_message(
    request: ObservationRequestMsg, reason: str, detail: str, now_ns: int
) -> RequestFailure:
    """Tell the executor why a request gets no chunk.

    Args:
        request: The request.
        reason: One of the constants of RequestFailure.
        detail: The same in words.
        now_ns: Now, on the ROS clock.
    """
    message = RequestFailure(
        request_id=request.request_id, epoch=request.epoch, reason=reason, detail=detail
    )
    message.header.stamp = time_from_ns(now_ns)
    return message
