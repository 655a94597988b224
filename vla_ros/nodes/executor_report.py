# SPDX-License-Identifier: Apache-2.0
"""What the executor's node tells about itself: its state, each chunk's way, its diagnostics.

``ticked`` and ``commanded`` are called by the tick thread, everything else by the one that spins
the node. They share nothing but queues that need no lock.
"""

from __future__ import annotations

import contextlib
from collections import deque

from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import ExecutorStatus
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.summary import late_answers, summary
from vla_ros.ros.diagnostics import Status
from vla_ros.ros.executor_state import (
    ExecutorFigures,
    execution_status,
    overhead_ms,
    state_to_message,
    timing_to_message,
)
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT, LATCHED

# More ticks and chunks than there can be between two states.
_WAITING = 2000


class ExecutorReport:
    """Gathers figures and publishes them."""

    def __init__(self, node: LifecycleBase, undo: contextlib.ExitStack, robot: RobotSpec) -> None:
        """Make the publishers.

        Args:
            node: Publishes.
            undo: Takes how the publishers are undone.
            robot: Whose commands these are.
        """
        self._node = node
        self._names = robot.command_names
        self._quiet = False
        self._states = node.publisher(undo, ExecutorState, "~/state", LATCHED)
        self._timings = node.publisher(undo, ChunkTiming, "~/chunk_timing", EVENT)
        self._figures = ExecutorFigures()
        self._tick_errors_ms: deque[float] = deque(maxlen=_WAITING)
        self._command_overheads_ms: deque[float] = deque(maxlen=_WAITING)

    def ticked(self, late_ns: int) -> None:
        """A tick ran this late after its deadline."""
        self._tick_errors_ms.append(late_ns * 1e-6)

    def commanded(self, chunk: ActionChunk, *, joined_ns: int, now_ns: int, blend_s: float) -> None:
        """The first command of a chunk is out now, and its joining takes so long."""
        self._command_overheads_ms.append(overhead_ms(chunk, now_ns))
        self._timings.publish(
            timing_to_message(chunk, joined_ns=joined_ns, commanded_ns=now_ns, blend_s=blend_s)
        )

    def joined(self, chunk: ActionChunk, now_ns: int) -> None:
        """A chunk is in the queue now."""
        self._figures.joined(chunk, now_ns)

    def publish(self, status: ExecutorStatus, *, missed_ticks: int, now_ns: int) -> None:
        """Publish the state now."""
        tick_errors_ms = _taken(self._tick_errors_ms)
        for error_ms in tick_errors_ms:
            self._figures.tick_error.add(error_ms)
        for error_ms in _taken(self._command_overheads_ms):
            self._figures.command_overhead.add(error_ms)
        self._states.publish(
            state_to_message(
                status,
                self._names,
                self._figures,
                tick_errors_ms=tick_errors_ms,
                missed_ticks=missed_ticks,
                now_ns=now_ns,
            )
        )

    def summarize(self, status: ExecutorStatus, params: ExecutorParams) -> None:
        """Log one line, unless the robot goes on doing nothing; and what is set badly."""
        quiet, self._quiet = self._quiet, status.mode in ("idle", "stopped")
        if quiet and self._quiet:
            return
        log = self._node.get_logger()
        log.info(summary(status, self._names))
        warning = late_answers(params, status)
        if warning:
            log.warning(warning)

    def diagnostics(self, status: ExecutorStatus, scheduling: str) -> Status:
        """What goes to /diagnostics; ``scheduling`` says how the tick thread runs."""
        return execution_status(status, self._names, self._figures, scheduling)


def _taken(waiting: deque[float]) -> list[float]:
    """Everything that waits, which then waits no more."""
    return [waiting.popleft() for _ in range(len(waiting))]
