# SPDX-License-Identifier: Apache-2.0
"""A world of numbers: a moving target, unannounced jumps, and stretches with two valid ways.

Seven joints follow a smooth target for 40 s. Now and then it jumps, which no policy can know before
it sees it. In some stretches there are two ways round an obstacle in the middle, and the policy
draws one anew for each chunk. The robot is where it was commanded to be. Policies answer with 50
actions at 30 Hz, and are asked every 15; commands are sent at 100 Hz.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.execution.contenders import CONTENDERS
from benchmarks.execution.metrics import smoothness
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError
from vla_ros.core.executor_status import Hold, Measured
from vla_ros.core.policy_spec import PolicySpec, policy_spec_from
from vla_ros.core.robot_spec import RobotSpec, robot_spec_from
from vla_ros.core.yaml_file import parse

Doubles = NDArray[np.float64]

JOINTS = 7
DURATION_S = 40.0
RATE_HZ = 100.0
HORIZON, STEP_S = 50, 1.0 / 30.0
# The camera's delay: an observation shows the world so long before it was asked for.
AGE_S = 0.03
# Unannounced jumps: one in so many seconds, of about so many radians.
JUMP_EVERY_S, JUMP_RAD = 5.0, 0.25
# Stretches with two ways: how often, how long, how far apart from the middle, in how many joints.
FORK_EVERY_S, FORK_S, FORK_RAD, FORK_JOINTS = 6.0, 1.6, 0.3, 2
# The policy's noise: of each action, and of each chunk as a whole [rad].
ACTION_NOISE_RAD, CHUNK_NOISE_RAD = 0.003, 0.01
# A command within this share of the way from the middle hits what stands there, while the ways are
# at least so far apart.
OBSTACLE, APART = 0.35, 0.8

_NAMES = [f"joint_{index}/position" for index in range(JOINTS)]
_LIMITS = (
    "{lower: -20, upper: 20, max_velocity: 100, max_acceleration: 100000, joining: continuous}"
)
_ROBOT = f"""
name: toy
on_starvation: hold
max_camera_skew_s: 0.1
interfaces:
{chr(10).join(f"  {name}: {_LIMITS}" for name in _NAMES)}
cameras: {{}}
state_streams:
  joints: {{topic: j, type: joint_state, max_age_s: 1.0, interfaces: [{", ".join(_NAMES)}]}}
command_groups:
  arm: {{topic: c, type: position_array, interfaces: [{", ".join(_NAMES)}]}}
"""
_KEY = f"{{interfaces: [{', '.join(_NAMES)}], unit: rad}}"
_POLICY = f"""
name: toy
backend: none
rate_hz: 30
horizon: {HORIZON}
instruction_key: task
video: {{}}
state:
  arm: {_KEY}
action:
  arm: {_KEY}
"""


def robot() -> RobotSpec:
    """Seven joints without limits that matter."""
    return robot_spec_from(parse(_ROBOT, source="toy.yaml"), folder=Path())


def policy() -> PolicySpec:
    """Fifty actions at 30 Hz."""
    return policy_spec_from(parse(_POLICY, source="toy_policy.yaml"))


class Target:
    """Where the joints ought to be."""

    def __init__(self, seed: int) -> None:
        chance = np.random.default_rng(seed)
        self._amplitude = chance.uniform(0.05, 0.25, (3, JOINTS))
        self._omega = 2.0 * np.pi * chance.uniform(0.05, 0.45, (3, JOINTS))
        self._phase = chance.uniform(0.0, 2.0 * np.pi, (3, JOINTS))
        jumps = int(DURATION_S / JUMP_EVERY_S)
        self.jumps_s = np.sort(chance.uniform(2.0, DURATION_S - 2.0, jumps))
        self._jumps = JUMP_RAD * chance.choice([-1.0, 1.0], (jumps, JOINTS))
        begins = np.arange(3.0, DURATION_S - FORK_S, FORK_EVERY_S)
        self.forks_s = begins + chance.uniform(0.0, 2.0, len(begins))

    def middle(self, times_s: Doubles, known_s: float) -> Doubles:
        """(T, D) The target at some times, with the jumps known at one time."""
        angle = self._omega[:, None] * times_s[None, :, None] + self._phase[:, None]
        smooth = (self._amplitude[:, None] * np.sin(angle)).sum(axis=0)
        happened = (self.jumps_s[None] <= np.minimum(times_s, known_s)[:, None]).astype(float)
        return smooth + happened @ self._jumps

    def apart(self, times_s: Doubles) -> tuple[Doubles, NDArray[np.int_]]:
        """(T,) How far the ways are apart, 0 to 1, and the stretch's number; -1: there is one."""
        since = times_s[:, None] - self.forks_s[None]
        inside = (since > 0.0) & (since < FORK_S)
        number = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
        apart = np.sin(np.pi * np.where(inside, since, 0.0).max(axis=1) / FORK_S) ** 2
        # Broad on top: the ways are wholly apart for most of the stretch.
        return np.where(number >= 0, np.minimum(1.0, 2.0 * apart), 0.0), number


