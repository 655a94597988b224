# SPDX-License-Identifier: Apache-2.0
"""The report of a fault run, for a person."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from test.system.fault_outcome import Outcome, Struck

_MOST = 40


def report_text(outcome: Outcome) -> str:
    """Everything in a page."""
    struck = len(outcome.struck)
    lines = [
        (
            f"{struck} faults in {outcome.duration_s:.0f} s, seed {outcome.seed};"
            f" {outcome.done} of {outcome.worlds} tasks were done all the same"
        ),
        "",
        _line("fault", "count", "held", "to hold [s]", "to recovery [s]", "reasons"),
    ]
    names = dict.fromkeys(struck.fault for struck in outcome.struck)
    lines += [_row(name, [it for it in outcome.struck if it.fault == name]) for name in names]
    lines += ["", _judged(outcome)]
    lines += [f"{name}: {value:.4g}" for name, value in outcome.margins.items()]
    lines += [f"first command from the measured pose, at most: {outcome.from_measured:.4g}", ""]
    lines += [f"{name}: {count}" for name, count in outcome.counts.items()]
    late = sum(struck.busy for struck in outcome.struck)
    lines += ["", f"times that it held because a busy machine kept it waiting: {late}"]
    lines += ["", f"problems: {len(outcome.problems)}"]
    lines += [f"  {text}" for text in outcome.problems[:_MOST]]
    if len(outcome.problems) > _MOST:
        lines.append(f"  and {len(outcome.problems) - _MOST} more")
    return "\n".join(lines) + "\n"


def _row(name: str, struck: list[Struck]) -> str:
    held = [it.hold_s for it in struck if it.hold_s is not None]
    recovered = [it.recovered_s for it in struck if it.recovered_s is not None]
    reasons: dict[str, int] = {}
    for one in struck:
        for why in one.holds:
            reasons[why] = reasons.get(why, 0) + 1
    told = " ".join(f"{why}:{count}" for why, count in sorted(reasons.items()))
    return _line(name, len(struck), len(held), _range(held), _range(recovered), told)


def _judged(outcome: Outcome) -> str:
    return (
        f"{outcome.commands} commands judged, {outcome.very_late} of them with more than 5 ms of"
        " tolerance as ticks were late"
    )


def _line(*columns: object) -> str:
    fault, count, held, hold, recovery, told = map(str, columns)
    return f"{fault:28} {count:>5} {held:>4} {hold:>15} {recovery:>17}  {told}"


def _range(values: Iterable[float]) -> str:
    """Median and greatest."""
    found = list(values)
    return f"{np.median(found):.2f} .. {max(found):.2f}" if found else "-"
