# SPDX-License-Identifier: Apache-2.0
"""How others execute chunks, modelled step by step after their sources.

They count steps of the policy, so each has a loop at the policy's rate. Between two of its actions
commands are interpolated linearly, which is what LeRobot's newest client does and in favour of all
of them. None of them has limits, and none is given any.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_status import Command, Hold, Measured, Move
from vla_ros.core.hold_reasons import STARTING, STARVED, WAITING
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.request_scheduler import Failure
from vla_ros.core.robot_spec import RobotSpec

Doubles = NDArray[np.float64]


class StepPlayer:
    """A loop at the policy's rate, and what lies between two of its actions."""

    def __init__(self, robot: RobotSpec, policy: PolicySpec) -> None:
        names = robot.command_names
        self._names = policy.action_names
        self._columns = np.array([names.index(name) for name in policy.action_names])
        self._switched = robot.switched[self._columns]
        self._step_ns = policy.step_ns
        self._next_ns: int | None = None
        self._from: Doubles | None = None
        self._to: Doubles | None = None
        self._pose: Doubles | None = None
        self._requests = 0
        self._wish = False
        self._began = False

    def start(self) -> None:
        """Nothing has to be prepared."""

    def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
        """None of them hears of failures."""

    def update(self, now_ns: int, measured: Measured | None) -> Command:
        """The command of this tick."""
        if measured is not None:
            self._pose = measured.values if self._pose is None else self._pose
        if self._pose is None:
            return Hold(STARTING, None)
        if self._next_ns is None:
            self._next_ns = now_ns
        while now_ns >= self._next_ns:
            action = self.step(now_ns)
            if action is not None:
                self._from, self._to = action if self._to is None else self._to, action
            else:
                self._from = self._to
            self._next_ns += self._step_ns
        if self._from is None or self._to is None:
            return Hold(STARTING, self._pose)
        share = 1.0 - (self._next_ns - now_ns) / self._step_ns
        between = self._from + share * (self._to - self._from)
        command = self._pose.copy()
        command[self._columns] = np.where(self._switched, self._to, between)
        self._pose = command
        return Move(command) if self.idle() == "" else Hold(self.idle(), command)

    def poll_request(self, now_ns: int) -> ObservationRequest | None:
        """The observation that the policy begins to work on now, if any."""
        if not self._wish:
            return None
        self._wish = False
        self._requests += 1
        return ObservationRequest(self._requests, 0, now_ns, must_go=False)

    def step(self, now_ns: int) -> Doubles | None:
        """(d,) The next action; None: stay."""
        raise NotImplementedError

    def idle(self) -> str:
        """Why nothing is played; empty: something is."""
        raise NotImplementedError


