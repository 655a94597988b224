# SPDX-License-Identifier: Apache-2.0
"""Who is compared: each mode of ours, and the models of others', by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.execution.peers import Broker, Ensemble, FromTheStart, LeRobotClient
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.filters.registry import make_filter
from vla_ros.sim.episode import ChunkExecutor

Make = Callable[[RobotSpec, PolicySpec, ExecutorParams], ChunkExecutor]


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to execute chunks.

    Attributes:
        make: Makes it.
        ours: Whether it is of this package.
        changes: Parameters of ours that make it what it is.
    """

    make: Make
    ours: bool
    changes: Mapping[str, object] = field(default_factory=dict)

    def params(self, **more: object) -> ExecutorParams:
        """The parameters that it runs with."""
        return ExecutorParams(**{**self.changes, **more})  # type: ignore[arg-type]


def _ours(robot: RobotSpec, policy: PolicySpec, params: ExecutorParams) -> ChunkExecutor:
    return ActionExecutor(robot, policy, params, make_filter=make_filter)


def _lerobot(old_share: float) -> Contender:
    def make(robot: RobotSpec, policy: PolicySpec, params: ExecutorParams) -> ChunkExecutor:
        return LeRobotClient(
            robot,
            policy,
            old_share=old_share,
            threshold=params.chunk_size_threshold,
            actions_per_chunk=params.actions_per_chunk,
        )

    return Contender(make, ours=False)


def _broker(robot: RobotSpec, policy: PolicySpec, params: ExecutorParams) -> ChunkExecutor:
    return Broker(robot, policy, play=params.execution_horizon or policy.horizon // 2)


def _from_the_start(robot: RobotSpec, policy: PolicySpec, params: ExecutorParams) -> ChunkExecutor:
    ask_at = round(params.chunk_size_threshold * policy.horizon)
    return FromTheStart(robot, policy, ask_at=ask_at)


CONTENDERS: dict[str, Contender] = {
    "offset_decay": Contender(_ours, ours=True),
    "offset_decay, auto": Contender(_ours, ours=True, changes={"scheduling": "auto"}),
    "sync": Contender(_ours, ours=True, changes={"scheduling": "sync", "execution_horizon": 16}),
    **{
        name: Contender(_ours, ours=True, changes={"aggregate_fn": name})
        for name in (
            "crossfade",
            "temporal_ensemble",
            "latest_only",
            "weighted_average",
            "average",
            "conservative",
        )
    },
    "offset_decay + jerk_limit": Contender(_ours, ours=True, changes={"filters": ("jerk_limit",)}),
    "LeRobot weighted_average": _lerobot(0.3),
    "LeRobot latest_only": _lerobot(0.0),
    "LeRobot average": _lerobot(0.5),
    "LeRobot conservative": _lerobot(0.7),
    "ACT ensembling": Contender(lambda robot, policy, _: Ensemble(robot, policy), ours=False),
    "openpi broker": Contender(_broker, ours=False),
    "async from action 0": Contender(_from_the_start, ours=False),
}
OURS = tuple(name for name, contender in CONTENDERS.items() if contender.ours)
OTHERS = tuple(name for name, contender in CONTENDERS.items() if not contender.ours)
