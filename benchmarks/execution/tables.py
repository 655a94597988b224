# SPDX-License-Identifier: Apache-2.0
"""Figures of many runs as rows, and rows as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Row = dict[str, Any]
_MS, _MRAD = 1e3, 1e3


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: With the unit.
        key: In a row.
        form: How a number is written.
        scale: What it is multiplied with.
    """

    title: str
    key: str
    form: str
    scale: float = 1.0


TABLE = (
    Column("success %", "success", ".0f", 100.0),
    Column("time s", "duration_s", ".1f"),
    Column("starved ticks", "starved_ticks", ".1f"),
    Column("largest step mrad", "largest_step", ".1f", _MRAD),
    Column("at a seam mrad", "largest_seam_step", ".1f", _MRAD),
    Column("seam jump mrad", "largest_seam_jump", ".2f", _MRAD),
    Column("rms acc rad/s2", "rms_acceleration", ".1f"),
    Column("rms jerk rad/s3", "rms_jerk", ".0f"),
    Column("largest error mrad", "tracking_error", ".0f", _MRAD),
    Column("observations", "observations", ".1f"),
    Column("of fewest", "observations_ratio", ".2f"),
    Column("moved blind", "moved_in_flight", ".0f"),
)
TOY = (
    Column("rmse mrad", "rmse", ".1f", _MRAD),
    Column("p99.9 acc rad/s2", "p999_acceleration", ".0f"),
    Column("rms jerk rad/s3", "rms_jerk", ".0f"),
    Column("reaction ms", "reaction_s", ".0f", _MS),
    Column("collide %", "collide", ".0f", 100.0),
    Column("largest step mrad", "largest_step", ".1f", _MRAD),
    Column("seam jump mrad", "largest_seam_jump", ".1f", _MRAD),
    Column("observations", "asked", ".0f"),
    Column("late", "late", ".0f"),
)
# The worst of all runs counts, not their mean.
_WORST = ("largest_step", "largest_seam_step", "largest_seam_jump", "tracking_error")


def rows(results: Iterable[Row], keys: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    """Runs that have the same ``keys``, as one row each, in the order of their first run."""
    grouped: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for result in results:
        grouped[tuple(result[key] for key in keys)].append(result)
    return {key: _row(group) for key, group in grouped.items()}


def _row(group: Sequence[Row]) -> Row:
    numbers = [key for key, value in group[0].items() if isinstance(value, (bool, int, float))]
    row: Row = {}
    for key in numbers:
        values = np.array([float(result[key]) for result in group])
        row[key] = float(np.nanmax(values) if key in _WORST else _mean(values))
    row["runs"] = len(group)
    if "fewest_observations" in row:
        row["observations_ratio"] = row["observations"] / row["fewest_observations"]
    return row


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def markdown(
    table: dict[tuple[Any, ...], Row], heads: Sequence[str], columns: Sequence[Column]
) -> str:
    """Rows as a table of Markdown."""
    titles = [*heads, *(column.title for column in columns)]
    lines = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    for key, row in table.items():
        cells = [_shown(part) for part in key]
        cells += [format(column.scale * row[column.key], column.form) for column in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(part: object) -> str:
    return f"{_MS * part:.0f} ms" if isinstance(part, float) else str(part)
