# SPDX-License-Identifier: Apache-2.0
"""Where rays meet a box or a cylinder, and how the light falls there.

All in the shape's own frame, for a patch of pixels at once: single precision, a few operations for
each pixel, no temporary larger than the patch. Pure; any thread may call. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def single(values: ArrayLike) -> Floats:
    """Values in single precision."""
    return np.asarray(values, dtype=np.float32)


_TINY = np.float32(1e-9)
_NEVER = np.float32(np.inf)


@dataclass(frozen=True, slots=True)
class Rays:
    """The rays of a patch of pixels, and the light, in a shape's frame.

    Attributes:
        origin: (3,) Where all rays start; outside of the shape.
        direction: Three (h, w) components of the rays, not of unit length.
        lamp: (3,) Where the lamp is.
        backward: (3,) Unit vector against the camera's axis.
    """

    origin: Floats
    direction: tuple[Floats, Floats, Floats]
    lamp: Floats
    backward: Floats


@dataclass(frozen=True, slots=True)
class Hits:
    """Where rays meet a shape.

    Attributes:
        distance: (h, w) In lengths of the ray; infinite where it does not.
        toward_lamp: (h, w) Surface normal times vector to the lamp [m].
        toward_camera: (h, w) Surface normal times ``backward``.
    """

    distance: Floats
    toward_lamp: Floats
    toward_camera: Floats


def hit_box(rays: Rays, half_m: Floats) -> Hits:
    """Where rays enter a box of half size ``half_m``, (3,)."""
    enter: list[Floats] = []
    leave: Floats | None = None
    signs: list[NDArray[np.bool_]] = []
    for axis in range(3):
        inverse = 1.0 / np.where(np.abs(rays.direction[axis]) < _TINY, _TINY, rays.direction[axis])
        middle, reach = -rays.origin[axis] * inverse, half_m[axis] * np.abs(inverse)
        enter.append(middle - reach)
        out = middle + reach
        leave = out if leave is None else np.minimum(leave, out)
        signs.append(inverse < 0.0)
    near = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
    met = (near < leave) & (near > 0.0)
    # A ray enters through the face of the axis that it meets last, on the side that it comes from.
    toward_lamp, toward_camera = (np.zeros_like(near) for _ in range(2))
    for axis in range(3):
        face = near == enter[axis]
        side = np.where(signs[axis][face], np.float32(1.0), np.float32(-1.0))
        toward_lamp[face] = side * rays.lamp[axis] - half_m[axis]
        toward_camera[face] = side * rays.backward[axis]
    return Hits(np.where(met, near, _NEVER), toward_lamp, toward_camera)


def hit_cylinder(rays: Rays, radius_m: float, half_length_m: float) -> Hits:
    """Where rays enter a cylinder about the z axis."""
    (ox, oy, oz), (dx, dy, dz) = rays.origin, rays.direction
    square = np.maximum(dx * dx + dy * dy, _TINY)
    middle = (ox * dx + oy * dy) / square
    room = middle * middle - (ox * ox + oy * oy - np.float32(radius_m**2)) / square
    side = -middle - np.sqrt(np.maximum(room, 0.0))
    on_side = (room > 0.0) & (np.abs(oz + side * dz) < half_length_m) & (side > 0.0)
    above = np.where(dz < 0.0, np.float32(1.0), np.float32(-1.0))
    end = (above * np.float32(half_length_m) - oz) / np.where(np.abs(dz) < _TINY, _TINY, dz)
    on_end = (ox + end * dx) ** 2 + (oy + end * dy) ** 2 < np.float32(radius_m**2)
    on_end &= (end > 0.0) & ~on_side
    nx, ny = (ox + side * dx) / np.float32(radius_m), (oy + side * dy) / np.float32(radius_m)
    (lx, ly, lz), (bx, by, bz) = rays.lamp, rays.backward
    return Hits(
        np.where(on_side, side, np.where(on_end, end, _NEVER)),
        np.where(
            on_side,
            nx * lx + ny * ly - np.float32(radius_m),
            above * lz - np.float32(half_length_m),
        ),
        np.where(on_side, nx * bx + ny * by, above * bz),
    )
