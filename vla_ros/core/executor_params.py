# SPDX-License-Identifier: Apache-2.0
"""The executor's parameters, all of them tunable while it runs. Immutable; any thread."""

from __future__ import annotations

from dataclasses import dataclass

from vla_ros.core.blending import AggregateFn
from vla_ros.core.params import param


@dataclass(frozen=True, slots=True)
class ExecutorParams:
    """How chunks are asked for and executed."""

    control_rate_hz: float = param(50.0, "Commands per second [Hz].", ge=1.0, le=1000.0)
    chunk_size_threshold: float = param(
        0.5,
        "Ask for an observation when remaining / actions_per_chunk is at most this;"
        " larger asks earlier and more often.",
        ge=0.0,
        le=1.0,
    )
    actions_per_chunk: int = param(
        50, "How many actions of a chunk are used; never more than it has.", ge=1, le=1024
    )
    aggregate_fn: AggregateFn = param("offset_decay", "How a new chunk is joined to the old one.")
    blend_steps: float = param(
        8.0, "How long offset_decay takes, in steps of the policy.", ge=1.0, le=100.0
    )
    request_timeout_s: float = param(
        5.0, "A request without an answer is given up after this [s].", ge=0.05, le=600.0
    )
    retry_interval_s: float = param(
        0.1, "Shortest time from a failed request to the next one [s].", ge=0.0, le=60.0
    )
    position_margin: float = param(
        0.0, "Commands stay this far inside the position limits [rad or m].", ge=0.0, le=1.0
    )
