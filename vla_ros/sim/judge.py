# SPDX-License-Identifier: Apache-2.0
"""Judge a pick-and-place task from the physics.

Done means: the named object is on the plate at rest, no other object is, and the hand has let go.
Pure; any thread may call. Metres, seconds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vla_ros.core.errors import ConfigError
from vla_ros.sim.scene_spec import SceneSpec, Vector


@dataclass(frozen=True, slots=True)
class ObjectState:
    """An object as the physics has it.

    Attributes:
        position_m: (3,) Its centre; the table's top is at height zero.
        speed_m_s: Of its centre.
        on_plate: Whether it touches the plate.
        held: Whether it touches the hand.
    """

    position_m: Vector
    speed_m_s: float
    on_plate: bool
    held: bool


@dataclass(frozen=True, slots=True)
class TaskState:
    """How a task stands.

    Attributes:
        success: It is done.
        failed: It can no longer be done.
        detail: For people: what is done and what is missing.
    """

    success: bool
    failed: bool
    detail: str


def named_object(instruction: str, objects: Iterable[str]) -> str:
    """The object that an instruction names.

    Raises:
        ConfigError: It names none of them, or more than one.
    """
    known = tuple(objects)
    words = re.findall(r"[a-z]+", instruction.lower())
    named = [name for name in known if name in words]
    if len(named) != 1:
        raise ConfigError(
            f"instruction {instruction!r} must name exactly one object of {', '.join(known)};"
            f" it names {', '.join(named) or 'none'}"
        )
    return named[0]


class Judge:
    """Judges one episode, moment by moment. One thread."""

    def __init__(self, scene: SceneSpec, target: str, plate_xy_m: Vector) -> None:
        """Begin an episode.

        Args:
            scene: The scene with its rules.
            target: The object that shall lie on the plate.
            plate_xy_m: (2,) Where the plate is.
        """
        self._scene = scene
        self._target = target
        self._plate_xy_m = plate_xy_m
        self._done_since_s: float | None = None
        self.state = TaskState(success=False, failed=False, detail="not yet judged")

    def update(
        self, time_s: float, objects: Mapping[str, ObjectState], *, hand_open: bool
    ) -> TaskState:
        """Judge a moment; ``state`` keeps the answer. Times must rise."""
        missing = self._missing(objects, hand_open=hand_open)
        fallen = [name for name, state in objects.items() if state.position_m[2] < 0.0]
        if missing or fallen:
            self._done_since_s = None
        elif self._done_since_s is None:
            self._done_since_s = time_s
        success = (
            self._done_since_s is not None
            and time_s - self._done_since_s >= self._scene.task.settle_s
        )
        if fallen:
            detail = f"fell off the table: {', '.join(fallen)}"
        elif missing:
            detail = "; ".join(missing)
        else:
            detail = f"{self._target} is on the plate, let go of"
        self.state = TaskState(success=success, failed=bool(fallen), detail=detail)
        return self.state

    def _missing(self, objects: Mapping[str, ObjectState], *, hand_open: bool) -> list[str]:
        """What is not as it should be, in words."""
        target, rules = objects[self._target], self._scene.task
        missing = []
        if not self._rests_on_plate(self._target, target):
            missing.append(f"{self._target} is not on the plate")
        if target.speed_m_s > rules.max_speed_m_s:
            missing.append(f"{self._target} moves")
        if target.held or not hand_open:
            missing.append("the hand has not let go")
        others = [
            name
            for name, state in objects.items()
            if name != self._target and (state.on_plate or self._rests_on_plate(name, state))
        ]
        if others:
            missing.append(f"on the plate as well: {', '.join(others)}")
        return missing

    def _rests_on_plate(self, name: str, state: ObjectState) -> bool:
        """Its centre is over the plate, as high as it must be if it stands upright on it."""
        plate = self._scene.plate
        height_m = plate.height_m + 0.5 * self._scene.objects[name].height_m
        return (
            math.dist(state.position_m[:2], self._plate_xy_m) <= plate.radius_m
            and abs(state.position_m[2] - height_m) <= self._scene.task.height_tolerance_m
        )
