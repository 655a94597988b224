# SPDX-License-Identifier: Apache-2.0
"""One episode of the whole loop without ROS, in simulated time.

The same synchronizer, executor and backend as on a robot, driven by one loop: deterministic, and as
fast as the machine allows. The policy thinks in no simulated time at all; its latency is added, and
the arm moves meanwhile. One thread. Simulated nanoseconds begin at one second, because a zero stamp
reads as unknown.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, BackendError, ObservationError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, Hold, Measured
from vla_ros.core.hold_reasons import POLICY_ERROR
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.past_frames import camera_of
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.synchronizer import SyncedSample, Synchronizer
from vla_ros.filters.registry import make_filter
from vla_ros.sim.judge import TaskState
from vla_ros.sim.timing import Timer, Timing
from vla_ros.sim.world import World

Postures = Synchronizer[NDArray[np.float64]]

_START_NS = 1_000_000_000


class ChunkExecutor(Protocol):
    """What an episode needs of whatever executes its chunks; see ``ActionExecutor``."""

    def start(self) -> None:
        """Move from now on."""

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Take a chunk, or raise ActionError."""

    def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
        """A request came to nothing."""

    def update(self, now_ns: int, measured: Measured | None) -> Command:
        """The command of this tick."""

    def poll_request(self, now_ns: int) -> ObservationRequest | None:
        """The observation to ask for now, if any."""


