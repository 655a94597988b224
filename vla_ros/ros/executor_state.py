# SPDX-License-Identifier: Apache-2.0
"""The executor's state topic: its status, and how its ticks and requests fare.

The figures are windows over the last samples. One thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_status import ExecutorStatus
from vla_ros.core.latency import PercentileWindow
from vla_ros.ros.diagnostics import Level, Status
from vla_ros.ros.ring_messages import doubles
from vla_ros.ros.stamps import duration_from_ns, time_from_ns

_TICKS = 1000
_REQUESTS = 100
_MS = 1e-6
# What status and message call the same.
_ALIKE = (
    "mode",
    "hold_reason",
    "detail",
    "epoch",
    "last_request_id",
    "last_chunk_id",
    "remaining_steps",
    "remaining_s",
    "asks_at_steps",
    "queue_fraction",
    "speed",
    "executed_steps",
    "ticks",
    "starved_ticks",
    "observations_requested",
    "requests_repeated",
    "requests_failed",
    "chunks_received",
    "since_request_s",
    "since_chunk_s",
)


@dataclass(slots=True)
class ExecutorFigures:
    """What is measured around the executor, all in milliseconds.

    Attributes:
        tick_error: How late a tick runs after its deadline.
        overhead: From a request to its chunk in the queue, without the time from sent to received.
        command_overhead: From a request to the first command of its chunk, without the same.
        anchor_age: How old the observation's anchor was when it was requested.
    """

    tick_error: PercentileWindow = field(default_factory=partial(PercentileWindow, _TICKS))
    overhead: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))
    command_overhead: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))
    anchor_age: PercentileWindow = field(default_factory=partial(PercentileWindow, _REQUESTS))

    def joined(self, chunk: ActionChunk, now_ns: int) -> None:
        """A chunk was joined to the queue now."""
        timing = chunk.timing
        self.overhead.add(overhead_ms(chunk, now_ns))
        self.anchor_age.add((timing.requested_ns - chunk.stamp_ns) * _MS)


def overhead_ms(chunk: ActionChunk, now_ns: int) -> float:
    """From a chunk's request until now, without the time that the policy server took."""
    timing = chunk.timing
    return (now_ns - timing.requested_ns - (timing.received_ns - timing.sent_ns)) * _MS


def timing_to_message(
    chunk: ActionChunk, *, joined_ns: int, commanded_ns: int, blend_s: float
) -> ChunkTiming:
    """When a chunk went round the ring.

    Args:
        chunk: The chunk.
        joined_ns: When it was in effect, on the ROS clock.
        commanded_ns: When its first command was published.
        blend_s: How long its joining takes from then on.
    """
    message = ChunkTiming(
        request_id=chunk.request_id,
        requested=time_from_ns(chunk.timing.requested_ns),
        sent=time_from_ns(chunk.timing.sent_ns),
        received=time_from_ns(chunk.timing.received_ns),
        joined=time_from_ns(joined_ns),
        commanded=time_from_ns(commanded_ns),
        blend=duration_from_ns(round(blend_s * 1e9)),
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
        **{name: getattr(status, name) for name in _ALIKE},
        missed_ticks=missed_ticks,
        hold_reasons=list(status.hold_ticks),
        hold_ticks=list(status.hold_ticks.values()),
        chunks_dropped=sum(status.chunks_dropped.values()),
        drop_kinds=list(status.chunks_dropped),
        drop_counts=list(status.chunks_dropped.values()),
        names=list(names),
        clipped=[int(count) for count in status.clipped],
        clipped_by_max=doubles(status.clipped_by_max),
        tick_error_ms_p50=figures.tick_error.percentile(50.0),
        tick_error_ms_p99=figures.tick_error.percentile(99.0),
        tick_error_ms_max=figures.tick_error.maximum(),
        tick_errors_ms=list(tick_errors_ms),
        request_to_chunk_ms_p50=1e3 * status.latency_p50_s,
        request_to_chunk_ms_p95=1e3 * status.latency_p95_s,
        latency_budget_ms=1e3 * status.latency_budget_s,
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
        status.state,
        {
            "detail": status.detail,
            "starved_ticks": str(status.starved_ticks),
            "chunks_received": str(status.chunks_received),
            "chunks_dropped": _counts(status.chunks_dropped.items()),
            "requests_failed": str(status.requests_failed),
            "request_to_chunk_ms_p50": f"{1e3 * status.latency_p50_s:.1f}",
            "request_to_chunk_ms_p95": f"{1e3 * status.latency_p95_s:.1f}",
            "latency_budget_ms": f"{1e3 * status.latency_budget_s:.0f}",
            "overhead_to_command_ms_p50": f"{figures.command_overhead.percentile(50.0):.1f}",
            "tick_error_ms_p99": f"{figures.tick_error.percentile(99.0):.2f}",
            "scheduling": scheduling,
            "clipped_ticks": _counts(clipped),
        },
    )


def _counts(counted: Iterable[tuple[str, int]]) -> str:
    return " ".join(f"{name}:{count}" for name, count in counted if count)
