# SPDX-License-Identifier: Apache-2.0
"""Runs everything and writes tables and pictures: ``python -m benchmarks.execution``.

Simulated time throughout, so that the figures do not depend on the machine; only the waiting does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.execution import real_time_chunking, table_world, toy_world
from benchmarks.execution.contenders import CONTENDERS
from benchmarks.execution.judgement import judgement
from benchmarks.execution.pictures import draw_latencies, draw_map
from benchmarks.execution.table_world import CONTROL_RATE_HZ, Case
from benchmarks.execution.tables import TABLE, TOY, Row, markdown, rows
from benchmarks.execution.toy_world import ToyCase

LATENCIES_S = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8)
ROUGH_S = (0.2, 0.4)
ROUGH = ("jitter", "spikes", "lost")
TOY_LATENCIES_S = (0.1, 0.2, 0.33)
TOY_SEEDS = 8
COUNTS, THRESHOLDS = (20, 30, 50, 100), (0.3, 0.5, 0.7)
MAP_LATENCIES_S = (0.1, 0.2, 0.4)
MAP_HORIZON = 100
# An image is so old at most when it is asked for, at 30 Hz with a tick beside it.
AGE_S = 0.05
# Those that have to succeed as often at a latency as without are run more often.
HEADLINE = ("offset_decay", "offset_decay, auto")

C = TypeVar("C")


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(prog="benchmarks.execution", description=__doc__)
    made.add_argument("--episodes", type=int, default=6, help="of each case (%(default)s)")
    made.add_argument(
        "--headline-episodes", type=int, default=60, help="of ours at each latency (%(default)s)"
    )
    made.add_argument("--output", type=Path, default=Path("out/execution"))
    made.add_argument(
        "--redraw", action="store_true", help="make tables and pictures of the last results"
    )
    made.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return made


def table_cases(episodes: int, headline: int) -> Iterator[Case]:
    """Each contender at each latency, and answers that come badly at some."""
    for name in CONTENDERS:
        for latency_s in LATENCIES_S:
            often = name in HEADLINE and latency_s <= max(ROUGH_S)
            for seed in range(headline if often else episodes):
                yield Case(name, latency_s, "constant", seed)
        for latency_s in ROUGH_S:
            for kind in ROUGH:
                for seed in range(episodes):
                    yield Case(name, latency_s, kind, seed)


def map_cases(episodes: int) -> Iterator[Case]:
    """The matrix of actions per chunk by threshold."""
    for latency_s in MAP_LATENCIES_S:
        for count in COUNTS:
            for threshold in THRESHOLDS:
                changes = (("actions_per_chunk", count), ("chunk_size_threshold", threshold))
                for seed in range(episodes):
                    yield Case("offset_decay", latency_s, "constant", seed, changes, MAP_HORIZON)


def budget_s(count: int, threshold: float) -> float:
    """How long an answer may take before the queue is empty: the bound that is drawn.

    It is asked for when so much is left, or when a chunk has come, whichever is later.
    """
    chunk_s = count / 30.0
    return min(threshold * chunk_s, 0.5 * (chunk_s - AGE_S)) - 1.0 / CONTROL_RATE_HZ


def run_all(
    pool: ProcessPoolExecutor, run: Callable[[C], Row], cases: Sequence[C], what: str
) -> list[Row]:
    """Run cases in all processes, and tell how it goes."""
    results, begun_s = [], time.monotonic()
    for result in pool.map(run, cases, chunksize=4):
        results.append(result)
        if len(results) % 200 == 0 or len(results) == len(cases):
            spent_s = time.monotonic() - begun_s
            sys.stdout.write(f"{what}: {len(results)} of {len(cases)} runs, {spent_s:.0f} s\n")
            sys.stdout.flush()
    return results


def mapped(results: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    """Rows of the map, by latency, actions per chunk and threshold."""
    for result in results:
        changes = dict(result["changes"])
        result["count"], result["threshold"] = (
            changes["actions_per_chunk"],
            changes["chunk_size_threshold"],
        )
        result["starved_share"] = result["starved_ticks"] / (result["duration_s"] * CONTROL_RATE_HZ)
        result["observations_per_s"] = result["observations"] / result["duration_s"]
    return rows(results, ("latency_s", "count", "threshold"))


def _alike(constant: list[Row]) -> dict[tuple[Any, ...], Row]:
    """By latency and contender, of the seeds that all of them had: more runs have worse worsts."""
    last = min(
        max(result["seed"] for result in constant if result["contender"] == name)
        for name in CONTENDERS
    )
    return rows([r for r in constant if r["seed"] <= last], ("latency_s", "contender"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    options = parser().parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.redraw:
        write(options.output, json.loads((options.output / "results.json").read_text("utf-8")))
        return 0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawn) as pool:
        toy = run_all(
            pool,
            toy_world.run,
            [
                ToyCase(name, latency_s, seed)
                for latency_s in TOY_LATENCIES_S
                for name in CONTENDERS
                for seed in range(TOY_SEEDS)
            ],
            "toy world",
        )
        the_map = run_all(
            pool, table_world.run, list(map_cases(max(options.episodes // 2, 1))), "map"
        )
        table = run_all(
            pool,
            table_world.run,
            list(table_cases(options.episodes, options.headline_episodes)),
            "table",
        )
        chunking = run_all(
            pool,
            table_world.run,
            list(real_time_chunking.cases(options.episodes)),
            "real-time chunking",
        )
    facts = {"table": table, "map": the_map, "toy": toy, "chunking": chunking}
    (options.output / "results.json").write_text(json.dumps(facts), encoding="utf-8")
    write(options.output, facts)
    return 0


def write(folder: Path, facts: dict[str, list[Row]]) -> None:
    """Write what was found, and say it."""
    table = facts["table"]
    constant = [result for result in table if result["kind"] == "constant"]
    by_latency = rows(constant, ("contender", "latency_s"))
    cells = mapped(facts["map"])
    bound = {key: key[0] <= budget_s(key[1], key[2]) for key in cells}
    draw_latencies(by_latency, folder / "latencies.png")
    draw_map(
        cells,
        counts=COUNTS,
        thresholds=THRESHOLDS,
        latencies_s=MAP_LATENCIES_S,
        bound=bound,
        path=folder / "map.png",
    )
    everything = rows(table, ("kind", "latency_s", "contender"))
    in_order = dict(sorted(everything.items(), key=lambda item: (item[0][0], item[0][1])))
    toys = rows(facts["toy"], ("latency_s", "contender"))
    text = "\n".join(
        (
            judgement(everything, _alike(constant), cells, bound),
            real_time_chunking.section(facts["chunking"]),
            "## Sampled pick-and-place\n",
            markdown(in_order, ("answers", "latency", "executor"), TABLE),
            "## Toy world\n",
            markdown(toys, ("latency", "executor"), TOY),
        )
    )
    (folder / "table.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
