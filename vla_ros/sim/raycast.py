# SPDX-License-Identifier: Apache-2.0
"""Render cameras on the CPU, without OpenGL: rays for the shapes, planes for table and floor.

A ray is cast only at shapes that can lie on it: each shape's outline gives a patch of pixels. The
intersections are our own: ``mj_multiRay`` tries every ray on every shape, which takes three times
as long where a hand's camera sees mostly hand, and (in MuJoCo 3.17) it misses parts of long shapes
that stand askew. Light is Lambert's and white, as OpenGL has it here: ambient, a headlight along
the camera's axis, and a lamp at a point; so one number for each pixel is its light. Some 6 ms for
320x240. One thread.
"""

from __future__ import annotations

import cv2
import mujoco
import numpy as np
from numpy.typing import NDArray

from vla_ros.sim.canvas import Canvas
from vla_ros.sim.model import FLOOR, LAMP, TABLE
from vla_ros.sim.outlines import Doubles, Outlines, Patch, View
from vla_ros.sim.shapes import Floats, Rays, hit_box, hit_cylinder, single

# How much of the lamp a shadow takes, how wide its edge is, and up to which height over the table
# things lie in it (a plate does, a cube's top does not).
_SHADOW = np.float32(0.75)
_PENUMBRA_PX = 5
_SHADOW_HEIGHT_M = 0.012


class RaycastRenderer:
    """Renders the cameras of one model."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Precompute what does not move.

        Raises:
            ConfigError: A visible shape is neither a box nor a cylinder.
        """
        self._model = model
        self._outlines = Outlines(model)
        self._table, self._floor = model.geom(TABLE), model.geom(FLOOR)
        self._lamp = model.light(LAMP).id
        self._still: dict[tuple[float, ...], Canvas] = {}

    def render(self, data: mujoco.MjData, camera: int) -> NDArray[np.uint8]:
        """(H, W, 3) What a camera sees; ``data`` must be after ``mj_forward``."""
        view = View.of(self._model, data, camera)
        lamp_m = data.light_xpos[self._lamp]
        outlines = self._outlines.placed(data)
        canvas = self._ground(view, lamp_m, camera)
        for geom, corners in zip(self._outlines.geoms, view.project(outlines), strict=True):
            patch = view.patch(corners)
            if patch is not None:
                self._draw_shape(canvas, data, int(geom), patch)
        light = canvas.light(
            ambient=self._model.vis.headlight.ambient[0],
            headlight=self._model.vis.headlight.diffuse[0],
            lamp=self._model.light_diffuse[self._lamp, 0],
            shadow=_shadows(outlines, lamp_m, view),
            shadow_height_m=_SHADOW_HEIGHT_M,
        )
        sky_rgb = self._model.tex_data[:3] / 255.0
        return canvas.coloured(np.vstack([self._model.geom_rgba[:, :3], sky_rgb]), light)

    def _ground(self, view: View, lamp_m: Doubles, camera: int) -> Canvas:
        """Sky, floor and table; drawn once for a camera that does not move."""
        key = (camera, *lamp_m)
        if key in self._still:
            return self._still[key].copy()
        canvas = Canvas(view, lamp_m, sky=self._model.ngeom)
        canvas.draw_plane(self._floor.pos[2], None, self._floor.id)
        canvas.draw_plane(0.0, (self._table.pos[:2], self._table.size[:2]), self._table.id)
        if self._model.body_weldid[self._model.cam_bodyid[camera]] == 0:
            self._still = {at: drawn for at, drawn in self._still.items() if at[0] != camera}
            self._still[key] = canvas.copy()
        return canvas

    def _draw_shape(self, canvas: Canvas, data: mujoco.MjData, geom: int, patch: Patch) -> None:
        rotation = data.geom_xmat[geom].reshape(3, 3)
        center = data.geom_xpos[geom]
        rays = Rays(
            origin=single((canvas.view.origin - center) @ rotation),
            direction=canvas.rays(patch, rotation),
            lamp=single((canvas.lamp_m - center) @ rotation),
            backward=single(-canvas.view.forward @ rotation),
        )
        size = single(self._model.geom_size[geom])
        if self._model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
            canvas.draw(patch, hit_box(rays, size), geom)
        else:
            canvas.draw(patch, hit_cylinder(rays, float(size[0]), float(size[1])), geom)


def _shadows(outlines: list[Doubles], lamp_m: Doubles, view: View) -> Floats:
    """(H, W) Which part of the lamp's light each pixel loses, if it shows the table."""
    fallen = []
    for corners in outlines:
        if _SHADOW_HEIGHT_M < corners[:, 2].max() < lamp_m[2] - 0.1:
            scale = lamp_m[2] / (lamp_m[2] - corners[:, 2])
            fallen.append(lamp_m + scale[:, None] * (corners - lamp_m))
    mask = np.zeros((view.height, view.width), np.uint8)
    for corners in view.project(fallen):
        if len(corners) >= 3:
            # Pixel centres are at half pixels here and at whole ones in OpenCV; 4 bits of fraction.
            fixed = np.clip(np.round((corners - 0.5) * 16.0), -(2**20), 2**20).astype(np.int32)
            cv2.fillConvexPoly(mask, cv2.convexHull(fixed), 255, cv2.LINE_AA, 4)
    soft = cv2.blur(mask, (_PENUMBRA_PX, _PENUMBRA_PX))
    shadows: Floats = soft * (_SHADOW / np.float32(255.0))
    return shadows
