# SPDX-License-Identifier: Apache-2.0
"""The program ``rollout``: a policy on a simulated robot, the whole loop without ROS.

Everything happens in simulated time, so a run is deterministic and faster than the real thing. Exit
status 0 means that all episodes ran, whether or not they succeeded; 2 that something told was wrong
or the policy could not be used.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vla_ros.backends.registry import backend_class, backend_names, new_backend
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import VlaRosError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.hold_reasons import STARVED
from vla_ros.core.params import build
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.sim.episode import Episode, EpisodeResult
from vla_ros.sim.render import RENDERERS
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.timing import Timing
from vla_ros.sim.world import World

_LOG = logging.getLogger("rollout")


def parser() -> argparse.ArgumentParser:
    """What the program may be told."""
    made = argparse.ArgumentParser(
        prog="rollout", description="Runs a policy on a simulated robot, without ROS."
    )
    made.add_argument("--robot", default="so101_sim", help="in config/robots (%(default)s)")
    made.add_argument("--policy", default="so101_scripted", help="in config/policies (%(default)s)")
    made.add_argument("--scene", default="so101_table", help="in config/sim (%(default)s)")
    made.add_argument(
        "--backend",
        choices=backend_names(),
        help="how the policy is reached; default: what its description says",
    )
    made.add_argument("--renderer", choices=RENDERERS, default="auto", help="(%(default)s)")
    made.add_argument("--episodes", type=int, default=5, help="how many (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the first episode (%(default)s)")
    made.add_argument("--instruction", help="what to do; default: drawn from each seed")
    made.add_argument(
        "--latency-ms",
        type=float,
        default=0.0,
        help="simulated time from a request to its chunk [ms] (%(default)g)",
    )
    made.add_argument(
        "--latency-jitter-ms",
        type=float,
        default=0.0,
        help="how far that varies to both sides, evenly [ms] (%(default)g)",
    )
    made.add_argument(
        "--max-duration-s", type=float, default=20.0, help="of an episode [s] (%(default)g)"
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    return made


def run(options: argparse.Namespace) -> list[EpisodeResult]:
    """Run the episodes, telling of each as it ends.

    Raises:
        VlaRosError: A description or option is wrong, or the policy cannot be used.
    """
    robot = load_robot_spec(config_file("robots", options.robot))
    policy = load_policy_spec(config_file("policies", options.policy))
    policy.check_against(robot)
    scene = load_scene_spec(config_file("sim", options.scene))
    chosen = backend_class(options.backend or policy.backend)
    config: Any = build(chosen.Config, {}, where="rollout")
    backend = new_backend(chosen, config, robot=robot, policy=policy)
    world = World(robot, scene, renderer=options.renderer)
    timing = Timing(
        latency_s=1e-3 * options.latency_ms,
        latency_jitter_s=1e-3 * options.latency_jitter_ms,
        max_duration_s=options.max_duration_s,
    )
    results = []
    try:
        sys.stdout.write(f"{backend.connect().description}\n")
        for seed in range(options.seed, options.seed + options.episodes):
            episode = Episode(world, backend, params=ExecutorParams(), timing=timing)
            results.append(episode.run(seed, options.instruction))
            sys.stdout.write(_line(results[-1]))
            sys.stdout.flush()
    finally:
        backend.close()
    return results


def _line(result: EpisodeResult) -> str:
    verdict = "success" if result.task.success else "FAILED "
    text = f"{result.seed:6d}  {verdict}  {result.duration_s:5.1f} s  {result.instruction}"
    if not result.task.success:
        text += f"\n        {result.task.detail}"
        text += f"; last error: {result.error}" if result.error else ""
    return f"{text}\n"


def summary(results: Sequence[EpisodeResult]) -> dict[str, Any]:
    """The results as plain JSON values."""
    inference_ms = [1e3 * taken for result in results for taken in result.inference_s]
    holds: Counter[str] = Counter()
    for result in results:
        holds.update(result.counts.hold_ticks)
    successes = sum(result.task.success for result in results)
    return {
        "episodes": len(results),
        "successes": successes,
        "success_rate": successes / max(len(results), 1),
        "duration_s": _spread([result.duration_s for result in results]),
        "inference_ms": _spread(inference_ms),
        "observations_sent": sum(result.counts.requested for result in results),
        "chunks_received": sum(result.counts.received for result in results),
        "starved_ticks": holds[STARVED],
        "holds": dict(holds),
        "seeds": {
            str(result.seed): {
                "instruction": result.instruction,
                "success": result.task.success,
                "detail": result.task.detail,
                "duration_s": round(result.duration_s, 3),
            }
            for result in results
        },
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    middle, high = np.percentile(values, [50, 99])
    return {"p50": round(float(middle), 3), "p99": round(float(high), 3)}


def table(facts: dict[str, Any]) -> str:
    """A summary for people."""
    duration, inference = facts["duration_s"], facts["inference_ms"]
    holds = ", ".join(f"{reason} {ticks}" for reason, ticks in facts["holds"].items()) or "none"
    rows = {
        "success": f"{facts['successes']} of {facts['episodes']} ({facts['success_rate']:.1%})",
        "episode": f"{duration.get('p50', 0.0):.1f} s (p99 {duration.get('p99', 0.0):.1f} s)",
        "inference": f"{inference.get('p50', 0.0):.1f} ms (p99 {inference.get('p99', 0.0):.1f} ms)",
        "chunks": f"{facts['chunks_received']} for {facts['observations_sent']} observations",
        "starved ticks": str(facts["starved_ticks"]),
        "held ticks": holds,
    }
    return "".join(f"  {name:14s}{value}\n" for name, value in rows.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    options = parser().parse_args(arguments)
    try:
        facts = summary(run(options))
        sys.stdout.write(table(facts))
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except (VlaRosError, OSError) as error:
        _LOG.error("%s", error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
