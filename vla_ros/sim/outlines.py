# SPDX-License-Identifier: Apache-2.0
"""The outlines of a model's shapes, and where a camera sees them.

An outline is a set of points whose convex hull encloses a shape; its image encloses the shape's
image. Metres and pixels; a pixel's centre is at half-integer coordinates. One thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.core.errors import ConfigError
from vla_ros.sim.model import SHAPES
from vla_ros.sim.shapes import Floats, single

Doubles = NDArray[np.float64]
Patch = tuple[slice, slice]

# Nothing nearer than this to a camera's plane is seen.
_NEAR_M = 0.004
# A round shape's outline is a prism with so many sides around it.
_SIDES = 12


class Outlines:
    """The outlines of all shapes of a model.

    Attributes:
        geoms: (G,) The shapes.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        """Precompute them in the shapes' own frames."""
        self.geoms = np.flatnonzero(model.geom_group == SHAPES)
        self._local = [_outline(model, int(geom)) for geom in self.geoms]

    def placed(self, data: mujoco.MjData) -> list[Doubles]:
        """For each shape its (P, 3) outline in the world."""
        rotation = data.geom_xmat[self.geoms].reshape(-1, 3, 3)
        position = data.geom_xpos[self.geoms]
        return [
            local @ rotation[index].T + position[index] for index, local in enumerate(self._local)
        ]


def _outline(model: mujoco.MjModel, geom: int) -> Doubles:
    kind, size = model.geom_type[geom], model.geom_size[geom]
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    if kind == mujoco.mjtGeom.mjGEOM_BOX:
        box: Doubles = signs * size
        return box
    if kind == mujoco.mjtGeom.mjGEOM_CYLINDER:
        angle = np.arange(_SIDES) * 2.0 * np.pi / _SIDES
        around = size[0] / np.cos(np.pi / _SIDES) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        ends = (np.column_stack([around, np.full(_SIDES, end)]) for end in (-size[1], size[1]))
        return np.concatenate(list(ends))
    raise ConfigError(
        f"a shape of {model.body(model.geom_bodyid[geom]).name} is a {mujoco.mjtGeom(kind).name};"
        " without OpenGL only boxes and cylinders can be drawn"
    )


@dataclass(frozen=True, slots=True)
class View:
    """A camera where it is now.

    Attributes:
        origin: (3,) Its centre.
        rotation: (3, 3) Its frame in the world: x right, y up, looking along -z.
        focal_px: Its focal length.
        width: Image width [px].
        height: Image height [px].
    """

    origin: Doubles
    rotation: Doubles
    focal_px: float
    width: int
    height: int

    @classmethod
    def of(cls, model: mujoco.MjModel, data: mujoco.MjData, camera: int) -> View:
        """A camera of a model."""
        width, height = (int(size) for size in model.cam_resolution[camera])
        return cls(
            origin=data.cam_xpos[camera].copy(),
            rotation=data.cam_xmat[camera].reshape(3, 3).copy(),
            focal_px=0.5 * height / float(np.tan(0.5 * np.radians(model.cam_fovy[camera]))),
            width=width,
            height=height,
        )

    @property
    def forward(self) -> Doubles:
        """(3,) Where it looks."""
        return -self.rotation[:, 2]

    def slopes(self) -> tuple[Floats, Floats]:
        """(W,) and (H,) How far right and up the pixels' rays go for each metre ahead."""
        right = (np.arange(self.width) + 0.5 - 0.5 * self.width) / self.focal_px
        up = (0.5 * self.height - np.arange(self.height) - 0.5) / self.focal_px
        return single(right), single(up)

    def patch(self, pixels: Doubles) -> Patch | None:
        """The rows and columns around some (Q, 2) pixels; None where nothing is in the image."""
        if not len(pixels):
            return None
        size = (self.width, self.height)
        left, top = np.clip(np.floor(pixels.min(axis=0)), 0, size).astype(int).tolist()
        right, bottom = np.clip(np.ceil(pixels.max(axis=0)), 0, size).astype(int).tolist()
        if left >= right or top >= bottom:
            return None
        return slice(top, bottom), slice(left, right)

    def project(self, outlines: list[Doubles]) -> list[Doubles]:
        """For each (P, 3) outline the (Q, 2) pixels of its part before the camera; Q may be 0."""
        if not outlines:
            return []
        counts = [len(outline) for outline in outlines]
        points = (np.concatenate(outlines) - self.origin) @ self.rotation
        ends = np.cumsum(counts)
        return [
            self._pixels(_before(points[end - count : end]))
            for count, end in zip(counts, ends, strict=True)
        ]

    def _pixels(self, points: Doubles) -> Doubles:
        depth = -points[:, 2]
        column = 0.5 * self.width + self.focal_px * points[:, 0] / depth
        row = 0.5 * self.height - self.focal_px * points[:, 1] / depth
        return np.stack([column, row], axis=1)


def _before(points: Doubles) -> Doubles:
    """An outline in the camera's frame, cut at the plane just before the camera."""
    depth = -points[:, 2]
    front, back = points[depth > _NEAR_M], points[depth <= _NEAR_M]
    if not len(back) or not len(front):
        return front
    # The hull's edges that cross the plane are among all pairs of a point before and one behind.
    share = (-front[:, None, 2] - _NEAR_M) / (back[None, :, 2] - front[:, None, 2])
    cuts = front[:, None] + share[..., None] * (back[None] - front[:, None])
    return np.concatenate([front, cuts.reshape(-1, 3)])
