# SPDX-License-Identifier: Apache-2.0
"""Faults in random order while a robot follows a policy, over real ROS 2; and what came of them.

Each fault lasts for a random time, and then the robot must move on with a chunk that came after it.
A witness that is no part of the ring judges every command and every hold. ``make soak`` runs this
for ten minutes; exit code 1 says that something was wrong, and the report what.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path

from vla_ros_msgs.msg import ExecutorState

from test.ros.harness import Domain, own_domain
from test.system.fault_outcome import Outcome, Struck, judge, log_problems
from test.system.fault_report import report_text
from test.system.fault_watch import now_ns
from test.system.faults import Fault, all_faults
from test.system.faulty_ring import FaultyRing, started
from vla_ros.bringup.processes import ProcessDied
from vla_ros.core import hold_reasons

START_S = 60.0
# How long at most until it moves on: a node or a server needs seconds to start and to be found.
RECOVERY_S = 30.0
# What a busy machine may add to a stated time.
BUSY_S = 2.0
# A world is left when its task is done, or after this.
WORLD_S = 25.0
REASONS = frozenset(
    value for name, value in vars(hold_reasons).items() if name.isupper() and isinstance(value, str)
)
_log = logging.getLogger("fault_run")
# What the scripted policy says when the cube is gone.
_OUT_OF_SIGHT = "sees no"


class FaultRun:
    """One run."""

    def __init__(self, ring: FaultyRing, outcome: Outcome, faults: tuple[Fault, ...]) -> None:
        self._ring = ring
        self._outcome = outcome
        self._faults = faults
        self._deck: list[Fault] = []
        self._stopped_ns = 0

    def run(self, duration_s: float) -> None:
        """Let faults strike for so long.

        Raises:
            AssertionError: It did not move on; there is no sense in going on.
            ProcessDied: A process ended that was not killed.
        """
        self._wait_for_move(now_ns(), START_S)
        self._new_world()
        begun_s = time.monotonic()
        try:
            while time.monotonic() < begun_s + duration_s:
                task = self._ring.watch.task
                if task.success or task.failed or task.elapsed_s > WORLD_S:
                    self._outcome.done += task.success
                    self._new_world()
                self._strike(self._next())
        finally:
            self._outcome.duration_s = time.monotonic() - begun_s

    def _next(self) -> Fault:
        """Every fault once in random order, then every fault again."""
        if not self._deck:
            self._deck = list(self._faults)
            self._ring.random.shuffle(self._deck)
        return self._deck.pop()

    def _new_world(self) -> None:
        """Another task, so that the policy has something to do."""
        self._stopped_ns = now_ns()
        with self._ring.stopped():
            self._ring.new_world()
            self._ring.spin_for(0.3)
        self._wait_for_move(now_ns(), RECOVERY_S)
        self._outcome.worlds += 1

    def _strike(self, fault: Fault) -> None:
        ring = self._ring
        lasts_s = ring.random.uniform(*fault.lasts_s)
        ring.notes.clear()
        struck = Struck(fault.name, now_ns())
        self._outcome.struck.append(struck)
        _log.info("%s for %.2f s", fault.name, lasts_s)
        with fault.strike(ring):
            ring.spin_for(lasts_s)
        mended_ns = now_ns()
        struck.lasted_s = (mended_ns - struck.began_ns) * 1e-9
        struck.note = " ".join(ring.notes)
        try:
            self._wait_for_move(mended_ns, RECOVERY_S)
            struck.recovered_s = (ring.watch.state_ns - mended_ns) * 1e-9
            ring.spin_for(ring.random.uniform(0.0, 0.5))
        except AssertionError as error:
            self._problem(struck, str(error))
            ring.call("reset")
            self._wait_for_move(now_ns(), RECOVERY_S)
        finally:
            self._explain(fault, struck)
        ring.check()

    def _wait_for_move(self, since_ns: int, timeout_s: float) -> None:
        """Until it follows a chunk that was joined after a moment."""
        ring = self._ring

        def moves() -> bool:
            ring.release()
            state = ring.watch.state
            return state.mode == ExecutorState.MOVE and ring.watch.joined_ns > since_ns

        ring.wait(lambda: moves() or self._nothing_to_see(), "moving on", timeout_s)
        if not moves():
            self._new_world()

    def _nothing_to_see(self) -> bool:
        """Whether the cube was thrown out of sight, which no recovery can mend."""
        state = self._ring.watch.state
        return state.hold_reason == hold_reasons.POLICY_ERROR and _OUT_OF_SIGHT in state.detail

    def _explain(self, fault: Fault, struck: Struck) -> None:
        """Judge the holds since a fault began."""
        expected = fault.reasons | {hold_reasons.STARTING}
        if self._stopped_ns > struck.began_ns:
            expected |= {hold_reasons.STOPPED}  # by ourselves, for another world
        unexpected: dict[str, str] = {}
        for at_ns, why, detail in self._ring.watch.held(struck.began_ns):
            struck.holds[why] = struck.holds.get(why, 0) + 1
            if why in fault.reasons and struck.hold_s is None:
                struck.hold_s = (at_ns - struck.began_ns) * 1e-9
            if why == hold_reasons.POLICY_ERROR and _OUT_OF_SIGHT in detail:
                continue
            if why not in expected and self._machine_was_busy(why, at_ns):
                struck.busy = True
            elif why not in expected:
                unexpected[why] = detail
        for why, detail in unexpected.items():
            unknown = "" if why in REASONS else ", which is no reason at all"
            self._problem(struck, f"held for {why!r}{unknown}: {detail}")
        due_s = fault.holds_after_s
        if due_s is None or struck.lasted_s < due_s + BUSY_S:
            return
        if struck.hold_s is None or struck.hold_s > due_s + BUSY_S:
            self._problem(struck, f"no hold within {due_s:.2f} s (seen: {struck.hold_s})")

    def _machine_was_busy(self, why: str, at_ns: int) -> bool:
        """Whether it held for want of data that came late indeed, or did not get to run itself."""
        robot, begin_ns, end_ns = self._ring.robot, at_ns - 2_000_000_000, at_ns + 300_000_000
        watch = self._ring.watch
        if why in (hold_reasons.STALE_STATE, hold_reasons.STALLED):
            shortest_s = min(stream.max_age_s for stream in robot.state_streams.values())
            if watch.latest_tick_s(begin_ns, end_ns) > 0.5 * shortest_s:
                return True
        allowed_s = {
            hold_reasons.STALE_STATE: {
                name: 0.8 * stream.max_age_s for name, stream in robot.state_streams.items()
            },
            # Cameras that are out of step are as bad as late ones.
            hold_reasons.STALE_CAMERA: dict.fromkeys(robot.cameras, robot.max_camera_skew_s),
        }
        return any(
            watch.silent_s(name, begin_ns, end_ns) > longest_s
            for name, longest_s in allowed_s.get(why, {}).items()
        )

    def _problem(self, struck: Struck, text: str) -> None:
        at = f"{struck.fault} ({struck.lasted_s:.2f} s) {struck.note}".strip()
        self._outcome.problems.append(f"{at}: {text}")
        _log.warning("%s: %s", at, text)


def fault_run(
    duration_s: float, seed: int, output: Path, faults: tuple[Fault, ...] = ()
) -> Outcome:
    """Run it and write its report.

    Args:
        duration_s: How long faults strike.
        seed: Of everything that is drawn.
        output: A folder for ``report.txt``, ``report.json``, ``witness.npz`` and ``logs/``.
        faults: Which may strike; none: all.
    """
    outcome, logs = Outcome(seed), output / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for old in logs.glob("*.log"):
        old.unlink()
    with own_domain() as number:
        domain = Domain(number)
        try:
            with started(domain, seed, logs) as ring:
                try:
                    FaultRun(ring, outcome, faults or all_faults()).run(duration_s)
                except (AssertionError, ProcessDied) as error:
                    last = outcome.struck[-1] if outcome.struck else Struck("the start", 0)
                    outcome.problems.append(f"{last.fault} {last.note}: {error}")
                judge(ring, outcome, output)
        finally:
            domain.close()
    outcome.problems += log_problems(logs)
    (output / "report.json").write_text(json.dumps(asdict(outcome), indent=1), "utf-8")
    (output / "report.txt").write_text(report_text(outcome), "utf-8")
    return outcome


def main(arguments: list[str] | None = None) -> int:
    """Run it; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--duration-s", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=None, help="none: another one each time")
    parser.add_argument("--output", type=Path, default=Path("out/soak"))
    parser.add_argument("--faults", nargs="*", default=[], help="none: all")
    parser.add_argument("--without", nargs="*", default=[], help="faults that do not strike")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    faults = {fault.name: fault for fault in all_faults()}
    unknown = [name for name in (*chosen.faults, *chosen.without) if name not in faults]
    if unknown:
        parser.error(f"no fault {unknown[0]!r}; there are {', '.join(faults)}")
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    names = [name for name in chosen.faults or faults if name not in chosen.without]
    picked = tuple(faults[name] for name in names)
    outcome = fault_run(chosen.duration_s, seed, chosen.output, picked)
    sys.stdout.write(report_text(outcome))
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
