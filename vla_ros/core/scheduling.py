# SPDX-License-Identifier: Apache-2.0
"""When to ask for an observation, and how long its answer may take. Pure; any thread may call."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan

from vla_ros.core.executor_params import ExecutorParams


@dataclass(frozen=True, slots=True)
class Outlook:
    """What there is to decide from.

    Attributes:
        remaining_steps: Actions left.
        chunk_steps: Actions that a fresh chunk has.
        step_s: Time that an action takes at the present speed.
        latency_s: Time from a request to its answer, p95; NaN before the first answer.
        tick_s: Time between two ticks: what is decided takes effect with the next one.
        rested_s: How long the robot has been at rest; NaN: it moves.
    """

    remaining_steps: float
    chunk_steps: int
    step_s: float
    latency_s: float
    tick_s: float
    rested_s: float


def asks_at_steps(params: ExecutorParams, outlook: Outlook) -> float:
    """How many actions are left when it is time to ask."""
    if params.scheduling == "sync":
        return 0.0
    if params.scheduling == "auto" and not isnan(outlook.latency_s):
        return (outlook.latency_s + params.latency_margin_s + outlook.tick_s) / outlook.step_s
    return params.chunk_size_threshold * outlook.chunk_steps


def wants_observation(params: ExecutorParams, outlook: Outlook) -> bool:
    """Whether it is time to ask."""
    if params.scheduling == "sync" and not outlook.rested_s >= params.settle_s:
        return False
    return outlook.remaining_steps <= asks_at_steps(params, outlook)


def latency_budget_s(params: ExecutorParams, outlook: Outlook) -> float:
    """How long an answer may take before the queue is empty; inf where the robot waits for it.

    Never more than half of a chunk: with one request in flight the next one is made when a chunk
    has come, and what is then left of that chunk has to last until its answer.
    """
    if params.scheduling == "sync":
        return inf
    share = min(params.chunk_size_threshold, 0.5) if params.scheduling == "async" else 0.5
    return share * outlook.chunk_steps * outlook.step_s - outlook.tick_s


def execution_horizon(params: ExecutorParams, outlook: Outlook) -> int:
    """How many actions of a chunk are executed before the next one takes over; 0: unknown."""
    if params.scheduling == "async":
        return max(round((1.0 - params.chunk_size_threshold) * outlook.chunk_steps), 1)
    if params.scheduling == "auto" and not isnan(outlook.latency_s):
        ahead_s = outlook.latency_s + params.latency_margin_s
        return max(round(outlook.chunk_steps - ahead_s / outlook.step_s), 1)
    return 0
