# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vla_ros.core.camera_model import CameraModel, optical_pose
from vla_ros.core.camera_spec import CameraGeometry, CameraSpec

# Half a metre over the table, looking straight down, with the top of the image towards x.
GEOMETRY = CameraGeometry("base", (0.0, 0.0, 0.5), (math.pi, 0.0, -0.5 * math.pi), 0.5 * math.pi)
CAMERA = CameraSpec("camera", "raw", 240, 320, 0.2, GEOMETRY)
MODEL = CameraModel.of(CAMERA, GEOMETRY, np.eye(4))


def test_a_camera_looks_along_z():
    pose = optical_pose(GEOMETRY)

    np.testing.assert_allclose(pose[:3, 2], [0.0, 0.0, -1.0], atol=1e-12)
    np.testing.assert_allclose(pose[:3, 1], [-1.0, 0.0, 0.0], atol=1e-12)
    assert pose[:3, 3].tolist() == [0.0, 0.0, 0.5]


def test_the_field_of_view_is_the_images_height():
    pixels, depth = MODEL.project(np.array([[0.5, 0.0, 0.0], [-0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]))

    np.testing.assert_allclose(pixels, [[160.0, 0.0], [160.0, 240.0], [160.0, 120.0]], atol=1e-9)
    np.testing.assert_allclose(depth, 0.5)


def test_a_camera_moves_with_the_link_that_carries_it():
    parent = np.eye(4)
    parent[:3, 3] = [1.0, 2.0, 0.0]

    pixels, _ = CameraModel.of(CAMERA, GEOMETRY, parent).project(np.array([[1.0, 2.0, 0.0]]))

    np.testing.assert_allclose(pixels, [[160.0, 120.0]], atol=1e-9)


def test_a_point_behind_the_camera_has_negative_depth():
    _, depth = MODEL.project(np.array([[0.0, 0.0, 0.7]]))

    assert depth[0] == pytest.approx(-0.2)


@given(st.floats(-0.3, 0.3), st.floats(-0.4, 0.4), st.floats(-0.2, 0.3))
def test_a_pixels_ray_meets_the_plane_where_the_pixel_came_from(x: float, y: float, z: float):
    pixels, _ = MODEL.project(np.array([[x, y, z]]))

    np.testing.assert_allclose(MODEL.on_plane(pixels, z), [[x, y, z]], atol=1e-9)


def test_a_ray_that_does_not_meet_the_plane_gives_nan():
    ahead = np.array([[160.0, 120.0]])

    assert np.isnan(MODEL.on_plane(ahead, 0.6)).all()


def test_a_ray_along_the_plane_gives_nan():
    level = CameraGeometry("base", (0.0, 0.0, 0.5), (-0.5 * math.pi, 0.0, 0.0), 0.5 * math.pi)
    model = CameraModel.of(CAMERA, level, np.eye(4))
    centre_and_below = np.array([[160.0, 120.0], [160.0, 200.0]])

    points = model.on_plane(centre_and_below, 0.0)

    assert np.isnan(points[0]).all() or abs(points[0]).max() > 1e6
    assert np.isfinite(points[1]).all()
