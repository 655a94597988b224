# SPDX-License-Identifier: Apache-2.0
"""The simulated pick-and-place with the sampled policy: one run of one contender."""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from benchmarks.execution.contenders import CONTENDERS
from benchmarks.execution.metrics import TickLog, fewest_observations
from benchmarks.execution.sampled_policy import SampledPolicy
from vla_ros.backends.flow_pick_and_place import Backend as Flow
from vla_ros.backends.flow_pick_and_place import Config as FlowConfig
from vla_ros.backends.scripted_pick_and_place import Backend as Scripted
from vla_ros.backends.scripted_pick_and_place import Config as ScriptedConfig
from vla_ros.core.config_files import config_file
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.policy_spec import load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.sim.episode import Episode
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.timing import Timing
from vla_ros.sim.world import World

CONTROL_RATE_HZ = 100.0
MAX_DURATION_S = 25.0
# So many actions has a chunk of the policy, 1.67 s.
HORIZON = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One run.

    Attributes:
        contender: Who executes.
        latency_s: Median time from a request to its chunk.
        kind: ``constant``, ``jitter``, ``spikes`` or ``lost``.
        seed: Of the world.
        changes: Parameters of the executor that differ.
        horizon: Actions in a chunk of the sampled policy.
        policy: ``sampled``, or the flow policy ``free`` or ``guided`` by what is being executed.
    """

    contender: str
    latency_s: float
    kind: str
    seed: int
    changes: tuple[tuple[str, object], ...] = ()
    horizon: int = HORIZON
    policy: str = "sampled"


def timing(case: Case) -> Timing:
    """How answers come in a case."""
    kinds: dict[str, dict[str, float]] = {
        "constant": {},
        "jitter": {"latency_jitter_s": 0.3 * case.latency_s},
        "spikes": {"spike_share": 0.01, "spike_s": 2.0},
        "lost": {"lost_share": 0.02},
    }
    return Timing(latency_s=case.latency_s, max_duration_s=MAX_DURATION_S, **kinds[case.kind])


def run(case: Case) -> dict[str, Any]:
    """The figures of one run."""
    robot, world = _stage()
    backend = _backend(case.policy, case.horizon)
    backend.begin(case.seed)
    policy = backend.policy
    contender = CONTENDERS[case.contender]
    params = contender.params(**{"control_rate_hz": CONTROL_RATE_HZ, **dict(case.changes)})
    log = TickLog(robot)
    episode = Episode(
        world,
        backend,
        params=ExecutorParams(control_rate_hz=CONTROL_RATE_HZ),
        timing=timing(case),
        executor=contender.make(robot, policy, params),
        watch=log.watch,
    )
    result = episode.run(case.seed)
    chunk_s = min(params.chunk_length, policy.horizon) / policy.rate_hz
    return {
        **asdict(case),
        "success": result.task.success,
        "duration_s": result.duration_s,
        "starved_ticks": sum(log.starved),
        "observations": result.counts.requested,
        "fewest_observations": fewest_observations(result.duration_s, chunk_s, log.chunks),
        "dropped": result.counts.dropped,
        "moved_in_flight": log.moved_in_flight,
        "tracking_error": log.tracking_error(),
        **asdict(log.smoothness(1.0 / CONTROL_RATE_HZ)),
    }


@lru_cache(maxsize=1)
def _stage() -> tuple[RobotSpec, World]:
    robot = load_robot_spec(config_file("robots", "so101_sim"))
    scene = load_scene_spec(config_file("sim", "so101_table"))
    return robot, World(robot, scene, renderer="raycast")


@lru_cache(maxsize=8)
def _backend(policy: str, horizon: int) -> SampledPolicy | FlowPolicy:
    robot = _stage()[0]
    if policy == "sampled":
        spec = load_policy_spec(config_file("policies", "so101_scripted"))
        spec = dataclasses.replace(spec, horizon=horizon)
        backend: SampledPolicy | FlowPolicy = SampledPolicy(
            Scripted(ScriptedConfig(), robot=robot, policy=spec)
        )
    else:
        spec = load_policy_spec(config_file("policies", "so101_flow"))
        backend = FlowPolicy(FlowConfig(guidance=policy == "guided"), robot=robot, policy=spec)
    backend.connect()
    return backend


class FlowPolicy(Flow):
    """The flow policy, which draws anew in each episode."""

    def begin(self, seed: int) -> None:
        """Draw from here in the next episode."""
        self.config = dataclasses.replace(self.config, seed=seed)
