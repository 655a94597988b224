# SPDX-License-Identifier: Apache-2.0
"""What the flow policy is trained on: the scripted policy's plans, by way of random detours.

Wherever an arm gets to in simulated episodes, a demonstrator says how it would go on: nearer to the
base, further out, or over the top, each as likely as the others. So there are several right answers
to one observation, and no average of them was ever shown. Radians, metres, seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from vla_ros.backends._flow_features import features
from vla_ros.backends._pick_and_place_motion import Doubles, Waypoint
from vla_ros.backends._pick_and_place_plan import Body
from vla_ros.backends._pick_and_place_sight import Sight, ThingHidden
from vla_ros.backends._pick_and_place_skill import Skill
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.sim.world import World

# A stretch shorter than the first is gone straight; a longer one bows out by this share of the
# rest of it, but no further than the last.
_STRAIGHT_M, _BOW_SHARE, _BOW_M = 0.04, 0.35, 0.06
_BOW_POINTS = (0.25, 0.5, 0.75)
# A radian of tilt counts as much as this many metres; and where the arm is stretched, a small move
# of the hand must not take large ones of the joints.
_TILT_WEIGHT_M, _DAMPING_M = 0.02, 0.02
# How far an arm is put beside its way, and the hand's opening changed, to show how to come back.
_BESIDE_RAD = (0.01, 0.03, 0.1)
_OPENING_NOISE = 0.01
# How far the demonstrator goes beside where it meant to.
_SHIFTS_RAD = (0.0, 0.01, 0.03)
# How far the cube and the plate are put beside where they are seen.
_CUBE_M, _PLATE_M = 0.015, 0.03
_DRAWS = 3
_NOTICE_S = 0.15


class Detours:
    """Bows the long stretches of a way out to sides that are drawn anew each time."""

    def __init__(self, skill: Skill, rng: np.random.Generator) -> None:
        """Know the arm."""
        self._arm = skill.arm
        self._link = skill.facts.hand.link
        self._kinematics = skill.kinematics
        limits = [skill.robot.limits[name] for name in skill.facts.hand.arm]
        self._lower = np.array([limit.lower for limit in limits])
        self._upper = np.array([limit.upper for limit in limits])
        self._rng = rng

    def take(self, start: Doubles, waypoints: Sequence[Waypoint], time_s: float) -> list[Waypoint]:
        """The same way with detours; what comes after some time is left alone."""
        bowed: list[Waypoint] = []
        here, left_s = start, time_s
        for waypoint in waypoints:
            if left_s > 0.0:
                bowed += self._bow(here, waypoint)
            bowed.append(waypoint)
            away = np.abs(waypoint.arm - here)
            left_s -= float(np.max(away / self._arm.full_speed)) + waypoint.wait_s
            here = waypoint.arm
        return bowed

    def _bow(self, start: Doubles, goal: Waypoint) -> list[Waypoint]:
        here, there = (
            self._arm.hand_pose(dict(zip(self._arm.joints, joints.tolist(), strict=True)))
            for joints in (start, goal.arm)
        )
        distance_m = math.hypot(there.x - here.x, there.y - here.y)
        if distance_m < _STRAIGHT_M:
            return []
        size_m = min(_BOW_SHARE * (distance_m - _STRAIGHT_M), _BOW_M)
        side = self._rng.integers(3)
        offset = np.array([0.0, 0.0, size_m])
        if side != 2:
            azimuth = self._arm.azimuth(0.5 * (here.x + there.x), 0.5 * (here.y + there.y))
            away = size_m if side else -size_m
            offset = away * np.array([math.cos(azimuth), math.sin(azimuth), 0.0])
        middle = 0.5 * (start + goal.arm)
        aside = self._shifted(middle, offset) - middle
        return [
            Waypoint(
                start + share * (goal.arm - start) + 4.0 * share * (1.0 - share) * aside,
                goal.opening,
                passing=1.0,
            )
            for share in _BOW_POINTS
        ]

    def _shifted(self, positions: Doubles, offset_m: Doubles) -> Doubles:
        """(n,) Arm positions with the hand (3,) elsewhere, by one linear step."""
        at = dict(zip(self._arm.joints, positions.tolist(), strict=True))
        _, jacobian = self._kinematics.jacobian(self._link, at, self._arm.joints)
        weights = np.array([1.0] * 3 + [_TILT_WEIGHT_M] * 3)
        scaled = weights[:, None] * jacobian
        damped = scaled @ scaled.T + _DAMPING_M**2 * np.eye(6)
        step = scaled.T @ np.linalg.solve(damped, np.append(offset_m, np.zeros(3)))
        return np.clip(positions + step, self._lower, self._upper)


class Demonstrator(PolicyBackend):
    """Goes on as it likes best at the moment, and a little beside where it meant to."""

    def __init__(self, skill: Skill, rng: np.random.Generator) -> None:
        """Sees with a skill's eyes; chooses at random."""
        super().__init__(None, robot=skill.robot, policy=skill.policy)
        self._skill = skill
        self._rng = rng
        self._detours = Detours(skill, rng)

    def connect(self) -> PolicyInfo:
        """Nothing to do."""
        return PolicyInfo("demonstrator")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        """A plan by way of random detours, sometimes shifted."""
        skill = self._skill
        body = skill.feel(observation)
        try:
            [actions] = self.demonstrate(body, skill.look(observation, body))
        except ThingHidden:
            away = skill.withdraw(body)
            if away is None:
                raise
            actions = away
        shift = self._rng.choice(_SHIFTS_RAD) * self._rng.standard_normal(actions.shape[1])
        shift[-1] = 0.0
        return self.chunk(observation, skill.columns(actions + shift), sent_ns=0, received_ns=0)

    def demonstrate(self, body: Body, sight: Sight, count: int = 1) -> list[Doubles]:
        """Some of the right answers, each (H, n + 1): the arm's joints, then the hand."""
        skill = self._skill
        here = skill.positions(body)
        waypoints = skill.planner.plan(body, sight)
        time_s = self.policy.horizon / self.policy.rate_hz
        return [skill.walk(body, self._detours.take(here, waypoints, time_s)) for _ in range(count)]

    def reset(self) -> None:
        """Forget the episode."""
        self._skill.eyes.forget()

    def close(self) -> None:
        """Nothing to do."""


