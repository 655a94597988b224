# SPDX-License-Identifier: Apache-2.0
"""Find things in images: by colour first, then by the outline that they must have.

A thing's outline is projected for a guessed place and compared with the pixels of its colour; the
place is moved until both agree best. Pure; any thread may call. Metres, radians, pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vla_ros.backends._pick_and_place_facts import Colour
from vla_ros.backends._pick_and_place_things import Cube, Doubles, Thing
from vla_ros.core.camera_model import CameraModel

Mask = NDArray[np.uint8]

# Fewer pixels than this are noise.
MIN_PIXELS = 20
# A part of at least this share of the largest one belongs to the same thing.
_PART_SHARE = 0.3
# Around a blob, so that an outline may reach beyond it.
_MARGIN_PX = 6
_YAWS = 6
_FIRST_STEP_M, _LAST_STEP_M = 0.003, 0.0003


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that was found.

    Attributes:
        x: Its centre on the table.
        y: Its centre on the table.
        yaw: How it is turned about the vertical.
        agreement: Shared part of its outline's and its colour's pixels, 1 for all.
    """

    x: float
    y: float
    yaw: float
    agreement: float


def segment(image: NDArray[np.uint8], colour: Colour) -> Mask:
    """(H, W) 1 where an RGB image has a colour, else 0."""
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))
    low, high = colour.hue
    hued = (hue >= low) & (hue <= high) if low <= high else (hue >= low) | (hue <= high)
    mask: Mask = (
        hued
        & (saturation >= colour.saturation[0])
        & (saturation <= colour.saturation[1])
        & (value >= colour.value[0])
        & (value <= colour.value[1])
    ).astype(np.uint8)
    return mask


def blob_of(mask: Mask) -> Mask | None:
    """(H, W) The largest connected part, and what a finger before it may have cut off from it.

    None where even the largest part is noise.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    sizes = stats[:, cv2.CC_STAT_AREA]
    sizes[0] = 0
    if sizes.max() < MIN_PIXELS:
        return None
    blob: Mask = (sizes >= max(MIN_PIXELS, _PART_SHARE * sizes.max())).astype(np.uint8)[labels]
    return blob


def centre_on(camera: CameraModel, blob: Mask, height_m: float) -> Doubles:
    """(2,) Where the ray through a blob's centre meets a height; NaN if it does not."""
    rows, columns = np.nonzero(blob)
    pixel = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])
    xy: Doubles = camera.on_plane(pixel, height_m)[0, :2]
    return xy


def place_of(camera: CameraModel, blob: Mask, thing: Thing, floor_m: float) -> Doubles:
    """(2,) Where a thing stands at a height, by one look at its blob; NaN if it cannot be there.

    Something round is judged by its top, since it may be tall, and what stands before it hides
    its foot.
    """
    if isinstance(thing, Cube):
        return centre_on(camera, blob, floor_m + 0.5 * thing.height_m)
    rows, columns = np.nonzero(blob)
    pixel = np.array([[columns[rows == rows[0]].mean() + 0.5, rows[0]]])
    rim = camera.on_plane(pixel, floor_m + thing.height_m)[0, :2]
    away = rim - camera.pose[:2, 3]
    xy: Doubles = rim - thing.radius_m * away / np.linalg.norm(away)
    return xy


def find(camera: CameraModel, blob: Mask, thing: Thing) -> Found:
    """The thing on the table that fits a blob best."""
    return (_find_cube if isinstance(thing, Cube) else _find_cylinder)(camera, blob, thing)


def _find_cube(camera: CameraModel, blob: Mask, cube: Thing) -> Found:
    x, y = place_of(camera, blob, cube, 0.0)
    matcher = _Matcher(camera, blob, lambda guess: cube.outline(guess[0], guess[1], guess[2]))
    turn = 0.5 * math.pi / _YAWS
    starts = [np.array([x, y, turn * index]) for index in range(_YAWS)]
    start = max(starts, key=matcher.agreement)
    step = np.array([_FIRST_STEP_M, _FIRST_STEP_M, 0.5 * turn])
    (x, y, yaw), agreement = matcher.improve(start, step)
    return Found(x, y, yaw, agreement)


def _find_cylinder(camera: CameraModel, blob: Mask, cylinder: Thing) -> Found:
    matcher = _Matcher(camera, blob, lambda guess: cylinder.outline(guess[0], guess[1], 0.0))
    starts = [
        place_of(camera, blob, cylinder, 0.0),
        centre_on(camera, blob, 0.5 * cylinder.height_m),
    ]
    start = max(starts, key=matcher.agreement)
    (x, y), agreement = matcher.improve(start, np.full(2, 2.0 * _FIRST_STEP_M))
    return Found(x, y, 0.0, agreement)


def outline_mask(camera: CameraModel, points: Doubles) -> Mask:
    """(H, W) 255 where the convex hull of some points is seen, less at its edge."""
    return _fill(camera, points, 0, 0, camera.width, camera.height)


def _fill(
    camera: CameraModel, points: Doubles, left: int, top: int, right: int, bottom: int
) -> Mask:
    mask = np.zeros((bottom - top, right - left), np.uint8)
    pixels, depth = camera.project(points)
    if (depth > 0.0).all():
        # OpenCV's pixel centres are at whole numbers, and it takes 4 bits of fraction.
        fixed = np.clip(np.round((pixels - [left + 0.5, top + 0.5]) * 16.0), -(2**20), 2**20)
        hull = cv2.convexHull(fixed.astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 255, cv2.LINE_AA, 4)
    return mask


class _Matcher:
    """Compares a thing's outline with a blob."""

    def __init__(
        self, camera: CameraModel, blob: Mask, points: Callable[[Doubles], Doubles]
    ) -> None:
        rows, columns = np.nonzero(blob)
        self._window = (
            max(int(columns.min()) - _MARGIN_PX, 0),
            max(int(rows.min()) - _MARGIN_PX, 0),
            min(int(columns.max()) + 1 + _MARGIN_PX, camera.width),
            min(int(rows.max()) + 1 + _MARGIN_PX, camera.height),
        )
        left, top, right, bottom = self._window
        self._blob = blob[top:bottom, left:right] * np.uint8(255)
        self._camera = camera
        self._points = points

    def agreement(self, guess: Doubles) -> float:
        """Intersection over union of the guess's outline and the blob."""
        outline = _fill(self._camera, self._points(guess), *self._window)
        both = int(np.minimum(outline, self._blob).sum(dtype=np.int64))
        either = int(np.maximum(outline, self._blob).sum(dtype=np.int64))
        return both / either

    def improve(self, guess: Doubles, step: Doubles) -> tuple[list[float], float]:
        """Move a guess along its axes while that helps, with ever smaller steps."""
        best = self.agreement(guess)
        while step[0] > _LAST_STEP_M:
            moved = False
            for axis in range(len(guess)):
                for sign in (1.0, -1.0):
                    other = guess.copy()
                    other[axis] += sign * step[axis]
                    agreement = self.agreement(other)
                    if agreement > best:
                        guess, best, moved = other, agreement, True
                        break
            if not moved:
                step = 0.5 * step
        return guess.tolist(), best
