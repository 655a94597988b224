# SPDX-License-Identifier: Apache-2.0
"""The executor's state topic: its status, and how its ticks and requests fare.

The figures are windows over the last samples. One thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_status import ExecutorStatus
from vla_ros.core.latency import PercentileWindow
from vla_ros.ros.diagnostics import Level, Status
from vla_ros.ros.ring_messages import doubles
from vla_ros.ros.stamps import time_from_ns

_TICKS = 1000
_REQUESTS = 100
_MS = 1e-6


@dataclass(slots=True)
class ExecutorFigures:
    """What is measured around the executor, all in milliseconds.

    Attributes:
        tick_error: How late a tick runs after its deadline.
        request_to_chunk: From a request to its chunk in the queue.
        overhead: The same without the time between sent and received.
        command_overhead: From a request to the first command of its chunk, without the same.
        anchor_age: How old the observation's anchor was when it was requested.
    """

    tick_error: PercentileWindow = field(default_factory=partial(PercentileWindow, _TICKS))
    request_to_chunk: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))
    overhead: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))
    command_overhead: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))
    anchor_age: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))

    def joined(self, chunk: ActionChunk, now_ns: int) -> None:
        """A chunk was joined to the queue now."""
        timing = chunk.timing
        self.request_to_chunk.add((now_ns - timing.requested_ns) * _MS)
        self.overhead.add(overhead_ms(chunk, now_ns))
        self.anchor_age.add((timing.requested_ns - chunk.stamp_ns) * _MS)


def overhead_ms(chunk: ActionChunk, now_ns: int) -> float:
    """From a chunk's request until now, without the time that the policy server took."""
    timing = chunk.timing
    return (now_ns - timing.requested_ns - (timing.received_ns - timing.sent_ns)) * _MS


def timing_to_message(chunk: ActionChunk, *, joined_ns: int, commanded_ns: int) -> ChunkTiming:
    """When a chunk went round the ring.

    Args:
        chunk: The chunk.
        joined_ns: When it was in effect, on the ROS clock.
        commanded_ns: When its first command was published.
    """
    message = ChunkTiming(
        request_id=chunk.request_id,
        requested=time_from_ns(chunk.timing.requested_ns),
        sent=time_from_ns(chunk.timing.sent_ns),
        received=time_from_ns(chunk.timing.received_ns),
        joined=time_from_ns(joined_ns),
        commanded=time_from_ns(commanded_ns),
    )
    message.header.stamp = time_from_ns(chunk.stamp_ns)
    return message


def state_to_message(
    status: ExecutorStatus,
    names: tuple[str, ...],
    figures: ExecutorFigures,
    *,
    tick_errors_ms: Sequence[float],
    missed_ticks: int,
    now_ns: int,
) -> ExecutorState:
    """The state as it is published.

    Args:
        status: What the executor says.
        names: (D,) The robot's ``command_names``.
        figures: What was measured around it.
        tick_errors_ms: How late each tick was since the last message.
        missed_ticks: Ticks that were skipped.
        now_ns: Now, on the ROS clock.
    """
    message = ExecutorState(
        mode=status.mode,
        hold_reason=status.hold_reason,
        detail=status.detail,
        epoch=status.epoch,
        last_request_id=status.last_request_id,
        last_chunk_id=status.last_chunk_id,
        remaining_steps=status.remaining_steps,
        remaining_s=status.remaining_s,
        queue_fraction=status.queue_fraction,
        ticks=status.ticks,
        starved_ticks=status.starved_ticks,
        missed_ticks=missed_ticks,
        hold_reasons=list(status.hold_ticks),
        hold_ticks=list(status.hold_ticks.values()),
        observations_requested=status.observations_requested,
        chunks_received=status.chunks_received,
        chunks_dropped=status.chunks_dropped,
        requests_failed=status.requests_failed,
        names=list(names),
        clipped=[int(count) for count in status.clipped],
        clipped_by_max=doubles(status.clipped_by_max),
        tick_error_ms_p50=figures.tick_error.percentile(50.0),
        tick_error_ms_p99=figures.tick_error.percentile(99.0),
        tick_error_ms_max=figures.tick_error.maximum(),
        tick_errors_ms=list(tick_errors_ms),
        request_to_chunk_ms_p50=figures.request_to_chunk.percentile(50.0),
        request_to_chunk_ms_p95=figures.request_to_chunk.percentile(95.0),
        overhead_ms_p50=figures.overhead.percentile(50.0),
        overhead_ms_p99=figures.overhead.percentile(99.0),
        anchor_age_ms_p50=figures.anchor_age.percentile(50.0),
    )
    message.header.stamp = time_from_ns(now_ns)
    if status.command is not None:
        message.command = doubles(status.command)
    if status.measured is not None:
        message.measured = doubles(status.measured)
    return message


def execution_status(
    status: ExecutorStatus, names: tuple[str, ...], figures: ExecutorFigures, scheduling: str
) -> Status:
    """What the executor reports to /diagnostics; the arguments are as in ``state_to_message``."""
    clipped = zip(names, status.clipped, strict=True)
    return Status(
        "execution",
        Level.OK if status.mode == "move" else Level.WARN,
        f"{status.mode}: {status.hold_reason}" if status.hold_reason else status.mode,
        {
            "detail": status.detail,
            "starved_ticks": str(status.starved_ticks),
            "chunks_received": str(status.chunks_received),
            "chunks_dropped": str(status.chunks_dropped),
            "requests_failed": str(status.requests_failed),
            "request_to_chunk_ms_p50": f"{figures.request_to_chunk.percentile(50.0):.1f}",
            "overhead_to_command_ms_p50": f"{figures.command_overhead.percentile(50.0):.1f}",
            "tick_error_ms_p99": f"{figures.tick_error.percentile(99.0):.2f}",
            "scheduling": scheduling,
            "clipped_ticks": " ".join(f"{name}:{count}" for name, count in clipped if count),
        },
    )
