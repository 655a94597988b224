# SPDX-License-Identifier: Apache-2.0
"""What the scripted policy sees: where the thing and the plate are, and whether it holds it.

Almost without memory: what stands still is remembered only for while the arm hides it. One thread.
Metres, radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._pick_and_place_facts import TaskFacts
from vla_ros.backends._pick_and_place_things import Doubles, Thing
from vla_ros.backends._pick_and_place_vision import (
    MIN_PIXELS,
    Found,
    Mask,
    blob_of,
    find,
    outline_mask,
    place_of,
    segment,
)
from vla_ros.core.camera_model import CameraModel
from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.robot_spec import RobotSpec

# A new look replaces what is remembered if it agrees with the colour nearly as well, or if so many
# of the pixels lie outside of the remembered outline that the thing must have moved.
_WORSE = 0.03
_MOVED = 0.3
# The thing is in the hand if so much of a window around that place has its colour.
_HELD_WINDOW_PX = 7
_HELD_SHARE = 0.6
# A table with light on it is brighter than this on average; a blind camera is not.
_DARK = 20.0
# The centre of a thing on the plate is seen at most this share of the radius away from its centre.
_PLACED_SHARE = 0.85


class ThingHidden(RemotePolicyError):  # noqa: N818 - the name is what happened
    """The named thing is not to be seen, though there is light: something may stand before it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen in one observation.

    Attributes:
        thing: Where the named one stands on the table; the best guess while it is held.
        plate: Where the plate is.
        held: The thing is in the hand.
        placed: It is on the plate, unless it is held.
    """

    thing: Found
    plate: Found
    held: bool
    placed: bool


class Eyes:
    """Looks at observations of one episode."""

    def __init__(self, robot: RobotSpec, facts: TaskFacts, kinematics: Kinematics) -> None:
        """Remember nothing yet."""
        self._robot = robot
        self._facts = facts
        self._kinematics = kinematics
        self._thing: Found | None = None
        self._plate: Found | None = None
        self._colour = ""

    def forget(self) -> None:
        """Remember nothing any more."""
        self._thing = self._plate = None

    def look(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        joints: Mapping[str, float],
        colour: str,
    ) -> Sight:
        """Look for the thing of a colour and the plate.

        Args:
            images: Camera name to (H, W, 3) RGB.
            joints: Joint name to position, at the moment of the images.
            colour: One of the task's colours.

        Raises:
            ThingHidden: The thing is not to be seen, but there is light.
            RemotePolicyError: The thing or the plate is not to be seen.
        """
        facts = self._facts
        if colour != self._colour:
            self._thing, self._colour = None, colour
        table = self._camera(facts.table_camera, joints)
        image = images[facts.table_camera]
        blob = blob_of(segment(image, facts.colours[colour]))
        in_hand = segment(images[facts.hand_camera], facts.colours[colour])
        held = self._is_held(in_hand, joints)
        thing = self._find_thing(table, blob, held=held)
        if thing is None or (blob is None and in_hand.sum() < MIN_PIXELS):
            dark = image.mean() < _DARK
            raise (RemotePolicyError if dark else ThingHidden)(f"sees no {colour} {facts.noun}")
        plate = self._find_plate(table, segment(image, facts.plate_colour))
        return Sight(thing, plate, held, not held and self._is_placed(table, blob, plate))

    def _camera(self, name: str, joints: Mapping[str, float]) -> CameraModel:
        camera = self._robot.cameras[name]
        if camera.geometry is None:
            raise RemotePolicyError(f"camera {name} has no geometry in {self._robot.source}")
        parent = self._kinematics.pose(camera.geometry.parent_link, joints)
        return CameraModel.of(camera, camera.geometry, parent)

    def _find_thing(self, table: CameraModel, blob: Mask | None, *, held: bool) -> Found | None:
        """Where the thing stands, if it does; while it is held, whatever there is."""
        if blob is None or (held and self._thing is not None):
            return self._thing
        self._thing = _update(self._thing, table, blob, self._facts.thing)
        return self._thing

    def _find_plate(self, table: CameraModel, mask: Mask) -> Found:
        if mask.sum() >= MIN_PIXELS:
            self._plate = _update(self._plate, table, mask, self._facts.plate)
        if self._plate is None:
            raise RemotePolicyError("sees no plate")
        return self._plate

    def _is_placed(self, table: CameraModel, blob: Mask | None, plate: Found) -> bool:
        if blob is None:
            return False
        x, y = place_of(table, blob, self._facts.thing, self._facts.plate.height_m)
        distance_m = float(np.hypot(x - plate.x, y - plate.y))
        return distance_m < _PLACED_SHARE * self._facts.plate.radius_m

    def _is_held(self, in_hand: Mask, joints: Mapping[str, float]) -> bool:
        """Whether the hand is held open, and what is in it has the thing's colour."""
        hand = self._facts.hand
        opening = joints[hand.opening.rpartition("/")[0]]
        if not min(hand.gripping) < opening < max(hand.gripping):
            return False
        point: Doubles = self._kinematics.pose(hand.link, joints) @ [*hand.held_point_m, 1.0]
        pixels, depth = self._camera(self._facts.hand_camera, joints).project(point[None, :3])
        if depth[0] <= 0.0:
            return False
        column, row = np.floor(pixels[0]).astype(int)
        reach = _HELD_WINDOW_PX
        window = in_hand[
            max(row - reach, 0) : max(row + reach + 1, 0),
            max(column - reach, 0) : max(column + reach + 1, 0),
        ]
        return bool(window.size and window.mean() >= _HELD_SHARE)


def _update(known: Found | None, table: CameraModel, blob: Mask, thing: Thing) -> Found:
    """What a new look makes of what is remembered: the better of the two."""
    seen = find(table, blob, thing)
    if known is None:
        return seen
    outline = outline_mask(table, thing.outline(known.x, known.y, known.yaw))
    return seen if _replaces(seen, known, blob, outline) else known


def _replaces(seen: Found, known: Found, blob: Mask, outline: Mask) -> bool:
    """Whether a new look is to be believed rather than what is remembered."""
    outside = blob[outline == 0].sum() / blob.sum()
    return bool(seen.agreement >= known.agreement - _WORSE or outside > _MOVED)
