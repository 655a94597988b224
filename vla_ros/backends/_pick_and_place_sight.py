# SPDX-License-Identifier: Apache-2.0
"""What the scripted policy sees: where the cube and the plate are, and whether it holds the cube.

Almost without memory: what stands still is remembered only for while the arm hides it. One thread.
Metres, radians.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._pick_and_place_facts import TaskFacts
from vla_ros.backends._pick_and_place_vision import (
    MIN_PIXELS,
    Doubles,
    Found,
    Mask,
    centre_on,
    cube_corners,
    find_cube,
    find_plate,
    largest_blob,
    outline_mask,
    plate_rim,
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
# The cube is between the jaws if so much of a window around that place has its colour.
_HELD_WINDOW_PX = 7
_HELD_SHARE = 0.6
# A table with light on it is brighter than this on average; a blind camera is not.
_DARK = 20.0
# The centre of a cube on the plate is seen at most this share of the radius away from its centre.
_PLACED_SHARE = 0.85


class CubeHidden(RemotePolicyError):  # noqa: N818 - the name is what happened
    """The named cube is not to be seen, though there is light: something may stand before it."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen in one observation.

    Attributes:
        cube: Where the named cube lies on the table; the best guess while it is held.
        plate: Where the plate is.
        held: The cube is between the jaws.
        placed: The cube is on the plate, unless it is held.
    """

    cube: Found
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
        self._cube: Found | None = None
        self._plate: Found | None = None
        self._colour = ""

    def forget(self) -> None:
        """Remember nothing any more."""
        self._cube = self._plate = None

    def look(
        self,
        images: Mapping[str, NDArray[np.uint8]],
        joints: Mapping[str, float],
        colour: str,
    ) -> Sight:
        """Look for the cube of a colour and the plate.

        Args:
            images: Camera name to (H, W, 3) RGB.
            joints: Joint name to position, at the moment of the images.
            colour: One of the task's colours.

        Raises:
            CubeHidden: The cube is not to be seen, but there is light.
            RemotePolicyError: The cube or the plate is not to be seen.
        """
        facts = self._facts
        if colour != self._colour:
            self._cube, self._colour = None, colour
        table = self._camera(facts.table_camera, joints)
        image = images[facts.table_camera]
        blob = largest_blob(segment(image, facts.colours[colour]))
        in_hand = segment(images[facts.hand_camera], facts.colours[colour])
        held = self._is_held(in_hand, joints)
        cube = self._find_cube(table, blob, held=held)
        if cube is None or (blob is None and in_hand.sum() < MIN_PIXELS):
            dark = image.mean() < _DARK
            raise (RemotePolicyError if dark else CubeHidden)(f"sees no {colour} cube")
        plate = self._find_plate(table, segment(image, facts.plate_colour))
        return Sight(cube, plate, held, not held and self._is_placed(table, blob, plate))

    def _camera(self, name: str, joints: Mapping[str, float]) -> CameraModel:
        camera = self._robot.cameras[name]
        if camera.geometry is None:
            raise RemotePolicyError(f"camera {name} has no geometry in {self._robot.source}")
        parent = self._kinematics.pose(camera.geometry.parent_link, joints)
        return CameraModel.of(camera, camera.geometry, parent)

    def _find_cube(self, table: CameraModel, blob: Mask | None, *, held: bool) -> Found | None:
        """Where the cube lies, if it does; while it is held, whatever there is."""
        if blob is None or (held and self._cube is not None):
            return self._cube
        seen = find_cube(table, blob, self._facts.edge_m)
        if self._cube is not None:
            known = self._cube
            corners = cube_corners(known.x, known.y, known.yaw, self._facts.edge_m)
            if not _replaces(seen, known, blob, outline_mask(table, corners)):
                return known
        self._cube = seen
        return seen

    def _find_plate(self, table: CameraModel, mask: Mask) -> Found:
        radius_m, height_m = self._facts.plate_radius_m, self._facts.plate_height_m
        if mask.sum() < MIN_PIXELS:
            if self._plate is None:
                raise RemotePolicyError("sees no plate")
            return self._plate
        seen = find_plate(table, mask, radius_m, height_m)
        if self._plate is not None:
            rim = plate_rim(self._plate.x, self._plate.y, radius_m, height_m)
            if not _replaces(seen, self._plate, mask, outline_mask(table, rim)):
                return self._plate
        self._plate = seen
        return seen

    def _is_placed(self, table: CameraModel, blob: Mask | None, plate: Found) -> bool:
        if blob is None:
            return False
        height_m = self._facts.plate_height_m + 0.5 * self._facts.edge_m
        x, y = centre_on(table, blob, height_m)
        distance_m = float(np.hypot(x - plate.x, y - plate.y))
        return distance_m < _PLACED_SHARE * self._facts.plate_radius_m

    def _is_held(self, in_hand: Mask, joints: Mapping[str, float]) -> bool:
        """Whether the jaws are held apart, and what is between them has the cube's colour."""
        hand = self._facts.hand
        opening = joints[hand.opening.rpartition("/")[0]]
        if not hand.gripping[0] < opening < hand.gripping[1]:
            return False
        point: Doubles = self._kinematics.pose(hand.link, joints) @ [*hand.grip_point_m, 1.0]
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


def _replaces(seen: Found, known: Found, blob: Mask, outline: Mask) -> bool:
    """Whether a new look is to be believed rather than what is remembered."""
    outside = blob[outline == 0].sum() / blob.sum()
    return bool(seen.agreement >= known.agreement - _WORSE or outside > _MOVED)
