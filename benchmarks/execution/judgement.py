# SPDX-License-Identifier: Apache-2.0
"""What is claimed of this package's executor, beside what was measured."""

from __future__ import annotations

from typing import Any

from benchmarks.execution.contenders import OTHERS
from benchmarks.execution.tables import Row

Rows = dict[tuple[Any, ...], Row]

_DEFAULT, _AUTO, _SYNC = "offset_decay", "offset_decay, auto", "sync"
# Where others are compared; those of them that succeed at all.
_AT_S, _SUCCEEDS = 0.2, 0.5


def judgement(table: Rows, alike: Rows, cells: Rows, bound: dict[tuple[Any, ...], bool]) -> str:
    """The claims and the figures, as text.

    Args:
        table: By kind of answers, latency and contender.
        alike: Of a constant latency, by latency and contender; every contender as often.
        cells: By latency, actions per chunk and threshold.
        bound: Whether the computed bound says that a cell never starves.
    """
    constant = {key[1:]: row for key, row in table.items() if key[0] == "constant"}
    lines = [_starving(cells, bound), *_success(constant), *_smoothness(alike)]
    ratios = [row["observations_ratio"] for key, row in constant.items() if key[1] == _AUTO]
    lines.append(f"auto asks {min(ratios):.2f} to {max(ratios):.2f} times the fewest possible")
    blind = sum(row["moved_in_flight"] for key, row in table.items() if key[2] == _SYNC)
    lines.append(f"sync moved in {blind:.0f} ticks while an answer was under way")
    return "## Claims\n\n" + "\n".join(f"* {line}" for line in lines) + "\n"


def _starving(cells: Rows, bound: dict[tuple[Any, ...], bool]) -> str:
    safe = [row["starved_ticks"] for key, row in cells.items() if bound[key]]
    dry = [row["starved_ticks"] for key, row in cells.items() if not bound[key]]
    return (
        f"starved ticks in the {len(safe)} settings within the bound: {sum(safe):.0f};"
        f" in the {len(dry)} beyond it: {sum(dry):.0f}"
    )


def _success(constant: Rows) -> list[str]:
    lines = []
    for name in (_DEFAULT, _AUTO):
        shares = {
            key[0]: 100.0 * row["success"]
            for key, row in constant.items()
            if key[1] == name and key[0] <= 0.4
        }
        told = ", ".join(
            f"{1e3 * latency_s:.0f} ms {share:.1f}" for latency_s, share in shares.items()
        )
        runs = constant[0.0, name]["runs"]
        lines.append(f"success of {name} over {runs} episodes each [%]: {told}")
    return lines


def _smoothness(constant: Rows) -> list[str]:
    others = {
        name: constant[_AT_S, name]
        for name in OTHERS
        if constant[_AT_S, name]["success"] >= _SUCCEEDS
    }
    lines = []
    for key, what in (("largest_seam_step", "largest step at a seam"), ("rms_jerk", "rms jerk")):
        best = min(others, key=lambda name: others[name][key])
        for name in (_DEFAULT, _AUTO):
            share = constant[_AT_S, name][key] / others[best][key]
            lines.append(
                f"{what} of {name} at 200 ms: {share:.2f} of that of {best}, the best other"
            )
    missing = [name for name in OTHERS if name not in others]
    if missing:
        lines.append(f"not compared, because they do not finish at 200 ms: {', '.join(missing)}")
    return lines