@dataclass(slots=True)
class EpisodeCounts:
    """What is counted in an episode.

    Attributes:
        requested: Observations asked for.
        received: Chunks taken.
        dropped: Chunks refused.
        failed: Requests that ended in a failure.
        hold_ticks: Reason of a hold to ticks.
    """

    requested: int = 0
    received: int = 0
    dropped: int = 0
    failed: int = 0
    hold_ticks: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What came of an episode.

    Attributes:
        seed: Of its world.
        instruction: What was asked.
        task: The judge's last word.
        duration_s: Simulated time until then.
        counts: What was counted.
        inference_s: (N,) Real time that each chunk took to infer.
        error: The policy's last error in words; empty if there was none.
    """

    seed: int
    instruction: str
    task: TaskState
    duration_s: float
    counts: EpisodeCounts
    inference_s: tuple[float, ...]
    error: str


@dataclass(frozen=True, slots=True, eq=False)
class Tick:
    """One control tick, for whoever films or measures.

    Attributes:
        world: As it is now.
        now_ns: Now, in simulated time.
        command: What was commanded.
        measured: (D,) Where the robot is.
        requested: The observation asked for in this tick, if any.
        joined: The chunks taken in this tick.
        in_flight: Whether an answer is under way.
    """

    world: World
    now_ns: int
    command: Command
    measured: NDArray[np.float64]
    requested: ObservationRequest | None
    joined: tuple[ActionChunk, ...]
    in_flight: bool


@dataclass(slots=True)
class _InFlight:
    """An answer on its way: what to do when it arrives."""

    arrival_ns: int
    deliver: Callable[[int], None] = field(repr=False)


class Episode:
    """Runs one episode."""

    def __init__(
        self,
        world: World,
        backend: PolicyBackend,
        *,
        params: ExecutorParams,
        timing: Timing,
        executor: ChunkExecutor | None = None,
        watch: Callable[[Tick], None] | None = None,
    ) -> None:
        """Make an executor that knows nothing yet.

        Args:
            world: The simulated world.
            backend: The policy, connected.
            params: The executor's parameters.
            timing: How the loop is timed.
            executor: Executes the chunks instead of one with these parameters, to compare it.
            watch: Called after each control tick, to film or to measure.

        Raises:
            ConfigError: The policy does not fit the robot.
        """
        self._world = world
        self._backend = backend
        self._robot: RobotSpec = backend.robot
        self._timing = timing
        self._watch = watch
        self._control_rate_hz = params.control_rate_hz
        self._executor = executor or ActionExecutor(
            self._robot, backend.policy, params, make_filter=make_filter
        )
        self._synchronizer: Postures = Synchronizer(self._robot, backend.policy.past_frames)
        self._in_flight: list[_InFlight] = []
        self._joined: list[ActionChunk] = []
        self._counts = EpisodeCounts()
        self._inference_s: list[float] = []
        self._error = ""

    def run(self, seed: int, instruction: str | None = None) -> EpisodeResult:
        """Run until the task is done, can no longer be done, or time is over.

        Raises:
            ConfigError: The instruction names no object, or the seed is negative.
            BackendError: The policy could not be reset.
        """
        world, timing = self._world, self._timing
        asked = world.reset(seed, instruction)
        jitter = random.Random(seed)
        self._backend.reset()
        self._executor.start()
        states, images = Timer(timing.state_rate_hz), Timer(timing.camera_rate_hz)
        ticks = Timer(self._control_rate_hz)
        task, now_ns, steps = world.task_state(), _START_NS, 0
        while not (task.success or task.failed) and world.time_s < timing.max_duration_s:
            now_ns = _START_NS + round(world.time_s * 1e9)
            if states.due(world.time_s):
                self._measure(now_ns)
            if images.due(world.time_s):
                for camera in self._robot.cameras:
                    self._synchronizer.push_image(camera, now_ns, world.posture())
            if ticks.due(world.time_s):
                self._tick(now_ns, jitter)
            steps += 1
            world.advance(steps * world.timestep_s)
            task = world.task_state()
        return EpisodeResult(
            seed=seed,
            instruction=asked,
            task=task,
            duration_s=world.time_s,
            counts=self._counts,
            inference_s=tuple(self._inference_s),
            error=self._error,
        )

    def _measure(self, now_ns: int) -> None:
        for name, stream in self._robot.state_streams.items():
            self._synchronizer.push_state(name, now_ns, self._world.state(stream.interfaces))

    def _tick(self, now_ns: int, jitter: random.Random) -> None:
        """What a robot's nodes do in a control tick, one after the other."""
        arrived = [answer for answer in self._in_flight if answer.arrival_ns <= now_ns]
        self._in_flight = [answer for answer in self._in_flight if answer.arrival_ns > now_ns]
        for answer in arrived:
            answer.deliver(now_ns)
        measured = Measured(self._world.state(self._robot.command_names), age_s=0.0)
        command = self._executor.update(now_ns, measured)
        if isinstance(command, Hold):
            self._counts.hold_ticks[command.reason] += 1
        if command.positions is not None:
            self._world.set_targets(command.positions)
        request = self._executor.poll_request(now_ns)
        if request is not None:
            self._counts.requested += 1
            latency_s = self._timing.draw_latency_s(jitter)
            deliver = self._ask(request, now_ns)
            if latency_s < inf:
                self._in_flight.append(_InFlight(now_ns + round(latency_s * 1e9), deliver))
        joined, self._joined = tuple(self._joined), []
        if self._watch is not None:
            flying = bool(self._in_flight)
            self._watch(
                Tick(self._world, now_ns, command, measured.values, request, joined, flying)
            )

    def _ask(self, request: ObservationRequest, now_ns: int) -> Callable[[int], None]:
        """Ask the policy; what comes back is called with the time of its arrival."""
        try:
            observation = self._observe(request, now_ns)
            begun_s = time.perf_counter()
            chunk = self._backend.infer(observation, observation.prefix)
            self._inference_s.append(time.perf_counter() - begun_s)
        except (ObservationError, BackendError) as error:
            reason = error.reason if isinstance(error, ObservationError) else POLICY_ERROR
            self._error = str(error)
            failure = Failure(reason, self._error)
            return lambda at_ns: self._fail(request, failure, at_ns)
        return lambda at_ns: self._offer(chunk, at_ns)

    def _fail(self, request: ObservationRequest, failure: Failure, now_ns: int) -> None:
        self._counts.failed += 1
        self._executor.fail(request.request_id, request.epoch, failure, now_ns)

    def _observe(self, request: ObservationRequest, now_ns: int) -> Observation:
        """What the cameras saw, rendered only now that it is asked for."""
        sample: SyncedSample[NDArray[np.float64]] = self._synchronizer.sample(now_ns)
        return Observation(
            stamp_ns=sample.stamp_ns,
            instruction=self._world.instruction,
            images={
                frame: self._world.render(camera_of(frame), posture)
                for frame, (_, posture) in sample.images.items()
            },
            state_names=sample.state_names,
            state=sample.state,
            request=request,
        )

    def _offer(self, chunk: ActionChunk, now_ns: int) -> None:
        try:
            self._executor.offer(chunk, now_ns)
        except ActionError as error:
            self._error = str(error)
            self._counts.dropped += 1
        else:
            self._counts.received += 1
            self._joined.append(chunk)
