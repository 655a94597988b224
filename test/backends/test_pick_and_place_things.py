# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from vla_ros.backends._pick_and_place_things import Cube, Cylinder


def test_a_cube_has_its_edge_and_stands_on_the_table():
    corners = Cube(0.1).outline(1.0, 2.0, math.pi / 4)

    assert corners[:, 2].tolist() == [0.0, 0.1] * 4
    np.testing.assert_allclose(
        np.linalg.norm(corners[:, :2] - [1.0, 2.0], axis=1), 0.1 / math.sqrt(2.0)
    )
    assert np.isclose(corners[:, 0].max(), 1.0 + 0.1 / math.sqrt(2.0))
    assert Cube(0.1).height_m == 0.1


def test_a_cylinder_has_its_radius_and_height():
    rim = Cylinder(0.3, 0.05).outline(1.0, 2.0)

    np.testing.assert_allclose(np.linalg.norm(rim[:, :2] - [1.0, 2.0], axis=1), 0.3)
    assert set(rim[:, 2]) == {0.0, 0.05}
