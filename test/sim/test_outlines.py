# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mujoco
import numpy as np
import pytest

from test.core.refusals import refused
from vla_ros.core.errors import ConfigError
from vla_ros.sim.outlines import Outlines, View

XML = """
<mujoco><worldbody>
  <camera name="eye" pos="0 0 1" resolution="200 100" fovy="90"/>
  <body name="thing" pos="{place}"><geom group="1" type="{kind}" size="{size}"/></body>
  <geom group="0" size="1"/>
</worldbody></mujoco>
"""


def scene(
    kind: str = "box", size: str = "0.1 0.2 0.05", place: str = "0 0 0"
) -> tuple[mujoco.MjModel, mujoco.MjData]:
    model = mujoco.MjModel.from_xml_string(XML.format(kind=kind, size=size, place=place))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def seen(*args: str) -> tuple[View, np.ndarray]:
    model, data = scene(*args)
    view = View.of(model, data, 0)
    (pixels,) = view.project(Outlines(model).placed(data))
    return view, pixels


def test_a_box_is_outlined_by_its_corners():
    model, data = scene(place="1 2 0")

    (corners,) = Outlines(model).placed(data)

    assert len(corners) == 8
    np.testing.assert_allclose(corners.min(axis=0), [0.9, 1.8, -0.05])
    np.testing.assert_allclose(corners.max(axis=0), [1.1, 2.2, 0.05])


def test_a_cylinders_outline_encloses_it():
    model, data = scene("cylinder", "0.1 0.3")

    (corners,) = Outlines(model).placed(data)

    assert corners[:, 2].tolist() == [-0.3] * 12 + [0.3] * 12
    around = corners[:12, :2]
    middles = 0.5 * (around + np.roll(around, 1, axis=0))
    np.testing.assert_allclose(np.linalg.norm(middles, axis=1), 0.1)


def test_another_shape_is_refused():
    model, _ = scene("capsule", "0.1 0.3")

    with refused(ConfigError, "thing", "mjGEOM_CAPSULE", "OpenGL"):
        Outlines(model)


def test_a_box_is_seen_where_it_is():
    view, pixels = seen("box", "0.1 0.2 0.0001", "0 0 0")

    # One metre below a camera of 90 degrees, whose focal length is half of its image's height.
    assert view.focal_px == pytest.approx(50.0)
    np.testing.assert_allclose(pixels.min(axis=0), [95.0, 40.0], atol=0.01)
    np.testing.assert_allclose(pixels.max(axis=0), [105.0, 60.0], atol=0.01)
    assert view.patch(pixels) == (slice(39, 61), slice(94, 106))


def test_a_patch_ends_at_the_image():
    view, pixels = seen("box", "5 5 0.1", "3 0 0")

    assert view.patch(pixels) == (slice(0, 100), slice(0, 200))


@pytest.mark.parametrize("place", ["0 0 2", "3 0 0", "0 -4 0.5"])
def test_what_is_behind_or_beside_has_no_patch(place: str):
    view, pixels = seen("box", "0.1 0.1 0.1", place)

    assert view.patch(pixels) is None


def test_what_reaches_behind_the_camera_is_cut_there():
    view, pixels = seen("box", "0.02 0.02 2", "0.3 0 0")

    # Its near side goes out of the image, its far end stays.
    patch = view.patch(pixels)
    assert patch is not None
    assert patch[1].stop == 200
    assert patch[1].start == int(100 + 50 * 0.28 / 3.0)


def test_nothing_is_projected_to_nothing():
    model, data = scene()

    assert View.of(model, data, 0).project([]) == []


def test_slopes_are_those_of_pixel_centres():
    model, data = scene()

    right, up = View.of(model, data, 0).slopes()

    assert right[[0, 100, 199]].tolist() == pytest.approx([-1.99, 0.01, 1.99])
    assert up[[0, 99]].tolist() == pytest.approx([0.99, -0.99])
