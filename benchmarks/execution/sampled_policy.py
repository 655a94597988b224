# SPDX-License-Identifier: Apache-2.0
"""A policy that commits to another path in each chunk, as policies do that are sampled.

It is the scripted policy with a detour: each chunk leaves the straight way to one side or the
other, by an amount of its own. A detour begins at the state that the policy sees, and comes back
where the scripted motion is slow or waits, because there precision is needed.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.backends.scripted_pick_and_place import Backend as Scripted
from vla_ros.backends.scripted_pick_and_place import Config
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Observation, Prefix

Doubles = NDArray[np.float64]

# The greatest detour of a joint [rad], as a share of which each chunk draws its own.
GREATEST_RAD = 0.15
# So much white noise has each action [rad], as regressed actions do.
NOISE_RAD = 0.002
# A detour is left and rejoined within so many actions.
_RAMP = 12
# Slower than this share of the chunk's own greatest speed is slow.
_SLOW = 0.5


class SampledPolicy(PolicyBackend):
    """The scripted policy, sampled."""

    Config: ClassVar[type] = Config

    def __init__(self, scripted: Scripted, *, greatest_rad: float = GREATEST_RAD) -> None:
        super().__init__(scripted.config, robot=scripted.robot, policy=scripted.policy)
        self._scripted = scripted
        self._greatest_rad = greatest_rad
        self._seed = 0
        self._asked = 0

    def begin(self, seed: int) -> None:
        """Draw from here in the next episode."""
        self._seed = seed

    def connect(self) -> PolicyInfo:
        """As the scripted policy."""
        return self._scripted.connect()

    def reset(self) -> None:
        """As the scripted policy; and draw anew."""
        self._asked = 0
        self._scripted.reset()

    def close(self) -> None:
        """As the scripted policy."""
        self._scripted.close()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """A chunk with a detour of its own."""
        chunk = self._scripted.infer(observation)
        chance = np.random.default_rng([self._seed, self._asked])
        self._asked += 1
        actions = detoured(
            chunk.actions, self.robot.switched[self._columns()], self._greatest_rad, chance
        )
        return self.chunk(observation, actions, sent_ns=0, received_ns=0)

    def _columns(self) -> list[int]:
        return [self.robot.command_names.index(name) for name in self.policy.action_names]


def detoured(
    actions: Doubles, switched: NDArray[np.bool_], greatest_rad: float, chance: np.random.Generator
) -> Doubles:
    """(H, d) A chunk that goes another way."""
    joints = actions.shape[1]
    side = chance.choice([-1.0, 1.0]) * chance.uniform(0.5, 1.0)
    direction = chance.normal(size=joints)
    direction[switched] = 0.0
    direction /= np.abs(direction).max()
    noise = chance.normal(scale=NOISE_RAD, size=actions.shape)
    noise[:, switched] = 0.0
    bow = greatest_rad * side * _room(actions[:, ~switched])[:, None] * direction
    return actions + bow + noise


def _room(arm: Doubles) -> Doubles:
    """(H,) How far a detour may go, 0 to 1: away from its start and from whatever is slow."""
    steps = len(arm)
    speed = np.abs(np.diff(arm, axis=0, append=arm[-1:])).max(axis=1)
    slow = np.flatnonzero(speed < _SLOW * max(speed.max(), 1e-6))
    index = np.arange(steps)
    before = np.min(np.abs(index[:, None] - slow[None, :]), axis=1) if len(slow) else steps
    room: Doubles = np.clip(np.minimum(index, before) / _RAMP, 0.0, 1.0)
    return room * room * (3.0 - 2.0 * room)
