# SPDX-License-Identifier: Apache-2.0
"""A policy that really looks: it puts the thing of the named colour on the plate.

It gets what any policy gets, images, state and instruction, and finds the thing and the plate in
the images. It needs no model, server or simulator, and rehearses a real policy: asked late and anew
while the arm moves, it continues what it began. One thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vla_ros.backends._pick_and_place_sight import ThingHidden
from vla_ros.backends._pick_and_place_skill import Skill, make_skill
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.params import param


@dataclass(frozen=True, slots=True)
class Config:
    """Parameters of the scripted policy."""

    task: str = param(
        "so101_pick_and_place",
        "What it knows of its task: a name in config/tasks, or a .yaml file's path.",
        read_only=True,
    )


class Backend(PolicyBackend):
    """Looks, plans, and returns a chunk; all in this process."""

    Config: ClassVar[type] = Config
    per_client = True
    _skill: Skill | None = None

    def connect(self) -> PolicyInfo:
        """Read the task's facts and the robot's kinematics.

        Raises:
            ConfigError: The robot has no URDF, or the facts do not fit it or the policy.
        """
        self._skill = make_skill(self.config.task, self.robot, self.policy)
        colours = ", ".join(self._skill.facts.colours)
        return PolicyInfo(description=f"scripted pick and place, in process; colours: {colours}")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; a prefix is ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The instruction names no colour that it knows, or it does not see the
                thing or the plate although the arm is out of the way.
            ConfigError: The observation lacks a camera or interface, or an image has a wrong size.
        """
        if self._skill is None:
            raise BackendUnavailable("the scripted policy is not connected; call connect first")
        begun_ns, skill = self.now_ns(), self._skill
        body = skill.feel(observation)
        try:
            sight = skill.look(observation, body)
        except ThingHidden:
            # The arm itself may stand before the thing, as when the server was started anew.
            actions = skill.withdraw(body)
            if actions is None:
                raise
        else:
            actions = skill.walk(body, skill.planner.plan(body, sight))
        return self.chunk(
            observation, skill.columns(actions), sent_ns=begun_ns, received_ns=self.now_ns()
        )

    def reset(self) -> None:
        """Forget the episode: what was seen."""
        if self._skill is not None:
            self._skill.eyes.forget()

    def close(self) -> None:
        """Let go of the task."""
        self._skill = None
