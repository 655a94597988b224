# SPDX-License-Identifier: Apache-2.0
"""Figures of a run, from its episodes' logs: a summary for machines and a table for people.

``vla_ros.core.episode_log`` has the series of a log. Pure; any thread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vla_ros.core.episode_log import EpisodeLog

_REQUESTED, _SENT, _RECEIVED, _JOINED, _COMMANDED = range(5)


def summary(logs: Sequence[EpisodeLog]) -> dict[str, Any]:
    """The run's figures, as written to ``summary.json``; None where nothing was measured.

    ``pipeline_overhead_ms`` is what the ring adds to inference: from the executor's request to the
    encoded request leaving for the server, plus from the server's reply to the chunk being in
    effect. ``overhead_to_command_ms`` also counts the wait for the next control tick.
    """
    counted = [log.facts.get("counters", {}) for log in logs]
    holds: Counter[str] = Counter()
    for counters in counted:
        holds.update(counters.get("holds", {}))
    chunks = _together([log.values("chunk") for log in logs], columns=5) * 1e3
    overhead = chunks[:, _SENT] - chunks[:, _REQUESTED] - chunks[:, _RECEIVED]
    successes = sum(bool(log.facts.get("success")) for log in logs)
    duration_s = sum(float(log.facts["duration_s"]) for log in logs)
    return {
        "episodes": len(logs),
        "successes": successes,
        "success_rate": successes / len(logs) if logs else None,
        "duration_s": round(duration_s, 3),
        "control_rate_hz": _control_rate(logs),
        "tick_jitter_ms": _figures(_together([log.values("tick_error_ms") for log in logs])),
        "pipeline_overhead_ms": _figures(overhead + chunks[:, _JOINED]),
        "overhead_to_command_ms": _figures(overhead + chunks[:, _COMMANDED]),
        "inference_ms": _figures(chunks[:, _RECEIVED] - chunks[:, _SENT]),
        "request_to_chunk_ms": _figures(chunks[:, _JOINED] - chunks[:, _REQUESTED]),
        "anchor_age_ms": _figures(chunks[:, _REQUESTED]),
        "observations_sent": _total(counted, "observations_requested"),
        "chunks_received": _total(counted, "chunks_received"),
        "chunks_dropped": _total(counted, "chunks_dropped"),
        "requests_failed": _total(counted, "requests_failed"),
        "ticks": _total(counted, "ticks"),
        "missed_ticks": _total(counted, "missed_ticks"),
        "starved_ticks": _total(counted, "starved_ticks"),
        "holds": dict(sorted(holds.items())),
        "runs": [_run(log) for log in logs],
    }


def _run(log: EpisodeLog) -> dict[str, Any]:
    wanted = ("episode", "seed", "instruction", "success", "duration_s", "detail", "followed")
    return {name: log.facts[name] for name in wanted if name in log.facts}


def _together(samples: Sequence[NDArray[np.float64]], columns: int = 1) -> NDArray[np.float64]:
    """(N, columns) All episodes' samples of one series."""
    return np.concatenate([np.zeros((0, columns)), *(each for each in samples if each.size)])


def _figures(samples: NDArray[np.float64]) -> dict[str, float | None]:
    finite = samples[np.isfinite(samples)]
    if not finite.size:
        return {"p50": None, "p99": None, "max": None}
    return {
        "p50": round(float(np.percentile(finite, 50)), 3),
        "p99": round(float(np.percentile(finite, 99)), 3),
        "max": round(float(finite.max()), 3),
    }


def _control_rate(logs: Sequence[EpisodeLog]) -> float | None:
    """Median over the episodes of how often a command was seen."""
    rates = []
    for log in logs:
        gaps_s = np.diff(log.stamps("command")) * 1e-9
        if gaps_s.size:
            rates.append(len(gaps_s) / float(gaps_s.sum()))
    return round(float(np.median(rates)), 2) if rates else None


def _total(counted: Sequence[dict[str, Any]], name: str) -> int:
    return sum(int(counters.get(name, 0)) for counters in counted)


def table(figures: dict[str, Any]) -> str:
    """The summary for a person."""
    holds = figures["holds"]
    rate = figures["success_rate"]
    rows = [
        ("episodes", str(figures["episodes"])),
        ("success", f"{figures['successes']} ({math.nan if rate is None else rate:.0%})"),
        ("request to chunk", _spread(figures["request_to_chunk_ms"])),
        ("  of which inference", _spread(figures["inference_ms"])),
        ("  pipeline overhead", _spread(figures["pipeline_overhead_ms"])),
        ("age of the anchor frame", _spread(figures["anchor_age_ms"])),
        ("control rate", f"{figures['control_rate_hz']} Hz"),
        ("tick jitter", _spread(figures["tick_jitter_ms"])),
        ("observations / chunks", f"{figures['observations_sent']} / {figures['chunks_received']}"),
        ("ticks / starved", f"{figures['ticks']} / {figures['starved_ticks']}"),
        ("holds [ticks]", ", ".join(f"{name} {holds[name]}" for name in holds) or "none"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows)


def _spread(figures: dict[str, float | None]) -> str:
    if figures["p50"] is None:
        return "-"
    return f"p50 {figures['p50']:.2f}  p99 {figures['p99']:.2f}  max {figures['max']:.2f} ms"
