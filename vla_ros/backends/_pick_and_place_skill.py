# SPDX-License-Identifier: Apache-2.0
"""What the pick-and-place policies have in common: from an observation to what is seen in it.

One thread. Metres, radians.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vla_ros.backends._pick_and_place_facts import TaskFacts, load_task_facts
from vla_ros.backends._pick_and_place_motion import Arm, Doubles, Waypoint, follow
from vla_ros.backends._pick_and_place_plan import Body, Planner
from vla_ros.backends._pick_and_place_side import SidePlanner
from vla_ros.backends._pick_and_place_sight import Eyes, Sight
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import ConfigError, RemotePolicyError
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.transforms import pose_from

# The frame in which places are told.
TABLE = "table"


class Plans(Protocol):
    """Decides what to do next."""

    def plan(self, body: Body, sight: Sight) -> Iterable[Waypoint]:
        """The way to the end of the task from here."""

    def withdraw(self, body: Body) -> list[Waypoint]:
        """Out of the cameras' way, keeping what may be in the hand; empty once it is there."""


@dataclass(frozen=True, slots=True)
class Skill:
    """A task's facts, and what it takes to see and to plan.

    Attributes:
        robot: The body.
        policy: What commands it.
        facts: What is known of the task.
        kinematics: The body's.
        arm: The same in terms of the hand.
        eyes: They remember the episode.
        planner: Decides what to do next.
    """

    robot: RobotSpec
    policy: PolicySpec
    facts: TaskFacts
    kinematics: Kinematics
    arm: Arm
    eyes: Eyes
    planner: Plans

    @property
    def interfaces(self) -> tuple[str, ...]:
        """(n + 1,) The arm's joints, then the hand."""
        return (*self.facts.hand.arm, self.facts.hand.opening)

    def feel(self, observation: Observation) -> Body:
        """The arm and hand as they were measured.

        Raises:
            ConfigError: The observation lacks an interface.
        """
        positions = observation.select(self.interfaces).tolist()
        felt = {**self.facts.still, **dict(zip(self.interfaces, positions, strict=True))}
        joints = {name.rpartition("/")[0]: value for name, value in felt.items()}
        return Body(joints, positions[-1])

    def look(self, observation: Observation, body: Body) -> Sight:
        """What is to be seen.

        Raises:
            ThingHidden: The thing is not to be seen, but there is light.
            RemotePolicyError: The instruction names no colour that is known, or the thing or the
                plate is not to be seen.
            ConfigError: The observation lacks a camera, or an image has a wrong size.
        """
        colours = tuple(self.facts.colours)
        # Where there is only one thing, it need not be named.
        colour = named_colour(observation.instruction, colours) if len(colours) > 1 else colours[0]
        for name, camera in self.robot.cameras.items():
            expected = (camera.height, camera.width, 3)
            image = observation.images.get(name)
            if image is None or image.shape != expected:
                found = "none" if image is None else str(image.shape)
                raise ConfigError(f"camera {name}: image must be {expected}, found {found}")
        return self.eyes.look(observation.images, body.joints, colour)

    def positions(self, body: Body) -> Doubles:
        """(n,) Where the arm is."""
        return np.array([body.joints[name] for name in self.arm.joints])

    def withdraw(self, body: Body) -> Doubles | None:
        """(H, n + 1) Out of the cameras' way; None once it is there."""
        waypoints = self.planner.withdraw(body)
        return self.walk(body, waypoints) if waypoints else None

    def walk(self, body: Body, waypoints: Iterable[Waypoint]) -> Doubles:
        """(H, n + 1) Actions along a way: the arm's joints, then the hand."""
        motion = self.facts.motion
        return follow(
            self.positions(body),
            waypoints,
            full_speed=self.arm.full_speed,
            ramp_s=motion.ramp_s,
            lead_s=motion.lead_s,
            step_s=1.0 / self.policy.rate_hz,
            horizon=self.policy.horizon,
        )

    def columns(self, actions: Doubles) -> Doubles:
        """(H, D) Such actions in the order of the policy's, with what goes along or stays still."""
        hand, opening = self.facts.hand, actions[:, -1]
        closed = (opening - hand.open) / (hand.closed - hand.open)
        made = dict(zip(self.interfaces, actions.T, strict=True))
        for name, (at_open, at_closed) in hand.fingers.items():
            made[name] = at_open + closed * (at_closed - at_open)
        for name, position in self.facts.still.items():
            made[name] = np.full(len(actions), position)
        return np.stack([made[name] for name in self.policy.action_names], axis=1)


def make_skill(task: str, robot: RobotSpec, policy: PolicySpec) -> Skill:
    """Read a task's facts and the robot's kinematics.

    Args:
        task: A name in config/tasks, or a .yaml file's path.
        robot: The body.
        policy: What shall command it.

    Raises:
        ConfigError: The robot has no URDF, or the facts do not fit it or the policy.
    """
    if robot.urdf is None:
        raise ConfigError(f"{robot.source}: urdf: is required by policy {policy.name}")
    facts = load_task_facts(config_file("tasks", task), robot)
    table = pose_from(np.eye(3), facts.base_m)
    kinematics = Kinematics.from_file(robot.urdf).standing_on(TABLE, table)
    moved = {*facts.hand.arm, facts.hand.opening, *facts.hand.fingers}
    kept = {name for name in facts.still if name in robot.command_names}
    if set(policy.action_names) != moved | kept:
        raise ConfigError(
            f"{policy.source}: action: must command exactly {', '.join(sorted(moved | kept))};"
            f" it commands {', '.join(policy.action_names)}"
        )
    arm = Arm(robot, facts, kinematics)
    eyes = Eyes(robot, facts, kinematics)
    planner = Planner(arm, facts) if facts.side is None else SidePlanner(arm, facts, facts.side)
    return Skill(robot, policy, facts, kinematics, arm, eyes, planner)


def named_colour(instruction: str, colours: tuple[str, ...]) -> str:
    """The first colour that an instruction names.

    Raises:
        RemotePolicyError: It names none of them.
    """
    named = [word for word in re.findall(r"[a-z]+", instruction.lower()) if word in colours]
    if named:
        return str(named[0])
    raise RemotePolicyError(
        f"cannot follow {instruction!r}: it must name a known colour, one of {', '.join(colours)}"
    )
