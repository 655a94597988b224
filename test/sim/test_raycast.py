# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import mujoco
import numpy as np
import pytest

from test.support.simulated import joints, kinematics, so101, table, world
from vla_ros.core.camera_model import CameraModel
from vla_ros.sim.model import GROUND, LAMP, SHAPES, TABLE, build_model, object_body
from vla_ros.sim.raycast import RaycastRenderer


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return build_model(so101(), table())


@pytest.fixture(scope="module")
def data(model: mujoco.MjModel) -> mujoco.MjData:
    """The arm bent over the table, with nothing else in the way."""
    made = mujoco.MjData(model)
    for name, value in zip(so101().command_names, (0.3, -0.2, 0.4, 1.2, 1.5, 0.3), strict=True):
        made.joint(name.rpartition("/")[0]).qpos[0] = value
    for index, cube in enumerate(table().objects):
        made.joint(object_body(cube)).qpos[:3] = [0.2, 0.1 * (index - 1), 0.0125]
    mujoco.mj_forward(model, made)
    return made


def geoms_seen(model: mujoco.MjModel, data: mujoco.MjData, camera: int) -> np.ndarray:
    """(H, W) The geom that MuJoCo's own ray meets in every third row and column; -1 elsewhere.

    One ``mj_ray`` each, because ``mj_multiRay`` misses parts of long shapes that stand askew.
    """
    width, height = model.cam_resolution[camera]
    focal = 0.5 * height / np.tan(0.5 * np.radians(model.cam_fovy[camera]))
    group, found = np.zeros(6, np.uint8), np.empty(1, np.int32)
    group[[SHAPES, GROUND]] = 1
    seen = np.full((height, width), -1)
    for row in range(0, height, 3):
        for column in range(0, width, 3):
            right, up = column + 0.5 - 0.5 * width, 0.5 * height - row - 0.5
            ray = data.cam_xmat[camera].reshape(3, 3) @ [right / focal, up / focal, -1.0]
            mujoco.mj_ray(model, data, data.cam_xpos[camera], ray, group, 1, -1, found, None)
            seen[row, column] = found[0]
    return seen


@pytest.mark.parametrize("camera", list(so101().cameras))
def test_each_pixel_has_the_colour_of_what_mujoco_sees_there(
    model: mujoco.MjModel, data: mujoco.MjData, camera: str
):
    index = model.camera(camera).id
    geom = geoms_seen(model, data, index)

    image = RaycastRenderer(model).render(data, index).astype(float)

    # White light changes a colour's brightness and nothing else.
    colours = model.geom_rgba[geom, :3]
    hue = colours / np.linalg.norm(colours, axis=2, keepdims=True)
    found = image / np.maximum(np.linalg.norm(image, axis=2, keepdims=True), 1e-9)
    agrees = np.einsum("ijk,ijk->ij", hue, found) > 0.998
    # A dark colour has too few levels to tell its hue; edges may be seen either way.
    telling = (geom >= 0) & (image.max(axis=2) > 40)
    assert telling.sum() > 5000
    assert agrees[telling].mean() > 0.998


@pytest.mark.parametrize("seed", range(4))
def test_cubes_and_plate_are_seen_where_they_are(seed: int):
    world().reset(seed)
    name, camera = next(iter(so101().cameras.items()))
    assert camera.geometry is not None
    parent = kinematics().pose(camera.geometry.parent_link, joints(world()))
    model = CameraModel.of(camera, camera.geometry, parent)
    image = world().render(name)

    for cube, spec in table().objects.items():
        (pixel,), _ = model.project(world().object_pose(cube)[0][None])
        column, row = pixel.astype(int)
        assert np.argmax(image[row, column]) == np.argmax(spec.rgb), cube
    (pixel,), _ = model.project(np.array([[*world().plate_xy_m(), table().plate.height_m]]))
    column, row = pixel.astype(int)
    assert image[row, column].min() > 100
    assert np.ptp(image[row, column].astype(int)) < 30


def test_the_arm_casts_a_shadow_on_the_table(model: mujoco.MjModel, data: mujoco.MjData):
    renderer, index = RaycastRenderer(model), 0
    on_table = geoms_seen(model, data, index) == model.geom(TABLE).id

    table_light = renderer.render(data, index)[on_table].sum(axis=1).astype(float)

    bright = np.median(table_light)
    assert 0.02 < (table_light < 0.7 * bright).mean() < 0.4


def test_a_brighter_lamp_is_seen_at_once(model: mujoco.MjModel, data: mujoco.MjData):
    renderer = RaycastRenderer(model)
    before = renderer.render(data, 0).astype(float).mean()

    model.light(LAMP).diffuse[:] *= 1.3
    after = renderer.render(data, 0).astype(float).mean()
    model.light(LAMP).diffuse[:] /= 1.3

    assert after > 1.05 * before


def test_an_image_is_the_same_each_time(model: mujoco.MjModel, data: mujoco.MjData):
    renderer = RaycastRenderer(model)

    images = [renderer.render(data, camera) for _ in range(2) for camera in range(model.ncam)]

    np.testing.assert_array_equal(images[0], images[model.ncam])
    np.testing.assert_array_equal(images[1], images[model.ncam + 1])
