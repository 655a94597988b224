# SPDX-License-Identifier: Apache-2.0
"""What holds of the executor whatever happens.

Chunks come late, twice, out of order, of another epoch or never; ticks have any length; parameters
change; there are stops, starts, resets and stale states. Limits are measured from command to
command, with each tick's own length; after a start from the measured pose.
"""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from test.core.bench import HOME, NAMES, STEP, T0
from test.core.helpers import MS, policy, robot
from vla_ros.core import hold_reasons
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, Hold, Measured, Move
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.request_scheduler import Failure

REASONS = {value for name, value in vars(hold_reasons).items() if name.isupper()}
# Of a, w and g.
LOWER, UPPER = np.array([-1.0, -1.0, 0.0]), np.array([1.0, 1.0, 1.0])
VELOCITY, ACCELERATION = np.array([2.0, 2.0, 50.0]), np.array([20.0, 20.0, 5000.0])
# A tick that comes later than this after the last one finds the robot at rest.
LATE_NS = 100 * MS

CHANGES: list[dict[str, object]] = [
    {"scheduling": "async"},
    {"scheduling": "auto"},
    {"scheduling": "sync", "settle_s": 0.02, "execution_horizon": 3},
    {"aggregate_fn": "offset_decay", "aggregate_overrides": ()},
    {"aggregate_fn": "latest_only", "interpolation": "linear"},
    {"aggregate_fn": "temporal_ensemble", "interpolation": "cubic"},
    {"aggregate_fn": "crossfade", "blend_steps": 2.0},
    {"aggregate_fn": "conservative", "aggregate_overrides": ("a/position=offset_decay",)},
    {"smoothing_steps": 0.0, "blend_steps": 1.0},
    {"actions_per_chunk": 4, "chunk_size_threshold": 1.0},
    {"speed_scale": 0.0},
    {"speed_scale": 0.4},
    {"speed_scale": 1.0},
    {"position_margin": 0.1, "preserve_direction": True},
    {"max_relative_target": 0.05},
    {"max_relative_target": 0.0, "position_margin": 0.0},
    {"max_tracking_error": 0.02, "tracking_error_s": 0.05},
    {"max_tracking_error": 0.0, "soft_start_s": 0.0},
    {"soft_start_s": 0.3, "repeat_factor": 1.0, "request_timeout_s": 0.3},
]


