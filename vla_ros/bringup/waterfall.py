# SPDX-License-Identifier: Apache-2.0
"""A waterfall of an episode's requests: what became of each, and what took how long. One thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from vla_ros.bringup.view import View
from vla_ros.core.episode_log import EpisodeLog

# Colours of Okabe and Ito, which people of any colour vision can tell apart.
_PHASES = {
    "request until sent": "#56b4e9",
    "inference": "#e69f00",
    "answer until joined": "#009e73",
    "joined until first command": "#000000",
}
_FAILED = "#d55e00"
_GREY = "#777777"
_HEIGHT = 0.62
# More rows than this leave no room for words.
_MOST_WORDS = 25
_MOST_TICKS = 15
# A request is asked for at the moment that its chunk tells, but for rounding.
_SAME_S = 1e-4
# Drops are told with the executor's next state.
_STATE_S = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """What became of a request; moments in seconds of the episode.

    Attributes:
        number: The request's id, or its place where ids are not known.
        stamps_s: Of the observation; requested, sent, received, joined, first commanded. Of a
            request without a chunk only the second is known.
        end_s: When the next chunk took over; without a chunk, when the request was given up.
        lack: Why there is no chunk; empty if there is one.
    """

    number: int
    stamps_s: tuple[float, ...]
    end_s: float
    lack: str

    @property
    def begin_s(self) -> float:
        """When it began."""
        return float(np.nanmin(self.stamps_s))


def rows(log: EpisodeLog, view: View) -> list[Row]:
    """What became of each request that can be seen, in the order of asking."""
    whole_end_s = View.of(log).end_s
    chunks = _chunks(log, view)
    times_s = view.seconds(log.stamps("request"))
    numbers = dict(zip(times_s.tolist(), log.values("request").ravel().tolist(), strict=True))
    told = []
    for stamps in chunks:
        later = (other[5] for other in chunks if other[5] > stamps[5])
        mine = [at_s for at_s in numbers if abs(at_s - stamps[1]) < _SAME_S]
        number = int(numbers.pop(mine[0])) if mine else 0  # of before the log began
        told.append(Row(number, stamps, min(later, default=whole_end_s), ""))
    for at_s, number in numbers.items():
        later = (other_s for other_s in times_s.tolist() if other_s > at_s)
        lack, end_s = _lack(log, view, int(number), at_s, min(later, default=whole_end_s))
        told.append(Row(int(number), (np.nan, at_s, *[np.nan] * 4), end_s, lack))
    seen = [row for row in told if row.begin_s < view.end_s and row.end_s > view.begin_s]
    return sorted(seen, key=lambda row: row.stamps_s[1])


def _chunks(log: EpisodeLog, view: View) -> list[tuple[float, ...]]:
    """The six moments of each chunk; one that is not known took no time."""
    found = []
    for at_s, since_s in zip(view.seconds(log.stamps("chunk")), log.values("chunk"), strict=True):
        moments = [float(at_s)]
        for moment_s in since_s + at_s:
            moments.append(float(moment_s) if np.isfinite(moment_s) else moments[-1])
        found.append(tuple(moments))
    return found


def _lack(
    log: EpisodeLog, view: View, number: int, asked_s: float, next_s: float
) -> tuple[str, float]:
    """Why a request has no chunk, and when that was clear."""
    for reason in log.kinds("failure"):
        series = f"failure.{reason}"
        mine = log.values(series)[:, 0] == number
        if mine.any():
            return reason, float(view.seconds(log.stamps(series)[mine])[0])
    for kind in log.kinds("dropped"):
        times_s = view.seconds(log.stamps(f"dropped.{kind}"))
        mine = (times_s > asked_s) & (times_s <= next_s + _STATE_S)
        if mine.any():
            return f"dropped: {kind}", min(float(times_s[mine][0]), next_s)
    return ("under way" if next_s >= View.of(log).end_s else "no answer"), next_s


def draw_waterfall(axis: Axes, told: Sequence[Row], view: View) -> None:
    """Draw requests, the first on top.

    Args:
        axis: Where to.
        told: The requests.
        view: Which part of the episode is shown.
    """
    for place, row in enumerate(told):
        if row.lack:
            _draw_lack(axis, row, place, view)
        else:
            _draw_row(axis, row, place, words=len(told) <= _MOST_WORDS, view=view)
    axis.set_ylim(len(told) - 0.4, -0.6)
    step = max(-(-len(told) // _MOST_TICKS), 1)
    places = range(0, len(told), step)
    axis.set_yticks(list(places), [str(told[place].number or "") for place in places])
    axis.set_ylabel("request")


def _draw_row(axis: Axes, row: Row, place: int, *, words: bool, view: View) -> None:
    observed, requested, *_, commanded = row.stamps_s
    axis.plot([observed, requested], [place, place], color=_GREY, lw=1.0)
    axis.plot([observed], [place], "D", color=_GREY, ms=4.0)
    for begin_s, end_s, colour in zip(
        row.stamps_s[1:-1], row.stamps_s[2:], _PHASES.values(), strict=True
    ):
        axis.barh(place, end_s - begin_s, left=begin_s, height=_HEIGHT, color=colour, lw=0)
    axis.plot([commanded, row.end_s], [place, place], color=_GREY, lw=1.0, ls=":")
    axis.plot([commanded], [place], ">", color="black", ms=4.5)
    if words and view.begin_s <= commanded < view.end_s:
        _write(axis, _words(row.stamps_s), (row.begin_s, commanded), place, view)


def _words(stamps_s: Sequence[float]) -> str:
    age, sent, inference, back, wait = (round(1e3 * length) for length in np.diff(stamps_s))
    return f"age {age}, until sent {sent}, inference {inference}, back {back}, tick {wait} ms"


def _draw_lack(axis: Axes, row: Row, place: int, view: View) -> None:
    axis.barh(
        place,
        row.end_s - row.begin_s,
        left=row.begin_s,
        height=_HEIGHT,
        facecolor="none",
        edgecolor=_FAILED,
        hatch="////",
        lw=0.8,
    )
    text = row.lack.replace("_", " ")
    _write(axis, text, (row.begin_s, row.end_s), place, view, colour=_FAILED)


def _write(
    axis: Axes,
    text: str,
    bar: tuple[float, float],
    place: int,
    view: View,
    *,
    colour: str = "black",
) -> None:
    """Write beside a bar, on the side where there is more room."""
    left = view.end_s - bar[1] < bar[0] - view.begin_s and bar[1] > view.end_s - 0.3 * view.width_s
    axis.annotate(
        text,
        (bar[0] if left else bar[1], place),
        xytext=(-6 if left else 7, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=7.5,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6},
    )


def legend_entries() -> list[Artist]:
    """What the waterfall's marks mean."""
    return [
        Line2D([], [], color=_GREY, marker="D", ms=4.0, lw=1.0, label="observation's stamp"),
        *(Patch(color=colour, label=name) for name, colour in _PHASES.items()),
        Line2D([], [], color="black", marker=">", ms=4.5, lw=0, label="first command"),
        Patch(facecolor="none", edgecolor=_FAILED, hatch="////", label="no chunk, and why"),
    ]
