# SPDX-License-Identifier: Apache-2.0
"""A policy that really looks: it puts the cube of the named colour on the plate.

It gets what any policy gets, images, state and instruction, and finds the cube and the plate in the
images. It needs no model, server or simulator, and rehearses a real policy: asked late and anew
while the arm moves, it continues what it began. One thread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from vla_ros.backends._pick_and_place_facts import TaskFacts, load_task_facts
from vla_ros.backends._pick_and_place_motion import Arm, follow
from vla_ros.backends._pick_and_place_plan import Body, Planner
from vla_ros.backends._pick_and_place_sight import CubeHidden, Eyes
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.kinematics import Kinematics
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


@dataclass(frozen=True, slots=True)
class _Skill:
    facts: TaskFacts
    arm: Arm
    eyes: Eyes
    planner: Planner


class Backend(PolicyBackend):
    """Looks, plans, and returns a chunk; all in this process."""

    Config: ClassVar[type] = Config
    _skill: _Skill | None = None

    def connect(self) -> PolicyInfo:
        """Read the task's facts and the robot's kinematics.

        Raises:
            ConfigError: The robot has no URDF, or the facts do not fit it or the policy.
        """
        if self.robot.urdf is None:
            raise ConfigError(f"{self.robot.source}: urdf: is required by the scripted policy")
        facts = load_task_facts(config_file("tasks", self.config.task), self.robot)
        kinematics = Kinematics.from_file(self.robot.urdf)
        needed = {*facts.hand.arm, facts.hand.opening}
        if set(self.policy.action_names) != needed:
            raise ConfigError(
                f"{self.policy.source}: action: must command exactly {', '.join(sorted(needed))};"
                f" it commands {', '.join(self.policy.action_names)}"
            )
        arm = Arm(self.robot, facts, kinematics)
        eyes = Eyes(self.robot, facts, kinematics)
        self._skill = _Skill(facts, arm, eyes, Planner(arm, facts))
        colours = ", ".join(facts.colours)
        return PolicyInfo(description=f"scripted pick and place, in process; colours: {colours}")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """The chunk for an observation; a prefix is ignored.

        Raises:
            BackendUnavailable: ``connect`` was not called.
            RemotePolicyError: The instruction names no colour that it knows, or it does not see the
                cube or the plate although the arm is out of the way.
            ConfigError: The observation lacks a camera or interface, or an image has a wrong size.
        """
        if self._skill is None:
            raise BackendUnavailable("the scripted policy is not connected; call connect first")
        begun_ns, skill = self.now_ns(), self._skill
        colour = named_colour(observation.instruction, tuple(skill.facts.colours))
        self._check_images(observation)
        hand = skill.facts.hand
        interfaces = (*hand.arm, hand.opening)
        measured = observation.select(interfaces)
        joints = {
            name.rpartition("/")[0]: value
            for name, value in zip(interfaces, measured.tolist(), strict=True)
        }
        body = Body(joints, float(measured[-1]))
        try:
            waypoints = skill.planner.plan(
                body, skill.eyes.look(observation.images, joints, colour)
            )
        except CubeHidden:
            # The arm itself may stand before the cube, as when the server was started anew.
            waypoints = skill.planner.withdraw(body)
            if not waypoints:
                raise
        actions = follow(
            measured[:-1],
            waypoints,
            full_speed=skill.arm.full_speed,
            ramp_s=skill.facts.motion.ramp_s,
            lead_s=skill.facts.motion.lead_s,
            step_s=1.0 / self.policy.rate_hz,
            horizon=self.policy.horizon,
        )
        order = [interfaces.index(name) for name in self.policy.action_names]
        return self.chunk(
            observation, actions[:, order], sent_ns=begun_ns, received_ns=self.now_ns()
        )

    def _check_images(self, observation: Observation) -> None:
        for name, camera in self.robot.cameras.items():
            expected = (camera.height, camera.width, 3)
            image = observation.images.get(name)
            if image is None or image.shape != expected:
                found = "none" if image is None else str(image.shape)
                raise ConfigError(f"camera {name}: image must be {expected}, found {found}")

    def reset(self) -> None:
        """Forget the episode: what was seen."""
        if self._skill is not None:
            self._skill.eyes.forget()

    def close(self) -> None:
        """Let go of the task."""
        self._skill = None


def named_colour(instruction: str, colours: tuple[str, ...]) -> str:
    """The first colour that an instruction names.

    Raises:
        RemotePolicyError: It names none of them.
    """
    named = [word for word in re.findall(r"[a-z]+", instruction.lower()) if word in colours]
    if named:
        return str(named[0])
    raise RemotePolicyError(
        f"cannot follow {instruction!r}: it must name a cube's colour, one of {', '.join(colours)}"
    )
