# SPDX-License-Identifier: Apache-2.0
"""What each pixel of an image shows: the nearest hit so far, and how light falls on it.

Single precision. One thread. Metres.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from vla_ros.sim.outlines import Doubles, Patch, View
from vla_ros.sim.shapes import Floats, Hits, single


class Canvas:
    """An image in the making.

    Attributes:
        view: The camera.
        lamp_m: (3,) Where the lamp is.
    """

    def __init__(self, view: View, lamp_m: Doubles, *, sky: int) -> None:
        """Sky everywhere.

        Args:
            view: The camera.
            lamp_m: (3,) Where the lamp is.
            sky: What stands for the sky among the geoms.
        """
        self.view = view
        self.lamp_m = lamp_m
        self._sky = sky
        self._right, self._up = view.slopes()
        self._whole = (slice(0, view.height), slice(0, view.width))
        self._world_rays = self.rays(self._whole, np.eye(3))
        shape = (view.height, view.width)
        self._distance = np.full(shape, np.inf, np.float32)
        self._geom = np.full(shape, sky)
        self._toward_lamp = np.zeros(shape, np.float32)
        self._toward_camera = np.zeros(shape, np.float32)

    def copy(self) -> Canvas:
        """Another one that looks the same, to draw on."""
        other = copy(self)
        for name in ("_distance", "_geom", "_toward_lamp", "_toward_camera"):
            setattr(other, name, getattr(self, name).copy())
        return other

    def draw_plane(self, height_m: float, area: tuple[Doubles, Doubles] | None, geom: int) -> None:
        """Draw a horizontal plane, seen from above.

        Args:
            height_m: Its height.
            area: Its (2,) centre and (2,) half size; None if it has no end.
            geom: What it is.
        """
        x, y, z = self._world_rays
        above = np.float32(self.view.origin[2] - height_m)
        distance = above / np.maximum(-z, np.float32(1e-9))
        met = z < 0.0
        if area is not None:
            offset, half = single(self.view.origin[:2] - area[0]), single(area[1])
            met &= np.abs(offset[0] + distance * x) < half[0]
            met &= np.abs(offset[1] + distance * y) < half[1]
        hits = Hits(
            np.where(met, distance, np.float32(np.inf)),
            np.full_like(distance, self.lamp_m[2] - height_m),
            np.full_like(distance, -self.view.forward[2]),
        )
        self.draw(self._whole, hits, geom)

    def rays(self, patch: Patch, axes: Doubles) -> tuple[Floats, Floats, Floats]:
        """Three (h, w) components of a patch's rays, one metre deep, along the axes' columns."""
        rows, columns = patch
        right, up, back = single(axes.T @ self.view.rotation).T
        x, y, z = (
            right[axis] * self._right[columns] + (up[axis] * self._up[rows] - back[axis])[:, None]
            for axis in range(3)
        )
        return x, y, z

    def draw(self, patch: Patch, hits: Hits, geom: int) -> None:
        """Draw a shape where it is nearer than what is there already."""
        nearer = hits.distance < self._distance[patch]
        for target, source in (
            (self._distance, hits.distance),
            (self._toward_lamp, hits.toward_lamp),
            (self._toward_camera, hits.toward_camera),
        ):
            np.copyto(target[patch], source, where=nearer)
        np.copyto(self._geom[patch], geom, where=nearer)

    def light(
        self,
        *,
        ambient: float,
        headlight: float,
        lamp: float,
        shadow: Floats,
        shadow_height_m: float,
    ) -> Floats:
        """(H, W) The light on each pixel; 1 in the sky.

        Args:
            ambient: Light from everywhere.
            headlight: Light along the camera's axis.
            lamp: Light of the lamp.
            shadow: (H, W) Which part of the lamp's light is lost on the table.
            shadow_height_m: What is higher over the table is in no shadow.
        """
        x, y, z = self._world_rays
        sky = self._geom == self._sky
        distance = np.where(sky, np.float32(1.0), self._distance)
        from_lamp = single(self.view.origin - self.lamp_m)
        square = sum(
            (from_lamp[axis] + distance * direction) ** 2
            for axis, direction in enumerate((x, y, z))
        )
        low = np.float32(self.view.origin[2]) + distance * z < np.float32(shadow_height_m)
        lit: Floats = np.float32(lamp) * np.maximum(self._toward_lamp, 0.0) / np.sqrt(square)
        lit *= 1.0 - np.where(low, shadow, np.float32(0.0))
        lit += np.float32(ambient) + np.float32(headlight) * np.maximum(self._toward_camera, 0.0)
        lit[sky] = 1.0
        return lit

    def coloured(self, rgb: Doubles, light: Floats) -> NDArray[np.uint8]:
        """(H, W, 3) The image.

        Args:
            rgb: (G + 1, 3) Colours of all geoms and of the sky, in 0..1.
            light: (H, W) The light on each pixel.
        """
        image = np.empty((self.view.height, self.view.width, 3), np.uint8)
        for channel in range(3):
            levels = single(255.0 * rgb[:, channel])[self._geom]
            image[..., channel] = np.minimum(levels * light + np.float32(0.5), np.float32(255.0))
        return image
