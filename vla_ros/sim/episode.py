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
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, BackendError, ObservationError
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import ExecutorStatus, Measured
from vla_ros.core.hold_reasons import POLICY_ERROR
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.synchronizer import SyncedSample, Synchronizer
from vla_ros.sim.judge import TaskState
from vla_ros.sim.world import World

Postures = Synchronizer[NDArray[np.float64]]

_START_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Timing:
    """How the loop is timed, in simulated time.

    Attributes:
        state_rate_hz: Joint states per second.
        camera_rate_hz: Images per second.
        latency_s: From an observation request to its chunk.
        latency_jitter_s: How far that varies to both sides, evenly.
        max_duration_s: An episode that is not done by then is over.
    """

    state_rate_hz: float = 100.0
    camera_rate_hz: float = 30.0
    latency_s: float = 0.0
    latency_jitter_s: float = 0.0
    max_duration_s: float = 20.0


@dataclass(frozen=True, slots=True)
class EpisodeResult:
    """What came of an episode.

    Attributes:
        seed: Of its world.
        instruction: What was asked.
        task: The judge's last word.
        duration_s: Simulated time until then.
        status: The executor's last word.
        inference_s: (N,) Real time that each chunk took to infer.
        error: The policy's last error in words; empty if there was none.
    """

    seed: int
    instruction: str
    task: TaskState
    duration_s: float
    status: ExecutorStatus
    inference_s: tuple[float, ...]
    error: str


@dataclass(slots=True)
class _Timer:
    """Says when something is due that happens at a rate."""

    rate_hz: float
    count: int = 0

    def due(self, time_s: float) -> bool:
        if time_s * self.rate_hz < self.count - 1e-6:
            return False
        self.count += 1
        return True


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
        watch: Callable[[World], None] | None = None,
    ) -> None:
        """Make an executor that knows nothing yet.

        Args:
            world: The simulated world.
            backend: The policy, connected.
            params: The executor's parameters.
            timing: How the loop is timed.
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
        self._executor = ActionExecutor(self._robot, backend.policy, params)
        self._synchronizer: Postures = Synchronizer(self._robot)
        self._in_flight: list[_InFlight] = []
        self._inference_s: list[float] = []
        self._error = ""

    def run(self, seed: int, instruction: str | None = None) -> EpisodeResult:
        """Run until the task is done, can no longer be done, or time is over.

        Raises:
            ConfigError: The instruction names no cube, or the seed is negative.
            BackendError: The policy could not be reset.
        """
        world, timing = self._world, self._timing
        asked = world.reset(seed, instruction)
        jitter = random.Random(seed)
        self._backend.reset()
        self._executor.start()
        states, images = _Timer(timing.state_rate_hz), _Timer(timing.camera_rate_hz)
        ticks = _Timer(self._control_rate_hz)
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
            status=self._executor.status(now_ns),
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
        if command.positions is not None:
            self._world.set_targets(command.positions)
        request = self._executor.poll_request(now_ns)
        if request is not None:
            late_s = self._timing.latency_jitter_s * jitter.uniform(-1.0, 1.0)
            latency_s = max(self._timing.latency_s + late_s, 0.0)
            self._in_flight.append(
                _InFlight(now_ns + round(latency_s * 1e9), self._ask(request, now_ns))
            )
        if self._watch is not None:
            self._watch(self._world)

    def _ask(self, request: ObservationRequest, now_ns: int) -> Callable[[int], None]:
        """Ask the policy; what comes back is called with the time of its arrival."""
        try:
            observation = self._observe(request, now_ns)
            begun_s = time.perf_counter()
            chunk = self._backend.infer(observation)
            self._inference_s.append(time.perf_counter() - begun_s)
        except (ObservationError, BackendError) as error:
            reason = error.reason if isinstance(error, ObservationError) else POLICY_ERROR
            self._error = str(error)
            failure = Failure(reason, self._error)
            return lambda at_ns: self._executor.fail(
                request.request_id, request.epoch, failure, at_ns
            )
        return lambda at_ns: self._offer(chunk, at_ns)

    def _observe(self, request: ObservationRequest, now_ns: int) -> Observation:
        """What the cameras saw, rendered only now that it is asked for."""
        sample: SyncedSample[NDArray[np.float64]] = self._synchronizer.sample(now_ns)
        return Observation(
            stamp_ns=sample.stamp_ns,
            instruction=self._world.instruction,
            images={
                camera: self._world.render(camera, posture)
                for camera, (_, posture) in sample.images.items()
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
