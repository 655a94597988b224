# SPDX-License-Identifier: Apache-2.0
"""The tables as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.execution.contenders import OTHERS, OURS
from benchmarks.execution.tables import Row

# Okabe and Ito's colours, which the colour-blind can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_PANELS = (
    ("success", "success [%]", 100.0, "linear"),
    ("duration_s", "time to finish [s]", 1.0, "linear"),
    ("largest_seam_step", "largest step at a seam [mrad]; none at zero", 1e3, "log"),
    ("rms_jerk", "rms jerk [rad/s³]", 1.0, "log"),
)
# Below this a step or jerk is nothing, which a logarithm cannot show.
_LEAST = 0.5


def draw_latencies(table: dict[tuple[Any, ...], Row], path: Path) -> None:
    """Each contender's figures against a constant latency; keys are (contender, latency)."""
    figure, axes = plt.subplots(2, 2, figsize=(15, 10), layout="constrained")
    for axis, (key, title, scale, yscale) in zip(axes.flat, _PANELS, strict=True):
        for names, style in ((OURS, "-"), (OTHERS, "--")):
            for index, name in enumerate(names):
                points = sorted((k[1], row[key]) for k, row in table.items() if k[0] == name)
                if not points:
                    continue
                latency_ms, values = 1e3 * np.array([p[0] for p in points]), [p[1] for p in points]
                axis.plot(
                    latency_ms,
                    scale * np.array(values),
                    style,
                    marker="o" if index < len(_COLOURS) else "s",
                    color=_COLOURS[index % len(_COLOURS)],
                    label=name,
                )
        axis.set(title=title, xlabel="latency [ms]", yscale=yscale)
        if yscale == "log":
            axis.set_ylim(bottom=_LEAST)
        axis.grid(alpha=0.3)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.suptitle("Sampled pick-and-place: ours solid, others dashed", fontsize=14)
    figure.legend(handles, labels, loc="outside right center", fontsize=9)
    figure.savefig(path, dpi=90)
    plt.close(figure)


def draw_map(
    table: dict[tuple[Any, ...], Row],
    *,
    counts: Sequence[int],
    thresholds: Sequence[float],
    latencies_s: Sequence[float],
    bound: dict[tuple[Any, ...], bool],
    path: Path,
) -> None:
    """Starved share, jerk and observations over actions_per_chunk and chunk_size_threshold.

    Args:
        table: Keys are (latency, actions_per_chunk, threshold).
        counts: Of actions per chunk.
        thresholds: Of asking.
        latencies_s: One row of maps each.
        bound: Whether the computed bound says that the queue never runs dry.
        path: Where the picture goes.
    """
    panels = (
        ("starved_share", "starved [% of ticks]", 100.0, ".1f", "Reds", 60.0),
        ("success", "success [%]", 100.0, ".0f", "Greens", 200.0),
        ("rms_jerk", "rms jerk [rad/s³]", 1.0, ".0f", "Blues", 1500.0),
        ("observations_per_s", "observations per second", 1.0, ".2f", "Purples", 10.0),
    )
    figure, axes = plt.subplots(
        len(latencies_s), len(panels), figsize=(17, 3.6 * len(latencies_s)), layout="constrained"
    )
    for row, latency_s in enumerate(latencies_s):
        for column, (key, title, scale, form, colours, darkest) in enumerate(panels):
            axis = axes[row][column]
            grid = scale * np.array(
                [[table[latency_s, n, t][key] for n in counts] for t in thresholds]
            )
            axis.imshow(grid, cmap=colours, aspect="auto", origin="lower", vmin=0, vmax=darkest)
            for y, threshold in enumerate(thresholds):
                for x, count in enumerate(counts):
                    safe = bound[latency_s, count, threshold]
                    text = format(grid[y][x], form) + ("" if safe else "\nruns dry")
                    axis.text(x, y, text, ha="center", va="center", fontsize=11)
                    if safe:
                        axis.add_patch(
                            plt.Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, lw=2)
                        )
            axis.set_xticks(range(len(counts)), [str(n) for n in counts])
            axis.set_yticks(range(len(thresholds)), [f"{t:g}" for t in thresholds])
            axis.set(title=f"{1e3 * latency_s:.0f} ms: {title}", xlabel="actions_per_chunk")
            if column == 0:
                axis.set_ylabel("chunk_size_threshold")
    figure.suptitle(
        "Which setting: framed where the computed bound says that the queue never runs dry",
        fontsize=14,
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)