class LeRobotClient(StepPlayer):
    """LeRobot's asynchronous client and server (async_inference, 0.4).

    Steps have numbers. An observation carries that of the action executed last; the chunk's actions
    are numbered from there, those not newer than the last executed one are thrown away, and those
    that are queued already are aggregated. The queue is replaced, so that older actions beyond the
    chunk vanish. Below the threshold the client sends an observation each step; the server keeps
    the newest and works on one at a time. It drops one, unless the client must go, whose joints are
    within 1 (a degree, as its robots are calibrated) of the last one that it worked on.
    """

    def __init__(
        self,
        robot: RobotSpec,
        policy: PolicySpec,
        *,
        old_share: float,
        threshold: float = 0.5,
        actions_per_chunk: int = 50,
    ) -> None:
        super().__init__(robot, policy)
        self._old_share = old_share
        self._threshold = threshold
        self._count = actions_per_chunk
        self._queue: dict[int, Doubles] = {}
        self._latest = -1
        self._longest = -1
        self._must_go = True
        self._numbers: dict[int, int] = {}
        self._busy = False
        self._seen: Doubles | None = None
        self._state: Doubles | None = None
        self._predicted: set[int] = set()
        self._idle = STARTING
        self.sent = 0

    def update(self, now_ns: int, measured: Measured | None) -> Command:
        """The command of this tick."""
        if measured is not None:
            self._state = measured.values
        return super().update(now_ns, measured)

    def step(self, now_ns: int) -> Doubles | None:
        """Pop an action, and send an observation if the queue is low."""
        action = None
        if self._queue:
            self._latest = min(self._queue)
            action = self._queue.pop(self._latest)
        if action is not None:
            self._idle = ""
        elif self._began:
            self._idle = STARVED
        if len(self._queue) / max(self._longest, 1) <= self._threshold:
            self._send()
        return action

    def _send(self) -> None:
        self.sent += 1
        number, must_go = max(self._latest, 0), self._must_go and not self._queue
        if must_go:
            self._must_go = False
        if self._busy or not (must_go or self._differs(number)):
            # What a busy server is sent waits in its one slot, and is replaced at the next step.
            self._must_go = self._must_go or must_go
            return
        self._busy, self._wish, self._seen = True, True, self._state
        self._predicted.add(number)
        self._numbers[self._requests + 1] = number

    def _differs(self, number: int) -> bool:
        if self._seen is None or self._state is None:
            return True
        apart_degrees = np.degrees(np.linalg.norm(self._state - self._seen))
        return number not in self._predicted and bool(apart_degrees >= 1.0)

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Put a chunk into the queue."""
        self._busy, self._must_go, self._began = False, True, True
        first = self._numbers[chunk.request_id]
        self._longest = max(self._longest, min(self._count, chunk.horizon))
        joined = {}
        for index in range(min(self._count, chunk.horizon)):
            number, new = first + index, chunk.actions[index]
            if number <= self._latest:
                continue
            old = self._queue.get(number)
            share = 0.0 if old is None else self._old_share
            joined[number] = new if old is None else share * old + (1.0 - share) * new
        self._queue = joined

    def idle(self) -> str:
        """Why nothing is played."""
        return self._idle


class Broker(StepPlayer):
    """openpi's ActionChunkBroker: play so many actions of a chunk, then ask and wait."""

    def __init__(self, robot: RobotSpec, policy: PolicySpec, *, play: int) -> None:
        super().__init__(robot, policy)
        self._play = play
        self._left: deque[Doubles] = deque()
        self._asked = False

    def step(self, now_ns: int) -> Doubles | None:
        """Play an action, or wait for the next chunk."""
        if self._left:
            return self._left.popleft()
        if not self._asked:
            self._asked = self._wish = True
        return None

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Play this from the beginning."""
        self._began, self._asked = True, False
        self._left = deque(chunk.actions[: self._play])

    def idle(self) -> str:
        """Why nothing is played."""
        if self._left:
            return ""
        return WAITING if self._began else STARTING


class Ensemble(StepPlayer):
    """ACT's loop with temporal ensembling: ask at each step, wait, play the weighted mean.

    Weights are exp(-0.01 i) with i from the oldest prediction of the step on. As in its evaluation
    the robot waits for each answer, so that latency stretches every step.
    """

    def __init__(self, robot: RobotSpec, policy: PolicySpec) -> None:
        super().__init__(robot, policy)
        self._step = 0
        self._chunks: deque[tuple[int, Doubles]] = deque(maxlen=policy.horizon)
        self._action: Doubles | None = None
        self._asked = False

    def step(self, now_ns: int) -> Doubles | None:
        """Play what was waited for, and ask for the next one."""
        action, self._action = self._action, None
        if not self._asked:
            self._asked = self._wish = True
        return action

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Ensemble over all chunks that predict this step."""
        self._began, self._asked = True, False
        self._chunks.append((self._step, chunk.actions))
        told = [
            actions[self._step - begun]
            for begun, actions in self._chunks
            if self._step - begun < len(actions)
        ]
        weights = np.exp(-0.01 * np.arange(len(told)))
        self._action = weights @ np.array(told) / weights.sum()
        self._step += 1

    def idle(self) -> str:
        """Why nothing is played."""
        return "" if self._began else STARTING


class FromTheStart(StepPlayer):
    """Asynchronous without alignment: each new chunk is played from its first action."""

    def __init__(self, robot: RobotSpec, policy: PolicySpec, *, ask_at: int) -> None:
        super().__init__(robot, policy)
        self._ask_at = ask_at
        self._left: deque[Doubles] = deque()
        self._asked = False

    def step(self, now_ns: int) -> Doubles | None:
        """Play an action, and ask when so many are left."""
        if len(self._left) <= self._ask_at and not self._asked:
            self._asked = self._wish = True
        return self._left.popleft() if self._left else None

    def offer(self, chunk: ActionChunk, now_ns: int) -> None:
        """Play this instead, from the beginning."""
        self._began, self._asked = True, False
        self._left = deque(chunk.actions)

    def idle(self) -> str:
        """Why nothing is played."""
        if self._left:
            return ""
        return STARVED if self._began else STARTING
