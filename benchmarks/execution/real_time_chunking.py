# SPDX-License-Identifier: Apache-2.0
"""What it is worth to tell a policy what is being executed: the flow policy, guided or free.

Three batches of other seeds, so that a margin that is luck shows as one that does not repeat.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.execution.table_world import Case
from benchmarks.execution.tables import TABLE, Row, markdown, rows

LATENCIES_S = (0.1, 0.2, 0.4)
BATCHES = 3
_FREE = ("latest_only", "weighted_average", "offset_decay", "LeRobot weighted_average")
_GUIDED = ("latest_only", "offset_decay")
_AT_S = 0.2


def cases(episodes: int) -> Iterator[Case]:
    """Every way to execute the flow policy's chunks."""
    for policy, names in (("free", _FREE), ("guided", _GUIDED)):
        for name in names:
            for latency_s in LATENCIES_S:
                for seed in range(BATCHES * episodes):
                    yield Case(name, latency_s, "constant", seed, policy=policy)


def section(results: Sequence[Row]) -> str:
    """The claim, its margins, and the table."""
    episodes = 1 + max(result["seed"] for result in results)
    for result in results:
        result["batch"] = result["seed"] * BATCHES // episodes
    batches = rows(results, ("batch", "policy", "contender", "latency_s"))
    lines = []
    for name in ("latest_only", "weighted_average"):
        shares = [
            batches[batch, "guided", "latest_only", _AT_S]["rms_jerk"]
            / batches[batch, "free", name, _AT_S]["rms_jerk"]
            for batch in range(BATCHES)
        ]
        told = ", ".join(f"{share:.2f}" for share in shares)
        lines.append(
            f"* rms jerk at 200 ms of real-time chunking (guided, latest_only) by that of free"
            f" {name}, in {BATCHES} batches: {told}"
        )
    table = rows(results, ("latency_s", "policy", "contender"))
    in_order = dict(sorted(table.items()))
    return "\n".join(
        (
            "## Real-time chunking\n",
            *lines,
            "",
            markdown(in_order, ("latency", "policy", "executor"), TABLE),
        )
    )
