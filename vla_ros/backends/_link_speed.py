# SPDX-License-Identifier: Apache-2.0
"""How many bits a second get to a server. Times are in seconds; one thread."""

from __future__ import annotations

from collections.abc import Callable

# Up to here JPEG files get there before raw images do: what three images of 480x640 px are shorter
# by, 2.6 MB, against the 4 ms that two cores take to encode and decode them.
JPEG_UP_TO_BIT_S = 5e9
# What is sent, and the speed above which more must be sent to tell.
_SIZES = ((64 * 1024, 1e9), (1024 * 1024, float("inf")))
# The shortest of so many times is that of the link; the others are of somebody else's work. What is
# slow is known well enough sooner.
_REPEATS = 8
_ENOUGH_S = 0.05
_SHORTEST_S = 1e-6


def link_speed(exchange: Callable[[int], float]) -> float:
    """The speed of a link [bit/s].

    Args:
        exchange: Sends that many bytes, and says after how long their answer was there [s].

    >>> round(link_speed(lambda size: 0.001 + 8 * size / 100e6) / 1e6)
    100
    """
    empty_s = _shortest(exchange, 0)
    speed = 0.0
    for size, enough in _SIZES:
        took_s = _shortest(exchange, size) - empty_s
        speed = 8 * size / max(took_s, _SHORTEST_S)
        if speed < enough:
            break
    return speed


def _shortest(exchange: Callable[[int], float], size: int) -> float:
    times = [exchange(size)]
    while len(times) < _REPEATS and sum(times) < _ENOUGH_S:
        times.append(exchange(size))
    return min(times)