@dataclass
class Recorder:
    """Watches episodes and writes down what the demonstrator would do.

    Attributes:
        demonstrator: It is asked, whoever drives.
        skill: With eyes of its own.
        rng: Draws where else the arm could be.
        seen: (F,) Features, one for each answer.
        bases: (n,) Where the arm was.
        answers: (H, n + 1) What was right there.
    """

    demonstrator: Demonstrator
    skill: Skill
    rng: np.random.Generator
    seen: list[Doubles] = field(default_factory=list)
    bases: list[Doubles] = field(default_factory=list)
    answers: list[Doubles] = field(default_factory=list)
    _due_s: float = 0.0

    def begin(self) -> None:
        """A new episode."""
        self.skill.eyes.forget()
        self._due_s = 0.0

    def watch(self, world: World) -> None:
        """Look now and then."""
        if world.time_s < self._due_s:
            return
        self._due_s = world.time_s + _NOTICE_S
        names = self.skill.robot.state_names
        observation = Observation(
            stamp_ns=1,
            instruction=world.instruction,
            images={camera: world.render(camera) for camera in self.skill.robot.cameras},
            state_names=names,
            state=world.state(names),
        )
        body = self.skill.feel(observation)
        try:
            sight = self.skill.look(observation, body)
        except RemotePolicyError:
            return
        self._note(body, sight)
        self._note(self._beside(body, sight), self._elsewhere(sight))

    def _note(self, body: Body, sight: Sight) -> None:
        seen = features(self.skill.arm, self.skill.planner, body, sight)
        for answer in self.demonstrator.demonstrate(body, sight, _DRAWS):
            self.seen.append(seen)
            self.bases.append(self.skill.positions(body))
            self.answers.append(answer)

    def _beside(self, body: Body, sight: Sight) -> Body:
        """Where the arm could be as well."""
        rng, facts = self.rng, self.skill.facts
        here = self.skill.positions(body)
        if sight.placed and rng.random() < 0.5:
            rest = np.array([facts.rest[name] for name in facts.hand.arm])
            here = here + rng.random() * (rest - here)
        here = here + rng.choice(_BESIDE_RAD) * rng.standard_normal(len(here))
        opening = body.opening + _OPENING_NOISE * rng.standard_normal()
        if not sight.held and rng.random() < 0.3:
            opening = rng.uniform(facts.hand.closed, facts.hand.open)
        hand = facts.hand.opening.rpartition("/")[0]
        joints = dict(zip(self.skill.arm.joints, here.tolist(), strict=True))
        return Body({**joints, hand: opening}, opening)

    def _elsewhere(self, sight: Sight) -> Sight:
        """Where the things could be as well."""
        draw = self.rng.standard_normal
        cube, plate = sight.thing, sight.plate
        cube = replace(cube, x=cube.x + _CUBE_M * draw(), y=cube.y + _CUBE_M * draw())
        plate = replace(plate, x=plate.x + _PLATE_M * draw(), y=plate.y + _PLATE_M * draw())
        turned = replace(cube, yaw=cube.yaw + 0.3 * draw())
        return replace(sight, thing=turned, plate=plate)
