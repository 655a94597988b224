# SPDX-License-Identifier: Apache-2.0
"""What a fault run came to: fault by fault, and what the witness and the logs say at the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from test.system.command_check import CommandCheck
from test.system.faulty_ring import FaultyRing

# How long after its tick a command is sent at most, where ticks are in time. Runs on two busy cores
# needed 1 ms at most.
LATE_S = 0.002
# Commands that are judged with more tolerance than this are counted.
_VERY_LATE_S = 0.005


@dataclass(slots=True)
class Struck:
    """How one fault went.

    Attributes:
        fault: Its name.
        began_ns: When.
        lasted_s: How long.
        hold_s: From its beginning to the first hold that it explains; None: there was none.
        recovered_s: From its end to the first move with a chunk of after it; None: never.
        holds: Reason to how many states told so.
        busy: Whether it held because a busy machine kept sensors or the executor waiting.
        note: What was drawn.
    """

    fault: str
    began_ns: int
    lasted_s: float = 0.0
    hold_s: float | None = None
    recovered_s: float | None = None
    holds: dict[str, int] = field(default_factory=dict)
    busy: bool = False
    note: str = ""


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        seed: Of everything drawn.
        duration_s: How long it ran, start and end apart.
        struck: Every fault.
        problems: What was wrong, in words; empty: nothing.
        counts: What the executor counted.
        worlds: How many tasks were set.
        done: How many of them were done.
        margins: How near the limits commands came.
        from_measured: How far from the measured pose motions began at most [rad or m].
        commands: How many were judged.
        very_late: How many of them with more than 5 ms of tolerance, as ticks were late then.
    """

    seed: int
    duration_s: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    worlds: int = 0
    done: int = 0
    margins: dict[str, float] = field(default_factory=dict)
    from_measured: float = 0.0
    commands: int = 0
    very_late: int = 0


def judge(ring: FaultyRing, outcome: Outcome, output: Path) -> None:
    """What the witness says at the end."""
    sent_ns, commands = ring.watch.commands()
    measured_ns, measured = ring.watch.measured()
    np.savez(
        output / "witness.npz",
        sent_ns=sent_ns,
        commands=commands,
        measured_ns=measured_ns,
        measured=measured,
        held_ns=[at_ns for at_ns, _, _ in ring.watch.held(0)],
        held_for=[why for _, why, _ in ring.watch.held(0)],
    )
    late_s = LATE_S + ring.watch.late_s(sent_ns)
    outcome.very_late = int(np.count_nonzero(late_s > _VERY_LATE_S))
    check = CommandCheck(ring.robot, sent_ns, commands, late_s=late_s)
    pauses = sorted(ring.watch.pauses, key=lambda pause: pause.until_ns)
    outcome.margins = asdict(check.run(pauses))
    outcome.from_measured = check.first(pauses, measured_ns, measured)
    outcome.commands = len(commands)
    outcome.counts = {name: count for name, count in sorted(ring.watch.counts.items()) if count}
    outcome.problems += [f"{text} (during {_during(outcome, at)})" for at, text in check.breaches]


def _during(outcome: Outcome, at_ns: int) -> str:
    earlier = [struck for struck in outcome.struck if struck.began_ns <= at_ns]
    return f"{earlier[-1].fault} {earlier[-1].note}".strip() if earlier else "the start"


def log_problems(folder: Path) -> list[str]:
    """What no process may ever have written."""
    return [
        f"{path.name}:{number}: {line}"
        for path in sorted(folder.glob("*.log"))
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), start=1)
        if "Traceback (most recent call last)" in line or "RuntimeWarning" in line
    ]
