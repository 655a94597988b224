# SPDX-License-Identifier: Apache-2.0
"""What unitree_bridge says in /diagnostics. Reads what the bridge's threads replace."""

from __future__ import annotations

import time
from typing import Any

from vla_ros.drivers.unitree.body_command import STALE_S, Phase
from vla_ros.drivers.unitree.link import Inlet, UnitreeLink
from vla_ros.ros.diagnostics import Level, Status
from vla_ros.ros.stream_rate import StreamRate

# Beyond this, a state that stays the same is worth a word [s].
_FROZEN_S = 1.0


def state_status(name: str, inlet: Inlet[Any, Any], rate: StreamRate, where: str) -> Status:
    """How a part of the robot is measured.

    Args:
        name: The part.
        inlet: Where its states come from.
        rate: Of those that were published.
        where: The DDS domain, in words.
    """
    now_ns = time.monotonic_ns()
    age_s = None if inlet.received_ns is None else (now_ns - inlet.received_ns) * 1e-9
    level, message = Level.OK, "is measured"
    if age_s is None:
        level = Level.ERROR
        message = f"nothing has come on {inlet.topic} in {where}: is that the domain and interface?"
    elif age_s > STALE_S:
        level, message = Level.ERROR, f"nothing has come on {inlet.topic} for {STALE_S:g} s"
    elif inlet.problem:
        level, message = Level.ERROR, inlet.problem
    elif inlet.same_for_s(now_ns) > _FROZEN_S:
        level, message = Level.WARN, "is always the same, to the last bit: still, or frozen"
    figures = {
        "rate_hz": f"{rate.hz(now_ns):.1f}",
        "age_s": "" if age_s is None else f"{age_s:.3f}",
        "same_for_s": f"{inlet.same_for_s(now_ns):.1f}",
        "repeated": str(inlet.repeated),
        "refused": str(inlet.refused),
        "malformed": str(inlet.malformed),
    }
    return Status(name, level, message, figures)


def command_status(link: UnitreeLink, phase: Phase, quiet: list[str], *, dry_run: bool) -> Status:
    """How the robot is commanded.

    Args:
        link: The way to it.
        phase: How its body stands to commands.
        quiet: Groups that nobody commands.
        dry_run: Whether it is only read.
    """
    listeners = link.listeners
    level = Level.WARN if phase in (Phase.UNMEASURED, Phase.RELEASING) else Level.OK
    message = phase.value
    if dry_run:
        level, message = Level.WARN, "dry run: nothing is sent"
    elif not listeners:
        level = Level.WARN
        message = (
            f"nobody listens on {link.command_topic}: simulators and robots in debug mode take"
            " rt/lowcmd, robots in motion mode rt/arm_sdk"
        )
    figures = {
        "topic": link.command_topic,
        "listeners": str(listeners),
        "not_commanded": ", ".join(quiet),
    }
    return Status("commands", level, message, figures)


def task_status(played: str, expected: str) -> Status:
    """Whether a simulator plays what is expected.

    Args:
        played: The task that it says it plays; empty: it tells none.
        expected: The task that it should play; empty: any.
    """
    if played and expected and played != expected:
        return Status("task", Level.WARN, f"the simulator plays {played}, expected {expected}")
    return Status("task", Level.OK, played or "no simulator tells one")
