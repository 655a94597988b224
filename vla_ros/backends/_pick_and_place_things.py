# SPDX-License-Identifier: Apache-2.0
"""The shapes of things on a table: cubes, and round ones, from a plate to a tall cylinder.

Immutable; any thread may call. Metres, radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

_SIDES = 24
_CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])


@dataclass(frozen=True, slots=True)
class Cube:
    """A cube.

    Attributes:
        edge_m: Its edge.
    """

    edge_m: float

    @property
    def height_m(self) -> float:
        """How high it stands."""
        return self.edge_m

    def outline(self, x: float, y: float, yaw: float) -> Doubles:
        """(P, 3) Points whose convex hull it is, when it lies there on the table."""
        cosine, sine = math.cos(yaw), math.sin(yaw)
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        corners: Doubles = np.array([x, y, 0.0]) + self.edge_m * _CORNERS @ turn.T
        return corners


@dataclass(frozen=True, slots=True)
class Cylinder:
    """Something round that stands upright, such as a plate.

    Attributes:
        radius_m: Its radius.
        height_m: How high it stands.
    """

    radius_m: float
    height_m: float

    def outline(self, x: float, y: float, yaw: float = 0.0) -> Doubles:
        """(P, 3) Points on its lower and upper rim, when it stands there on the table."""
        angle = np.arange(_SIDES) * 2.0 * math.pi / _SIDES
        around = np.stack([x + self.radius_m * np.cos(angle), y + self.radius_m * np.sin(angle)], 1)
        return np.concatenate(
            [np.column_stack([around, np.full(_SIDES, height)]) for height in (0.0, self.height_m)]
        )


Thing = Cube | Cylinder