def chunk_of(target: Target, seen_s: float, chance: np.random.Generator) -> Doubles:
    """(H, D) What a policy answers to what it saw."""
    times = seen_s + STEP_S * np.arange(HORIZON)
    actions = target.middle(times, seen_s)
    way = chance.choice([-1.0, 1.0], size=len(target.forks_s) + 1)
    apart, number = target.apart(times)
    actions[:, :FORK_JOINTS] += (FORK_RAD * way[number] * apart)[:, None]
    actions += chance.normal(scale=CHUNK_NOISE_RAD, size=JOINTS)
    return actions + chance.normal(scale=ACTION_NOISE_RAD, size=actions.shape)


@dataclass(frozen=True, slots=True)
class ToyCase:
    """One run.

    Attributes:
        contender: Who executes.
        latency_s: From a request to its chunk.
        seed: Of the target and the policy.
    """

    contender: str
    latency_s: float
    seed: int


def run(case: ToyCase) -> dict[str, Any]:
    """The figures of one run."""
    target, chance = Target(case.seed), np.random.default_rng([1, case.seed])
    contender = CONTENDERS[case.contender]
    params = contender.params(
        control_rate_hz=RATE_HZ, chunk_size_threshold=0.7, execution_horizon=15, soft_start_s=0.0
    )
    executor = contender.make(robot(), policy(), params)
    executor.start()
    origin_ns, names = 10**9, policy().action_names
    commands, seams, asked, late, flying = [], [], 0, 0, []
    pose = target.middle(np.zeros(1), 0.0)[0]
    jitter = random.Random(case.seed)
    times = np.arange(round(DURATION_S * RATE_HZ)) / RATE_HZ
    for time_s in times:
        now_ns, joined = origin_ns + round(time_s * 1e9), False
        for chunk in [chunk for due_s, chunk in flying if due_s <= time_s]:
            try:
                executor.offer(chunk, now_ns)
                joined = True
            except ActionError:
                late += 1
        flying = [item for item in flying if item[0] > time_s]
        command = executor.update(now_ns, Measured(pose, 0.0))
        pose = pose if command.positions is None else command.positions
        request = executor.poll_request(now_ns)
        if request is not None:
            asked += 1
            actions = chunk_of(target, time_s - AGE_S, chance)
            stamp_ns = now_ns - round(AGE_S * 1e9)
            chunk = ActionChunk(
                stamp_ns, policy().step_ns, names, actions, request.request_id, request.epoch
            )
            flying.append((time_s + case.latency_s * jitter.uniform(0.9, 1.1), chunk))
        commands.append(pose)
        seams.append(joined and not isinstance(command, Hold))
    path = np.array(commands)
    return {
        **asdict(case),
        "asked": asked,
        "late": late,
        **_figures(target, times, path),
        **asdict(smoothness(path[100:], np.array(seams)[100:], 1.0 / RATE_HZ)),
    }


def _figures(target: Target, times: Doubles, path: Doubles) -> dict[str, float]:
    """How well a path follows the target."""
    middle = np.concatenate([target.middle(times[i : i + 1], times[i]) for i in range(len(times))])
    apart, _ = target.apart(times)
    error = path - middle
    detour = error[:, :FORK_JOINTS].mean(axis=1)
    # The way that is nearer is the one that was meant.
    error[:, :FORK_JOINTS] -= (FORK_RAD * apart * np.sign(detour))[:, None]
    begun = times > 1.0
    return {
        "rmse": float(np.sqrt(np.mean(error[begun] ** 2))),
        "reaction_s": _reaction_s(target, times, path - middle),
        "collide": _collide(apart, detour),
    }


def _reaction_s(target: Target, times: Doubles, error: Doubles) -> float:
    """Median time after a jump until less than half of it is left."""
    taken = []
    for jump_s in target.jumps_s:
        after = np.flatnonzero(times >= jump_s)
        size = np.abs(error[after[: round(1.5 * RATE_HZ)], FORK_JOINTS:]).mean(axis=1)
        below = np.flatnonzero(size < 0.5 * JUMP_RAD)
        taken.append(below[0] / RATE_HZ if len(below) else 1.5)
    return float(np.median(taken))


def _collide(apart: Doubles, detour: Doubles) -> float:
    """The share of decisions, one each 15 actions, after which a command hits the middle."""
    hits = (apart > APART) & (np.abs(detour) < OBSTACLE * FORK_RAD)
    decision = (np.arange(len(apart)) / (15 * STEP_S * RATE_HZ)).astype(int)
    open_ones = np.unique(decision[apart > APART])
    return float(np.mean([hits[decision == index].any() for index in open_ones]))