class World:
    """An executor, an arm that follows with some lag, and a policy that answers as it likes.

    Every tick's command is checked. The hand's action says which action of which chunk it is: it is
    switched, so what is planned for it is an action and never between two.
    """

    def __init__(self) -> None:
        self.params = ExecutorParams(soft_start_s=0.1)
        self.executor = ActionExecutor(robot(), policy(), self.params)
        self.now = T0
        self.pose = HOME
        self.requests: list[ObservationRequest] = []
        self.chunks: list[ActionChunk] = []
        # What an action of the hand is: its epoch, and when it is due.
        self.actions: dict[float, tuple[int, int]] = {}
        self.executed: list[float] = []
        # The last command and its velocity; None: the next one begins from the measured pose.
        # Whether nothing was executed since the start.
        self.anew = True
        self.last: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def epoch(self) -> int:
        return self.executor.status(self.now).epoch

    def act(self, event: str, value: float) -> None:
        getattr(self, event)(value)

    def nothing(self, value: float) -> None:
        """Only time passes."""

    stale = nothing

    def answer(self, value: float) -> None:
        """One of the last requests is answered, not the last one in every case."""
        if self.requests:
            request = self.requests.pop(-1 if value > -1.0 else 0)
            age_ns = round(50 * MS * abs(value))
            self.offer(self.chunk(request.stamp_ns - age_ns, value, request=request))

    def again(self, value: float) -> None:
        """A chunk comes a second time."""
        if self.chunks:
            self.offer(self.chunks[-1 if value > 0.0 else 0])

    def unasked(self, value: float) -> None:
        """A chunk that answers nothing comes, perhaps of long ago or of another epoch."""
        old_ns = round(400 * MS * abs(value))
        self.offer(self.chunk(self.now - old_ns, value))

    def chunk(
        self, stamp: int, value: float, request: ObservationRequest | None = None
    ) -> ActionChunk:
        """A chunk of that many actions, to anywhere, inside the limits or not."""
        count = 1 + round(4.0 * abs(value))
        arm = value * np.cos(np.arange(count) + 10.0 * value)
        hand = abs(value) / 3.0 + 1e-6 * (20 * len(self.actions) + np.arange(count))
        epoch = self.epoch if request is None else request.epoch
        for index, action in enumerate(hand):
            self.actions[float(action)] = epoch, stamp + index * STEP
        return ActionChunk(
            stamp,
            STEP,
            NAMES,
            np.stack([arm, hand], axis=1),
            epoch=epoch,
            request_id=0 if request is None else request.request_id,
        )

    def offer(self, chunk: ActionChunk) -> None:
        self.chunks.append(chunk)
        with contextlib.suppress(ChunkRefused):
            self.executor.offer(chunk, self.now)

    def fail(self, value: float) -> None:
        if self.requests:
            request = self.requests.pop()
            failure = Failure(hold_reasons.POLICY_ERROR, "no")
            self.executor.fail(request.request_id, request.epoch, failure, self.now)

    def change(self, value: float) -> None:
        changes = CHANGES[round(1000.0 * abs(value)) % len(CHANGES)]
        self.params = dataclasses.replace(self.params, **changes)  # type: ignore[arg-type]
        self.executor.configure(self.params)

    def stop(self, value: float) -> None:
        self.executor.stop()

    def start(self, value: float) -> None:
        stopped = self.executor.status(self.now).mode in ("stopped", "idle")
        self.executor.start()
        if stopped:
            self.anew = True
            if self.last is None or np.all(np.abs(self.last[1]) < 1e-6):
                self.last = None

    def reset(self, value: float) -> None:
        self.executor.reset()

    def tick(self, length_ns: int, *, fresh: bool = True) -> Command:
        self.now += length_ns
        age_s = 0.0 if fresh else 1.0
        command = self.executor.update(self.now, Measured(self.pose, age_s))
        request = self.executor.poll_request(self.now)
        if request is not None:
            self.requests.append(request)
        if length_ns > LATE_NS:
            self.stalled()
        self.check(command, length_ns * 1e-9)
        if command.positions is not None:
            self.pose = self.pose + 0.7 * (command.positions - self.pose)
        return command

    def stalled(self) -> None:
        """The arm has come to rest; after a start somebody may have moved it."""
        if self.last is not None:
            self.last = None if self.anew else (self.last[0], np.zeros(3))

    def check(self, command: Command, dt_s: float) -> None:
        if isinstance(command, Hold):
            assert command.reason in REASONS
        else:
            self.anew = False
            self.check_executed()
        if command.positions is not None:
            self.check_limits(command.positions, dt_s)

    def check_limits(self, positions: np.ndarray, dt_s: float) -> None:
        assert np.isfinite(positions).all()
        assert np.all(positions >= LOWER - 1e-9)
        assert np.all(positions <= UPPER + 1e-9)
        position, velocity = self.last or (self.pose, np.zeros(3))
        if dt_s == 0.0 or dt_s > LATE_NS * 1e-9:
            assert np.all(positions == position)
            self.last = position, velocity
            return
        moved = (positions - position) / dt_s
        assert np.all(np.abs(moved) <= VELOCITY * (1.0 + 1e-6))
        assert np.all(np.abs(moved - velocity) <= ACCELERATION * dt_s * (1.0 + 1e-6))
        self.last = positions, moved

    def check_executed(self) -> None:
        planned = self.executor.planned(self.now)
        assert planned is not None
        action = float(planned[1])
        epoch, due_ns = self.actions[action]
        assert epoch == self.epoch
        assert due_ns <= self.now
        if not self.executed or self.executed[-1] != action:
            assert action not in self.executed
            self.executed.append(action)


EVENTS = (
    "nothing", "answer", "answer", "answer", "answer", "again", "unasked", "unasked", "fail",
    "change", "change", "stop", "start", "start", "start", "reset", "stale",
)  # fmt: skip
lengths_ns = st.one_of(
    st.integers(5 * MS, 60 * MS), st.sampled_from((0, LATE_NS + 1, 10 * LATE_NS))
)
script = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.floats(-3.0, 3.0), st.lists(lengths_ns, max_size=4)),
    min_size=10,
    max_size=40,
)


@settings(max_examples=100)
@given(script, st.lists(lengths_ns, min_size=60, max_size=60))
def test_whatever_happens(
    events: list[tuple[str, float, list[int]]], afterwards: list[int]
) -> None:
    """Commands stay within position, velocity and acceleration limits; no action is executed twice,
    before its time or in another epoch; each hold has a reason; after a stop it comes to rest."""
    world = World()
    world.executor.start()
    for event, value, ticks in events:
        world.act(event, value)
        for length_ns in (20 * MS, *ticks):
            world.tick(length_ns, fresh=event != "stale")
    world.stop(0.0)
    world.requests.clear()
    at_rest: list[np.ndarray] = []
    for index, length_ns in enumerate(afterwards):
        if world.chunks and index % 10 == 0:
            world.again(1.0)
        command = world.tick(length_ns)
        assert not isinstance(command, Move)
        assert not world.requests
        if command.positions is not None and index >= 40:
            at_rest.append(command.positions)
    if at_rest:
        assert np.max(np.ptp(at_rest, axis=0)) < 1e-6
