# SPDX-License-Identifier: Apache-2.0
"""A small trained policy that samples: it puts the cube of the named colour on the plate.

A flow-matching policy as the large ones are, small enough for numpy: each chunk begins as noise,
and which way the arm takes around is decided by the noise. So chunk after chunk it may change its
mind, and it can be told by a prefix to go on as it began. It sees with the scripted policy's eyes.
Trained by ``benchmarks/flow_policy``. One thread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from vla_ros.backends._flow_features import feature_count, features
from vla_ros.backends._flow_network import Doubles, Network, load_network
from vla_ros.backends._guided_inpainting import Guidance, Schedule, inpaint, prefix_weights
from vla_ros.backends._pick_and_place_plan import Planner
from vla_ros.backends._pick_and_place_sight import Sight, ThingHidden
from vla_ros.backends._pick_and_place_skill import Skill, make_skill
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param

# How long a cube is believed to lie where it was seen, while the arm hides it.
_REMEMBERED_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Config:
    """Parameters of the flow policy."""

    task: str = param(
        "so101_pick_and_place",
        "What it knows of its task: a name in config/tasks, or a .yaml file's path.",
        read_only=True,
    )
    weights: str = param(
        "so101_flow",
        "What it has learned: a name in config/policies, or a .npz file's path.",
        read_only=True,
    )
    seed: int = param(0, "Of the noise, which begins anew with each episode.", ge=0)
    steps: int = param(10, "Denoising steps of a chunk.", ge=1, le=100)
    guidance: bool = param(default=True, description="Continue the prefix of a request.")
    schedule: Schedule = param(
        "linear", "How firmly actions are held to the prefix after those certain to be executed."
    )
    max_guidance_weight: float = param(
        10.0,
        "How hard a denoising step is pulled at most; more than steps counts as steps.",
        ge=0.0,
        le=100.0,
    )
    jacobian: Literal["identity", "true"] = param(
        "identity", "How a pull reaches the noisy chunk: as LeRobot does it, or as in the paper."
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was last seen, when, and for which instruction."""

    stamp_ns: int
    instruction: str
    sight: Sight

    def holds_for(self, later: Observation) -> bool:
        """Whether it may still be believed when the cube is hidden."""
        same = later.instruction == self.instruction
        age_ns = later.stamp_ns - self.stamp_ns
        return same and not self.sight.held and 0 <= age_ns <= _REMEMBERED_NS


@dataclass(frozen=True, slots=True)
class _Mind:
    skill: Skill
    planner: Planner
    network: Network


class Backend(PolicyBackend):
    """Looks, samples, and returns a chunk; all in this process."""

    Config: ClassVar[type] = Config
    per_client = True
    _mind: _Mind | None = None
    _seen: _Seen | None = None

    def connect(self) -> PolicyInfo:
        """Read the task's facts, the robot's kinematics and what was learned.

        Raises:
            ConfigError: The robot has no URDF, or the facts or the weights do not fit it or the
                policy.
        """
        skill = make_skill(self.config.task, self.robot, self.policy)
        planner = skill.planner
        if not isinstance(planner, Planner):
            raise ConfigError(f"task {self.config.task}: side: this policy grasps from above only")
        path = config_file("policies", self.config.weights, suffix=".npz")
        network = load_network(path)
        found = (network.chunk_mean.shape[0], network.interfaces, network.feature_mean.size)
        wanted = (self.policy.horizon, skill.interfaces, feature_count(skill.arm))
        if found != wanted:
            raise ConfigError(
                f"{path}: trained for {_kind(*found)}; policy {self.policy.source} needs"
                f" {_kind(*wanted)}"
            )
        self._mind, self._seen = _Mind(skill, planner, network), None
        self._rng = np.random.default_rng(self.config.seed)
        return PolicyInfo(
            description=f"flow-matching pick and place, in process; {self.config.steps} steps",
            prefix="guided" if self.config.guidance else "none",
        )

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """A chunk for an observation, drawn at random, that continues the prefix if there is one.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The instruction names no colour that it knows, or it does not see the
                cube or the plate although the arm is out of the way.
            ConfigError: The observation lacks a camera or interface, or an image has a wrong size.
        """
        if self._mind is None:
            raise BackendUnavailable("the flow policy is not connected; call connect first")
        begun_ns, mind = self.now_ns(), self._mind
        columns = mind.skill.columns(self._act(mind, observation, prefix))
        return self.chunk(observation, columns, sent_ns=begun_ns, received_ns=self.now_ns())

    def _act(self, mind: _Mind, observation: Observation, prefix: Prefix | None) -> Doubles:
        """(H, n + 1) Actions: the arm's joints, then the hand."""
        skill = mind.skill
        body = skill.feel(observation)
        try:
            sight = skill.look(observation, body)
            self._seen = _Seen(observation.stamp_ns, observation.instruction, sight)
        except ThingHidden:
            away = skill.withdraw(body)
            if away is None:
                raise
            # The arm itself may stand before the cube: what was just seen is still there.
            if self._seen is None or not self._seen.holds_for(observation):
                return away
            sight = self._seen.sight
        told = features(skill.arm, mind.planner, body, sight)
        return self._sample(mind, skill.positions(body), told, prefix)

    def _sample(self, mind: _Mind, here: Doubles, told: Doubles, prefix: Prefix | None) -> Doubles:
        """(H, n + 1) Actions: the arm's joints, learned from where it is, then the hand."""
        network, config = mind.network, self.config
        base = np.append(here, 0.0)
        guidance = None
        if prefix is not None and config.guidance:
            guidance = self._guidance(mind, base, prefix)
        flow = network.flow(told)
        noise = self._rng.standard_normal(network.chunk_mean.shape)
        vjp = flow.vjp if config.jacobian == "true" else None
        return base + network.actions(inpaint(flow.velocity, noise, config.steps, guidance, vjp))

    def _guidance(self, mind: _Mind, base: Doubles, prefix: Prefix) -> Guidance:
        """The prefix in the network's own terms; what it does not name stays free."""
        horizon, names = self.policy.horizon, mind.skill.interfaces
        count = min(len(prefix.actions), horizon)
        due = math.ceil(prefix.inference_delay_s * self.policy.rate_hz - 1e-6)
        delay = min(max(due, 0), count)
        # The weights fall all the way to where the prefix ends: a pull that stops short is a kink.
        end = max(min(horizon - prefix.execution_horizon, count), 0)
        falling = prefix_weights(delay, end, horizon, self.config.schedule)
        weights, actions = np.zeros((horizon, len(names))), np.tile(base, (count, 1))
        for column, name in enumerate(names):
            if name in prefix.names:
                weights[:, column] = falling
                actions[:, column] = prefix.actions[:count, prefix.names.index(name)]
        target = np.zeros_like(weights)
        target[:count] = mind.network.normalised(actions - base)
        return Guidance(target, weights, min(self.config.max_guidance_weight, self.config.steps))

    def reset(self) -> None:
        """Forget the episode: what was seen, and how often noise was drawn."""
        if self._mind is not None:
            self._mind.skill.eyes.forget()
            self._rng = np.random.default_rng(self.config.seed)
            self._seen = None

    def close(self) -> None:
        """Let go of the task and the weights."""
        self._mind = None


def _kind(horizon: int, interfaces: tuple[str, ...], features: int) -> str:
    return f"{horizon} actions of {', '.join(interfaces)} and {features} features"
