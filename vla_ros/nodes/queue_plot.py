# SPDX-License-Identifier: Apache-2.0
"""A picture of the queue over the last seconds: steps left, chunks, holds, starvation.

Drawn with OpenCV, in a few milliseconds, so that it can be made while a robot works. Pure; any
thread may call. Times are on the ROS clock [ns], images are HWC uint8 RGB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

HEIGHT_PX, WIDTH_PX = 340, 960
# The panel inside the picture.
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, WIDTH_PX - 16, 66, HEIGHT_PX - 62
# The reasons of holds stand above the highest curve.
_CURVES_TOP = _TOP + 26
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_TITLE, _TEXT = 0.55, 0.42
# Colours of Okabe and Ito, as in the pictures of episodes.
_PAPER, _INK = (255, 255, 255), (40, 40, 40)
_GREY, _GRID = (120, 120, 120), (228, 228, 228)
_QUEUE, _ASKS, _STARVED = (0, 114, 178), (213, 94, 0), (176, 0, 32)
_HOLD, _CHUNK, _CHUNK_LINE = (246, 200, 200), (0, 158, 115), (185, 222, 210)
_STARVED_PX = 6
# Between samples that are further apart nothing is known.
_GAP_NS = 1_000_000_000
_LEAST_STEPS = 5.0

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class QueueSample:
    """What the executor said at one moment.

    Attributes:
        stamp_ns: When.
        steps: Steps left.
        asks_at: At how many steps left it asks for an observation; not finite: not known.
        hold: Why it does not move; empty while it does.
        starved_ticks: Ticks without an action to execute, counted from its start.
    """

    stamp_ns: int
    steps: float
    asks_at: float
    hold: str
    starved_ticks: int


@dataclass(frozen=True, slots=True)
class _Panel:
    """From time and steps to pixels."""

    begin_ns: int
    end_ns: int
    most_steps: float

    def x(self, stamp_ns: int) -> int:
        share = (stamp_ns - self.begin_ns) / (self.end_ns - self.begin_ns)
        return round(_LEFT + min(max(share, 0.0), 1.0) * (_RIGHT - _LEFT))

    def y(self, steps: float) -> int:
        return round(_BOTTOM - steps / self.most_steps * (_BOTTOM - _CURVES_TOP))


def draw_queue(
    samples: Sequence[QueueSample],
    chunks_ns: Sequence[int],
    *,
    now_ns: int,
    window_s: float,
    words: str,
) -> NDArray[np.uint8]:
    """Draw the time up to now.

    Args:
        samples: What the executor said, in order.
        chunks_ns: When chunks came into effect.
        now_ns: The right edge.
        window_s: How much time is shown.
        words: What else there is to say, for the second line.

    Returns:
        (340, 960, 3) uint8 RGB.
    """
    begin_ns = now_ns - round(window_s * 1e9)
    shown = [sample for sample in samples if begin_ns <= sample.stamp_ns <= now_ns]
    levels = [value for each in shown for value in (each.steps, each.asks_at)]
    finite = [value for value in levels if math.isfinite(value)]
    panel = _Panel(begin_ns, now_ns, max([*finite, _LEAST_STEPS]))
    image = np.full((HEIGHT_PX, WIDTH_PX, 3), _PAPER, dtype=np.uint8)
    for begin, end, _ in _holds(shown):
        left, right = panel.x(begin), panel.x(end)
        cv2.rectangle(image, (left, _TOP), (right, _BOTTOM), _HOLD, -1)
        # The edge shows where one reason ends and another begins.
        cv2.line(image, (left, _TOP), (left, _BOTTOM), _PAPER, 2)
    _grid(image, panel, window_s)
    _starved(image, panel, shown)
    for stamp_ns in chunks_ns:
        if begin_ns <= stamp_ns <= now_ns:
            _chunk(image, panel.x(stamp_ns))
    _lines(image, panel, shown)
    _name_holds(image, panel, shown)
    _head(image, samples[-1] if samples else None, now_ns, words)
    _legend(image)
    return image


def _holds(samples: Sequence[QueueSample]) -> Iterator[tuple[int, int, str]]:
    """Beginning, end and reason of each hold; each sample speaks of the time since the last."""
    begin_ns, reason = 0, ""
    for before, after in pairwise(samples):
        apart = after.stamp_ns - before.stamp_ns > _GAP_NS
        if reason and (after.hold != reason or apart):
            yield begin_ns, before.stamp_ns, reason
            reason = ""
        if after.hold and not reason and not apart:
            begin_ns, reason = before.stamp_ns, after.hold
    if reason:
        yield begin_ns, samples[-1].stamp_ns, reason


def _grid(image: NDArray[np.uint8], panel: _Panel, window_s: float) -> None:
    """Lines and numbers of both axes."""
    step = _round_step(panel.most_steps)
    for count in range(int(panel.most_steps / step) + 1):
        y = panel.y(count * step)
        cv2.line(image, (_LEFT, y), (_RIGHT, y), _GRID if count else _INK, 1)
        _text(image, f"{count * step:g}", (_LEFT - 8, y + 4), _GREY, anchor=1.0)
    step = _round_step(window_s)
    for count in range(int(window_s / step) + 1):
        x = panel.x(panel.end_ns - round(count * step * 1e9))
        cv2.line(image, (x, _TOP), (x, _BOTTOM), _GRID, 1)
        _text(image, f"-{count * step:g} s" if count else "now", (x, _BOTTOM + 17), _GREY)
    _text(image, "steps", (_LEFT - 8, _TOP - 8), _GREY, anchor=1.0)


def _round_step(most: float) -> float:
    """The least of 1, 2, 5, 10 ... times a power of ten that divides a range into six at most."""
    power = 10.0 ** math.floor(math.log10(most / 6.0))
    return power * next(factor for factor in (1.0, 2.0, 5.0, 10.0) if factor * power * 6.0 >= most)


def _starved(image: NDArray[np.uint8], panel: _Panel, samples: Sequence[QueueSample]) -> None:
    for before, after in pairwise(samples):
        if after.starved_ticks > before.starved_ticks:
            left, right = panel.x(before.stamp_ns), panel.x(after.stamp_ns)
            cv2.rectangle(image, (left, _BOTTOM - _STARVED_PX), (right, _BOTTOM), _STARVED, -1)


def _chunk(image: NDArray[np.uint8], x: int) -> None:
    """A chunk came into effect."""
    cv2.line(image, (x, _TOP), (x, _BOTTOM), _CHUNK_LINE, 1)
    corners = np.array([[x - 4, _TOP - 7], [x + 4, _TOP - 7], [x, _TOP]], dtype=np.int32)
    cv2.fillPoly(image, [corners], _CHUNK, cv2.LINE_AA)


def _lines(image: NDArray[np.uint8], panel: _Panel, samples: Sequence[QueueSample]) -> None:
    """The asking level, and above it the steps left."""
    close = [
        (before, after)
        for before, after in pairwise(samples)
        if after.stamp_ns - before.stamp_ns <= _GAP_NS
    ]
    for before, after in close:
        if math.isfinite(after.asks_at):
            y = panel.y(after.asks_at)
            for x in range(panel.x(before.stamp_ns), panel.x(after.stamp_ns)):
                image[y, x] = _ASKS if x % 8 < 5 else image[y, x]
    for before, after in close:
        begin = (panel.x(before.stamp_ns), panel.y(before.steps))
        end = (panel.x(after.stamp_ns), panel.y(after.steps))
        cv2.line(image, begin, end, _QUEUE, 2, cv2.LINE_AA)


def _name_holds(image: NDArray[np.uint8], panel: _Panel, samples: Sequence[QueueSample]) -> None:
    """Say why it held, of holds that are too near to each other for the longest alone."""
    taken: list[tuple[float, float]] = []
    for begin_ns, end_ns, reason in sorted(_holds(samples), key=lambda span: span[0] - span[1]):
        text = reason.replace("_", " ")
        half = 0.5 * cv2.getTextSize(text, _FONT, _TEXT, 1)[0][0] + 4.0
        middle = 0.5 * (panel.x(begin_ns) + panel.x(end_ns))
        middle = min(max(middle, _LEFT + half), _RIGHT - half)
        if all(middle + half < left or middle - half > right for left, right in taken):
            taken.append((middle - half, middle + half))
            corners = (round(middle - half), _TOP + 4), (round(middle + half), _TOP + 20)
            cv2.rectangle(image, *corners, _HOLD, -1)
            _text(image, text, (round(middle), _TOP + 16), _INK)


def _head(image: NDArray[np.uint8], newest: QueueSample | None, now_ns: int, words: str) -> None:
    """What is so now, in words."""
    if newest is None:
        title = "the executor has said nothing yet"
    else:
        asks = f", asks at {newest.asks_at:.0f}" if math.isfinite(newest.asks_at) else ""
        doing = f"holds: {newest.hold.replace('_', ' ')}" if newest.hold else "moves"
        title = f"{newest.steps:.1f} steps left{asks} - {doing}"
        if now_ns - newest.stamp_ns > _GAP_NS:
            title = f"no word from the executor for {(now_ns - newest.stamp_ns) * 1e-9:.0f} s"
    cv2.putText(image, title, (_LEFT, 24), _FONT, _TITLE, _INK, 1, cv2.LINE_AA)
    _text(image, words, (_LEFT, 44), _GREY, anchor=0.0)


def _legend(image: NDArray[np.uint8]) -> None:
    x, y = _LEFT, HEIGHT_PX - 16
    entries: list[tuple[str, Colour]] = [
        ("steps left", _QUEUE),
        ("asks for an observation below", _ASKS),
        ("chunk came into effect", _CHUNK),
        ("hold, and why", _HOLD),
        ("starved", _STARVED),
    ]
    for text, colour in entries:
        cv2.rectangle(image, (x, y - 9), (x + 16, y), colour, -1)
        _text(image, text, (x + 22, y), _INK, anchor=0.0)
        x += 46 + int(cv2.getTextSize(text, _FONT, _TEXT, 1)[0][0])


def _text(
    image: NDArray[np.uint8],
    text: str,
    at: tuple[int, int],
    colour: Colour,
    *,
    anchor: float = 0.5,
) -> None:
    """Write; ``at`` is the baseline, and so much of the text is left of it."""
    width = cv2.getTextSize(text, _FONT, _TEXT, 1)[0][0]
    origin = (round(at[0] - anchor * width), at[1])
    cv2.putText(image, text, origin, _FONT, _TEXT, colour, 1, cv2.LINE_AA)
