# SPDX-License-Identifier: Apache-2.0
"""The executor in one line, and what is wrong with how it is set. Pure; any thread may call."""

from __future__ import annotations

from math import ceil, isnan

from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import ExecutorStatus

# Thresholds are told in steps of this.
_LEAST_SHARE = 0.05


def summary(status: ExecutorStatus, names: tuple[str, ...]) -> str:
    """What it does, its queue, its latencies and what went wrong, in one line.

    Args:
        status: The executor now.
        names: (D,) The robot's ``command_names``.
    """
    clipped = [
        f"{name} {count} ticks (by {by:.3g})"
        for name, count, by in zip(names, status.clipped, status.clipped_by_max, strict=True)
        if count
    ]
    dropped = [f"{kind} {count}" for kind, count in status.chunks_dropped.items()]
    parts = [
        status.state + (f" ({status.detail})" if status.detail else ""),
        f"queue {status.remaining_steps:.0f} steps, {status.remaining_s:.2f} s",
        f"asked {_ago(status.since_request_s)}",
        f"last chunk {_ago(status.since_chunk_s)}",
        f"latency p50 {_ms(status.latency_p50_s)} p95 {_ms(status.latency_p95_s)}",
        f"starved {status.starved_ticks} ticks",
        f"clipped {', '.join(clipped) or 'nothing'}",
    ]
    if dropped:
        parts.append(f"dropped {', '.join(dropped)}")
    return "; ".join(parts)


def _ago(age_s: float) -> str:
    return "never" if isnan(age_s) else f"{age_s:.1f} s ago"


def _ms(latency_s: float) -> str:
    return "-" if isnan(latency_s) else f"{1e3 * latency_s:.0f} ms"


def late_answers(params: ExecutorParams, status: ExecutorStatus) -> str:
    """A warning that answers take longer than the queue lasts, with what to set; empty: they don't.

    Args:
        params: The parameters in force.
        status: The executor now.
    """
    latency_s, budget_s = status.latency_p95_s, status.latency_budget_s
    if isnan(latency_s) or latency_s <= budget_s:
        return ""
    text = (
        f"the p95 latency of {1e3 * latency_s:.0f} ms is over the budget of {1e3 * budget_s:.0f} ms"
    )
    threshold = least_threshold(params, status)
    if params.scheduling == "async" and threshold <= 0.5:
        return f"{text}: set chunk_size_threshold to at least {threshold:.2f}"
    return (
        f"{text}, half of what a chunk lasts: use more actions_per_chunk if the policy has them, a"
        " faster server, or scheduling sync"
    )


def least_threshold(params: ExecutorParams, status: ExecutorStatus) -> float:
    """The least chunk_size_threshold with which the queue lasts until the p95 answer is there.

    It is rounded up to steps of 0.05; above 0.5 none is enough. NaN: latency is not known.
    """
    tick_s = 1.0 / params.control_rate_hz
    if isnan(status.latency_p95_s):
        return status.latency_p95_s
    share = (status.latency_p95_s + tick_s) / status.chunk_s
    return ceil(share / _LEAST_SHARE - 1e-9) * _LEAST_SHARE
