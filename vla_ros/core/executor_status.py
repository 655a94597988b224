# SPDX-License-Identifier: Apache-2.0
"""What the executor says of itself: commands tick by tick, and a status to show. Immutable."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Measured:
    """Where the robot is.

    Attributes:
        values: (D,) In the robot's ``command_names`` order.
        age_s: Time since it was received, on the steady clock.
    """

    values: NDArray[np.float64]
    age_s: float


@dataclass(frozen=True, slots=True)
class Move:
    """A command that follows the policy.

    Attributes:
        positions: (D,) In the robot's ``command_names`` order.
    """

    positions: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hold:
    """The robot holds where it is, for a named reason.

    Attributes:
        reason: Why, for machines.
        positions: (D,) Where; None if it was never known, and nothing must be published.
    """

    reason: str
    positions: NDArray[np.float64] | None


Command = Move | Hold


@dataclass(frozen=True, slots=True)
class ExecutorStatus:
    """The executor at a moment.

    Attributes:
        mode: ``idle`` before the first command, ``move``, ``hold`` or ``stopped``.
        hold_reason: Why it holds; empty while it moves.
        detail: The same in words, from where it happened.
        epoch: The present epoch.
        last_request_id: The newest request.
        last_chunk_id: The request of the chunk in effect; 0 before the first.
        remaining_steps: What is left in the queue, in steps of the policy.
        remaining_s: The same as a duration.
        asks_at_steps: With how many steps left an observation is asked for.
        queue_fraction: ``remaining_steps / actions_per_chunk``.
        speed: How fast the plan is executed now, 0 to 1.
        executed_steps: Actions executed so far.
        ticks: Updates so far.
        starved_ticks: Ticks of this run with an empty queue after a chunk had come.
        hold_ticks: Reason to ticks.
        observations_requested: Requests made.
        requests_repeated: How many of them because an answer took too long.
        requests_failed: Requests that came to nothing.
        chunks_received: Chunks joined.
        chunks_dropped: Why chunks were refused to how many.
        since_request_s: Time since the last request; NaN before the first.
        since_chunk_s: Time since the last chunk was joined; NaN before the first.
        latency_p50_s: Time from a request to its answer; NaN until enough are known.
        latency_p95_s: The same, 95th percentile.
        chunk_s: How long a fresh chunk lasts.
        latency_budget_s: How long an answer may take before the queue is empty; inf if it waits.
        command: (D,) The last command; None before the first.
        measured: (D,) The last measured pose; None before the first.
        clipped: (D,) Ticks in which a limit changed the command.
        clipped_by_max: (D,) By how much at most.
    """

    mode: str
    hold_reason: str
    detail: str
    epoch: int
    last_request_id: int
    last_chunk_id: int
    remaining_steps: float
    remaining_s: float
    asks_at_steps: float
    queue_fraction: float
    speed: float
    executed_steps: float
    ticks: int
    starved_ticks: int
    hold_ticks: dict[str, int]
    observations_requested: int
    requests_repeated: int
    requests_failed: int
    chunks_received: int
    chunks_dropped: dict[str, int]
    since_request_s: float
    since_chunk_s: float
    latency_p50_s: float
    latency_p95_s: float
    chunk_s: float
    latency_budget_s: float
    command: NDArray[np.float64] | None
    measured: NDArray[np.float64] | None
    clipped: NDArray[np.uint64]
    clipped_by_max: NDArray[np.float64]

    @property
    def state(self) -> str:
        """Mode and reason of the hold in one word or two."""
        return f"{self.mode}: {self.hold_reason}" if self.hold_reason else self.mode
