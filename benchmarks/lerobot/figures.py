# SPDX-License-Identifier: Apache-2.0
"""What is compared. Pure; any thread."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.lerobot.facts import RATE_HZ

# The first moments, in which things start, do not count [s].
WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run.

    Attributes:
        rate_hz: Ticks per second.
        interval_p50_ms: From tick to tick.
        error_p99_ms: By how much an interval differs from what it should be.
        error_worst_ms: Likewise.
        observations_per_chunk: Observations sent for each chunk that came.
        chunks: How many came.
        steps_twice: Actions that were executed more than once.
        steps_skipped: Actions that were left out.
        starved_ticks: Ticks without an action, after the first one.
    """

    rate_hz: float
    interval_p50_ms: float
    error_p99_ms: float
    error_worst_ms: float
    observations_per_chunk: float
    chunks: int
    steps_twice: int
    steps_skipped: int
    starved_ticks: int


def interval_figures(ticks_s: NDArray[np.float64]) -> dict[str, float]:
    """How regular ticks are.

    Args:
        ticks_s: (N,) When they were.
    """
    late = ticks_s[ticks_s > ticks_s[0] + WARM_UP_S]
    intervals_ms = np.diff(late) * 1e3
    errors_ms = np.abs(intervals_ms - 1e3 / RATE_HZ)
    return {
        "rate_hz": float(1e3 / intervals_ms.mean()),
        "interval_p50_ms": float(np.median(intervals_ms)),
        "error_p99_ms": float(np.percentile(errors_ms, 99.0)),
        "error_worst_ms": float(errors_ms.max()),
    }


def stock_figures(path: Path) -> Figures:
    """What LeRobot's client did, from what it wrote."""
    facts = json.loads(path.read_text("utf-8"))
    steps = np.array(facts["steps"])
    ahead = np.diff(steps)
    return Figures(
        **interval_figures(np.array(facts["ticks_s"])),
        observations_per_chunk=facts["sent"] / max(facts["chunks"], 1),
        chunks=facts["chunks"],
        steps_twice=int(np.count_nonzero(ahead <= 0)),
        steps_skipped=int(np.maximum(ahead - 1, 0).sum()),
        starved_ticks=facts["starved"],
    )


def table(rows: dict[str, Figures]) -> str:
    """The figures in Markdown, a row a run."""
    names = [field.name for field in fields(Figures)]
    lines = [f"| run | {' | '.join(name.replace('_', ' ') for name in names)} |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for run, figures in rows.items():
        values = [getattr(figures, name) for name in names]
        told = [f"{value:.2f}" if isinstance(value, float) else str(value) for value in values]
        lines.append(f"| {run} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"
