# SPDX-License-Identifier: Apache-2.0
"""Find cubes and a plate in images: by colour first, then by the outline that they must have.

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
from vla_ros.core.camera_model import CameraModel

Doubles = NDArray[np.float64]
Mask = NDArray[np.uint8]

# Fewer pixels than this are noise.
MIN_PIXELS = 20
# Around a blob, so that an outline may reach beyond it.
_MARGIN_PX = 6
_SIDES = 24
_YAWS = 6
_FIRST_STEP_M, _LAST_STEP_M = 0.003, 0.0003
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])


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


def largest_blob(mask: Mask) -> Mask | None:
    """(H, W) The largest connected part; None where even that is noise."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < MIN_PIXELS:
        return None
    blob: Mask = (labels == largest).astype(np.uint8)
    return blob


def centre_on(camera: CameraModel, blob: Mask, height_m: float) -> Doubles:
    """(2,) Where the ray through a blob's centre meets a height; NaN if it does not."""
    rows, columns = np.nonzero(blob)
    pixel = np.array([[columns.mean() + 0.5, rows.mean() + 0.5]])
    xy: Doubles = camera.on_plane(pixel, height_m)[0, :2]
    return xy


def find_cube(camera: CameraModel, blob: Mask, edge_m: float) -> Found:
    """The cube on the table that fits a blob best."""

    def corners(guess: Doubles) -> Doubles:
        return cube_corners(guess[0], guess[1], guess[2], edge_m)

    x, y = centre_on(camera, blob, 0.5 * edge_m)
    matcher = _Matcher(camera, blob, corners)
    turn = 0.5 * math.pi / _YAWS
    starts = [np.array([x, y, turn * index]) for index in range(_YAWS)]
    start = max(starts, key=matcher.agreement)
    step = np.array([_FIRST_STEP_M, _FIRST_STEP_M, 0.5 * turn])
    (x, y, yaw), agreement = matcher.improve(start, step)
    return Found(x, y, yaw, agreement)


def find_plate(camera: CameraModel, blob: Mask, radius_m: float, height_m: float) -> Found:
    """The plate on the table that fits a blob best."""

    def rim(guess: Doubles) -> Doubles:
        return plate_rim(guess[0], guess[1], radius_m, height_m)

    matcher = _Matcher(camera, blob, rim)
    start = centre_on(camera, blob, height_m)
    (x, y), agreement = matcher.improve(start, np.full(2, 2.0 * _FIRST_STEP_M))
    return Found(x, y, 0.0, agreement)


def cube_corners(x: float, y: float, yaw: float, edge_m: float) -> Doubles:
    """(8, 3) Corners of a cube that lies on the table."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    corners: Doubles = np.array([x, y, 0.0]) + edge_m * _CORNERS @ turn.T
    return corners


def plate_rim(x: float, y: float, radius_m: float, height_m: float) -> Doubles:
    """(P, 3) Points on the lower and upper rim of a plate that lies on the table."""
    angle = np.arange(_SIDES) * 2.0 * math.pi / _SIDES
    around = np.stack([x + radius_m * np.cos(angle), y + radius_m * np.sin(angle)], axis=1)
    return np.concatenate(
        [np.column_stack([around, np.full(_SIDES, height)]) for height in (0.0, height_m)]
    )


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
