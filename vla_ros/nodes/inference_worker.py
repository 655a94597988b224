# SPDX-License-Identifier: Apache-2.0
"""The one thread that owns a backend.

The newest observation wins, one is in flight, and each gets exactly one answer: a chunk or a
failure. While the backend cannot be reached the thread tries again, with growing pauses, and
observations are refused at once. The callbacks are called in this thread or in the one that offers.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from vla_ros_msgs.msg import Observation as ObservationMsg

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    ObservationError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.core.hold_reasons import BAD_CHUNK, POLICY_ERROR, SERVER_SILENT, SERVER_UNAVAILABLE
from vla_ros.core.observation import Observation
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.ros.observations import observation_from_message

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
_JOIN_S = 1.0


@dataclass(frozen=True, slots=True)
class WorkerCallbacks:
    """Whom the worker tells, from any thread.

    Attributes:
        chunk: A chunk has come.
        failure: An observation gets no chunk, and why.
        trouble: The backend cannot be reached, and why; None: it can again.
    """

    chunk: Callable[[ActionChunk], None]
    failure: Callable[[ObservationMsg, Failure], None]
    trouble: Callable[[Failure | None], None]


class InferenceWorker:
    """Runs one backend in one thread."""

    def __init__(
        self,
        make_backend: Callable[[], PolicyBackend],
        robot: RobotSpec,
        callbacks: WorkerCallbacks,
        *,
        now_ns: Callable[[], int],
        guard: AbstractContextManager[object],
    ) -> None:
        """Prepare the thread; ``start`` lets it run.

        Args:
            make_backend: Called in the thread, at first and after ``renew``.
            robot: The body.
            callbacks: Whom to tell.
            now_ns: The ROS clock.
            guard: A context in which the thread runs, told of an exception that ends it.
        """
        self._make_backend = make_backend
        self._robot = robot
        self._callbacks = callbacks
        self._now_ns = now_ns
        self._guard = guard
        self._wake = threading.Condition()
        # Guarded by _wake.
        self._newest: ObservationMsg | None = None
        self._trouble: Failure | None = None
        self._stopping = False
        self._renewing = False
        # The thread's own.
        self._backend: PolicyBackend | None = None
        self._info: PolicyInfo | None = None
        self._epoch: int | None = None
        self._pause_s = FIRST_PAUSE_S
        self._retry_s = 0.0
        self._tried = threading.Event()
        self._refusal: ConfigError | None = None
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)

    @property
    def info(self) -> PolicyInfo | None:
        """What the policy said of itself; None while it cannot be reached."""
        return self._info

    @property
    def in_use(self) -> str:
        """Which of several policy servers is asked; empty: there are not several."""
        backend = self._backend
        return "" if backend is None else backend.in_use

    def start(self) -> None:
        """Let the thread run."""
        self._thread.start()

    def check(self, wait_s: float) -> bool:
        """Wait for the first attempt to connect.

        Args:
            wait_s: How long at most.

        Returns:
            Whether the policy was reached.

        Raises:
            ConfigError: The policy and the descriptions contradict each other.
        """
        self._tried.wait(wait_s)
        if self._refusal is not None:
            raise self._refusal
        return self._info is not None

    def stop(self) -> bool:
        """End the thread; whether it ended before its backend's own deadline was due."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(_JOIN_S)
        return not self._thread.is_alive()

    def renew(self) -> None:
        """Close the backend and make a new one, when what is in flight has come back."""
        with self._wake:
            self._renewing = True
            self._wake.notify()

    def offer(self, message: ObservationMsg) -> None:
        """Infer from this observation next, unless a newer one comes."""
        with self._wake:
            trouble = self._trouble
            passed_over = None
            if trouble is None:
                passed_over, self._newest = self._newest, message
                self._wake.notify()
        if trouble is not None:
            self._callbacks.failure(message, trouble)
        if passed_over is not None:
            text = "a newer observation came before this one's turn"
            self._callbacks.failure(passed_over, Failure(SERVER_SILENT, text))

    def _run(self) -> None:
        with self._guard:
            try:
                while not self._stopping:
                    self._turn()
            finally:
                self._close()

    def _turn(self) -> None:
        if self._renewing:
            self._renewing = False
            self._close()
            self._retry_s = 0.0
        if self._info is None and time.monotonic() >= self._retry_s:
            self._connect()
            self._tried.set()
        pause_s = None if self._info is not None else self._retry_s - time.monotonic()
        with self._wake:
            self._wake.wait_for(
                lambda: self._newest is not None or self._stopping or self._renewing, pause_s
            )
            message, self._newest = self._newest, None
        if message is not None and not self._stopping:
            self._infer(message)

    def _connect(self) -> None:
        try:
            if self._backend is None:
                self._backend = self._make_backend()
            self._info = self._backend.connect()
        except VlaRosError as error:
            if isinstance(error, ConfigError) and not self._tried.is_set():
                self._refusal = error
            self._set_trouble(Failure(_reason(error), str(error)))
            self._retry_s = time.monotonic() + self._pause_s
            self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)
            return
        self._pause_s = FIRST_PAUSE_S
        self._set_trouble(None)

    def _set_trouble(self, trouble: Failure | None) -> None:
        """What ``offer`` answers from now on, and what waits is answered too."""
        waiting = None
        with self._wake:
            self._trouble = trouble
            if trouble is not None:
                waiting, self._newest = self._newest, None
        self._callbacks.trouble(trouble)
        if waiting is not None and trouble is not None:
            self._callbacks.failure(waiting, trouble)

    def _infer(self, message: ObservationMsg) -> None:
        if self._backend is None:
            raise RuntimeError("an observation is taken only while there is a connection")
        try:
            observation = observation_from_message(message, self._robot)
            chunk = self._chunk(self._backend, observation)
        except VlaRosError as error:
            failure = Failure(_reason(error), str(error))
            if isinstance(error, (BackendUnavailable, WireFormatError)):
                self._info = None
                self._retry_s = 0.0
                self._set_trouble(failure)
            self._callbacks.failure(message, failure)
            return
        self._callbacks.chunk(chunk)

    def _chunk(self, backend: PolicyBackend, observation: Observation) -> ActionChunk:
        request = observation.request
        if request is None:
            raise RuntimeError("an observation of the ring carries its request")
        if request.epoch != self._epoch:
            backend.reset()
            self._epoch = request.epoch
        sent_ns = self._now_ns()
        chunk = backend.infer(observation, observation.prefix)
        received_ns = self._now_ns()
        timing = ChunkTiming(
            requested_ns=request.stamp_ns,
            sent_ns=chunk.timing.sent_ns or sent_ns,
            received_ns=chunk.timing.received_ns or received_ns,
        )
        return dataclasses.replace(
            chunk, request_id=request.request_id, epoch=request.epoch, timing=timing
        )

    def _close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = self._info = self._epoch = None


def _reason(error: VlaRosError) -> str:
    """What the executor's hold is named after."""
    if isinstance(error, ObservationError):
        return error.reason
    if isinstance(error, ActionError):
        return BAD_CHUNK
    if isinstance(error, BackendSilent):
        return SERVER_SILENT
    return SERVER_UNAVAILABLE if isinstance(error, BackendUnavailable) else POLICY_ERROR
