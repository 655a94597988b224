# SPDX-License-Identifier: Apache-2.0
"""The executor's control loop: a thread that asks the core for each tick's command, and sends it.

One lock guards the core. ``start`` and ``fall_silent`` belong to the thread that spins the node;
every other method may be called by any thread.
"""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, ExecutorStatus, Hold
from vla_ros.core.hold_reasons import DEACTIVATED, NOT_FOLLOWING, STOPPED
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.request_scheduler import Failure
from vla_ros.nodes.executor_report import ExecutorReport
from vla_ros.ros.joint_states import MeasuredPose
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.realtime import realtime_process
from vla_ros.ros.tick_thread import TickThread

# A robot that decelerates within its limits is at rest long before this.
_COME_TO_REST_S = 0.5
# A command that changes less than this in a tick is at rest [rad or m].
_REST = 1e-6


@dataclass(frozen=True, slots=True)
class Outlets:
    """Where the loop sends what it makes; called by the tick thread.

    Attributes:
        command: Takes (D,) positions and the control period [ns].
        request: Takes a request for an observation.
    """

    command: Callable[[NDArray[np.float64], int], None]
    request: Callable[[ObservationRequest], None]


class ControlLoop:
    """Ticks.

    Attributes:
        missed: Ticks that were skipped so far.
    """

    def __init__(
        self,
        node: LifecycleBase,
        core: ActionExecutor,
        pose: MeasuredPose,
        report: ExecutorReport,
        outlets: Outlets,
        *,
        realtime_priority: int,
    ) -> None:
        """Prepare; nothing ticks yet.

        Args:
            node: Has the clock, and ends when the thread fails.
            core: What decides.
            pose: Where the robot is.
            report: Is told of each tick.
            outlets: Where commands and requests go.
            realtime_priority: As of the node's parameter.
        """
        self._node = node
        self._core = core
        self._pose = pose
        self._report = report
        self._outlets = outlets
        self._priority = realtime_priority
        self._lock = threading.Lock()
        # A chunk whose first command is not out yet, and when it was joined.
        self._joined: tuple[ActionChunk, int] | None = None
        self._last: NDArray[np.float64] | None = None
        self._at_rest = threading.Event()
        self._ticks: TickThread | None = None
        self._missed_before = 0

    @property
    def running(self) -> bool:
        """Whether it ticks."""
        return self._ticks is not None

    @property
    def missed(self) -> int:
        """Ticks that were skipped so far."""
        return self._missed_before + (0 if self._ticks is None else self._ticks.missed)

    @property
    def scheduling(self) -> str:
        """How the thread is scheduled, in words; empty while it does not run."""
        return "" if self._ticks is None else self._ticks.scheduling

    def run(self, undo: contextlib.ExitStack) -> None:
        """Begin to tick.

        Args:
            undo: Takes how the loop is ended, with a hold as its last command.
        """
        guard = contextlib.ExitStack()
        guard.enter_context(self._node.fatal("the tick thread"))
        guard.enter_context(self._held_on_failure())
        self._at_rest.clear()
        self._ticks = TickThread(
            self._tick,
            period_ns=self._period_ns(),
            realtime_priority=self._priority,
            guard=guard,
        )
        # What is there now stays; the collector need not look at it in the middle of a tick.
        gc.collect()
        gc.freeze()
        undo.callback(gc.unfreeze)
        # One less than the tick thread, which the others must never keep from running.
        undo.enter_context(realtime_process(max(self._priority - 1, 0)))
        undo.callback(self._fall_silent, self._ticks)
        self._ticks.start()

    def _fall_silent(self, ticks: TickThread) -> None:
        """Hold as the last command."""
        self.come_to_rest(DEACTIVATED)
        ticks.stop()
        self._missed_before += ticks.missed
        self._ticks = None

    def come_to_rest(self, reason: str) -> None:
        """Stop: decelerate, and return when the hold is sent."""
        self._at_rest.clear()
        with self._lock:
            self._core.stop(reason)
        if self._ticks is not None and self._ticks.alive:
            self._at_rest.wait(_COME_TO_REST_S)

    def start(self) -> None:
        """Move from now on, if it was stopped."""
        with self._lock:
            self._core.start()

    def reset(self) -> int:
        """Begin a new epoch, and return it."""
        with self._lock:
            return self._core.reset()

    def configure(self, params: ExecutorParams) -> None:
        """Change parameters between two ticks.

        Raises:
            ConfigError: They do not fit; nothing has changed.
        """
        with self._lock:
            self._core.configure(params)
        if self._ticks is not None:
            self._ticks.set_period(self._period_ns())

    def offer(self, chunk: ActionChunk, now_ns: int) -> NDArray[np.float64] | None:
        """Join a chunk.

        Returns:
            (d,) What was going to be executed now; None: nothing.

        Raises:
            ChunkRefused: It is not for now.
        """
        with self._lock:
            planned = self._core.planned(now_ns)
            self._core.offer(chunk, now_ns)
            self._joined = chunk, now_ns
        return planned

    def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
        """A request came to nothing."""
        with self._lock:
            self._core.fail(request_id, epoch, failure, now_ns)

    def status(self, now_ns: int) -> ExecutorStatus:
        """The executor now."""
        with self._lock:
            return self._core.status(now_ns)

    def _period_ns(self) -> int:
        return round(1e9 / self._core.params.control_rate_hz)

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _tick(self, late_ns: int) -> None:
        measured = self._pose.read(time.monotonic_ns())
        with self._lock:
            # Read only now: a chunk may just be joined, and the command is sent when that is done.
            now_ns = self._now_ns()
            command = self._core.update(now_ns, measured)
            request = self._core.poll_request(now_ns)
            joined, self._joined = self._joined, None
            blend_s = self._core.blend_s
        self._command(command)
        if request is not None:
            self._outlets.request(request)
        self._report.ticked(late_ns)
        if joined is not None:
            chunk, joined_ns = joined
            self._report.commanded(
                chunk, joined_ns=joined_ns, now_ns=self._now_ns(), blend_s=blend_s
            )

    def _command(self, command: Command) -> None:
        """Send the command, except that a robot that is stopped and at rest is left alone.

        Its controllers keep their last command, and somebody else may take them over.
        """
        positions, last = command.positions, self._last
        stopped = isinstance(command, Hold) and command.reason in _LATCHED
        resting = stopped and (
            positions is None or last is None or np.allclose(positions, last, rtol=0.0, atol=_REST)
        )
        if positions is not None and not (resting and (last is None or self._at_rest.is_set())):
            self._send(positions)
        if resting:
            self._at_rest.set()

    def _send(self, positions: NDArray[np.float64]) -> None:
        self._last = positions
        self._outlets.command(positions, self._period_ns())

    @contextlib.contextmanager
    def _held_on_failure(self) -> Iterator[None]:
        """Where the tick thread fails, its last command holds."""
        ended = False
        try:
            yield
            ended = True
        finally:
            if not ended and self._last is not None:
                self._send(self._last)


# Holds that last until somebody starts the robot again.
_LATCHED = (STOPPED, DEACTIVATED, NOT_FOLLOWING)
