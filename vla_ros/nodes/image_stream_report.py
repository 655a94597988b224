# SPDX-License-Identifier: Apache-2.0
"""What image_stream_bridge keeps of each source, and what it says of them and of their server.

An ``Inflow`` is used under its owner's lock.
"""

from __future__ import annotations

import time

from vla_ros.drivers.image_slots import Slot
from vla_ros.drivers.image_stream import ImageStreamState
from vla_ros.drivers.repeats import Repeats
from vla_ros.drivers.teleimager import LEGACY_PORT
from vla_ros.ros.diagnostics import Level, Status
from vla_ros.ros.stream_rate import StreamRate

# Beyond this, an image that stays the same is worth a word [s].
_FROZEN_S = 1.0


class Inflow:
    """What came of one source.

    Attributes:
        slots: Which cameras it is for.
        problem: Why its images are refused; empty while they are not.
    """

    def __init__(self, slots: tuple[Slot, ...], still_after_s: float, silence_s: float) -> None:
        """Nothing came yet.

        Args:
            slots: Which cameras it is for.
            still_after_s: As of ``Repeats``.
            silence_s: A longer time without an image is an interruption.
        """
        self.slots = slots
        self.problem = ""
        self._silence_s = silence_s
        self._rate = StreamRate()
        self._repeats = Repeats(still_after_s=still_after_s)
        self._refused = 0
        self._interruptions = 0
        self._received_ns: int | None = None

    def takes(self, jpeg: bytes, now_ns: int) -> bool:
        """Count an image; whether it is worth passing on."""
        self._interruptions += self._age_s(now_ns) > self._silence_s
        self._received_ns = now_ns
        self._rate.received(now_ns)
        return self._repeats.takes(jpeg, now_ns)

    def refuse(self, problem: str, now_ns: int) -> bool:
        """An image came that cannot be used; whether this is news."""
        self._received_ns = now_ns
        self._refused += 1
        said, self.problem = self.problem, problem
        return said != problem

    def condition(self, now_ns: int) -> tuple[Level, str]:
        """How well it does, also in words."""
        if self._received_ns is None:
            return Level.ERROR, "no image has come yet"
        if self._age_s(now_ns) > self._silence_s:
            return Level.ERROR, f"no image has come for {self._silence_s:g} s"
        if self.problem:
            return Level.ERROR, self.problem
        if self._repeats.same_for_s(now_ns) > _FROZEN_S:
            return Level.WARN, "the image is always the same: still, or frozen"
        return Level.OK, "gives images"

    def figures(self, now_ns: int) -> dict[str, str]:
        """The same in figures."""
        return {
            "cameras": ", ".join(slot.camera for slot in self.slots),
            "rate_hz": f"{self._rate.hz(now_ns):.1f}",
            "age_s": "" if self._received_ns is None else f"{self._age_s(now_ns):.3f}",
            "same_for_s": f"{self._repeats.same_for_s(now_ns):.1f}",
            "repeated": str(self._repeats.dropped),
            "refused": str(self._refused),
            "interruptions": str(self._interruptions),
        }

    def _age_s(self, now_ns: int) -> float:
        return 0.0 if self._received_ns is None else (now_ns - self._received_ns) * 1e-9


def source_status(source: str, inflow: Inflow, state: ImageStreamState) -> Status:
    """How a source does."""
    now_ns = time.monotonic_ns()
    level, message = inflow.condition(now_ns)
    if state.protocol == "teleimager" and source not in state.sources:
        there = ", ".join(state.sources) or "none"
        level, message = Level.ERROR, f"the server has no such source; it has {there}"
    return Status(source, level, message, inflow.figures(now_ns))


def server_status(state: ImageStreamState) -> Status:
    """How the server does as a whole, with two things that are easily taken for something else."""
    level, message = Level.OK, f"protocol {state.protocol}"
    binocular = [name for name, source in state.sources.items() if source.binocular]
    if state.problem:
        level, message = Level.ERROR, state.problem
    elif state.protocol == "legacy":
        message += f"; mind that GR00T's policy server takes port {LEGACY_PORT} by default, too"
    elif binocular:
        level = Level.WARN
        message += (
            f"; {', '.join(binocular)} is binocular: right for a robot with two eyes, while a"
            " simulator's server sends the images of both wrists then (set binocular: false)"
        )
    return Status("server", level, message, {"searches": str(state.searches)})
