# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from test.support.simulated import joints, kinematics, so101, table, world
from vla_ros.backends._pick_and_place_facts import Colour, load_task_facts
from vla_ros.backends._pick_and_place_vision import (
    centre_on,
    cube_corners,
    find_cube,
    find_plate,
    largest_blob,
    outline_mask,
    plate_rim,
    segment,
)
from vla_ros.core.camera_model import CameraModel
from vla_ros.core.config_files import config_file

FACTS = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())


def table_camera() -> CameraModel:
    camera = so101().cameras[FACTS.table_camera]
    assert camera.geometry is not None
    parent = kinematics().pose(camera.geometry.parent_link, joints(world()))
    return CameraModel.of(camera, camera.geometry, parent)


def image_of(hue: int, saturation: int, value: int) -> np.ndarray:
    return cv2.cvtColor(np.uint8([[[hue, saturation, value]]]), cv2.COLOR_HSV2RGB)


@pytest.mark.parametrize(
    ("hsv", "inside"),
    [
        ((5, 200, 200), True),
        ((175, 200, 200), True),
        ((90, 200, 200), False),
        ((5, 50, 200), False),
        ((5, 200, 20), False),
    ],
)
def test_a_hue_may_wrap(hsv: tuple[int, int, int], inside: bool):
    red = Colour((170, 10), (100, 255), (50, 255))

    assert segment(image_of(*hsv), red).tolist() == [[int(inside)]]


@pytest.mark.parametrize(("hue", "inside"), [(55, True), (45, False), (85, False)])
def test_a_hue_that_does_not_wrap(hue: int, inside: bool):
    green = Colour((50, 80), (100, 255), (50, 255))

    assert segment(image_of(hue, 200, 200), green).tolist() == [[int(inside)]]


def test_the_largest_blob_is_found():
    mask = np.zeros((40, 40), np.uint8)
    mask[2:8, 2:8] = 1
    mask[20:30, 20:30] = 1

    blob = largest_blob(mask)

    assert blob is not None
    assert blob.sum() == 100
    assert blob[20:30, 20:30].all()


@pytest.mark.parametrize("pixels", [0, 10])
def test_noise_is_no_blob(pixels: int):
    mask = np.zeros((40, 40), np.uint8)
    mask[0, :pixels] = 1

    assert largest_blob(mask) is None


@pytest.mark.parametrize("seed", range(10))
def test_cubes_and_plate_are_found_where_they_are(seed: int):
    world().reset(seed)
    camera, image = table_camera(), world().render(FACTS.table_camera)

    for name, colour in FACTS.colours.items():
        blob = largest_blob(segment(image, colour))
        assert blob is not None
        found = find_cube(camera, blob, FACTS.edge_m)
        position, quaternion = world().cube_pose(name)
        assert math.dist((found.x, found.y), position[:2]) < 0.003
        yaw = 2.0 * math.atan2(quaternion[3], quaternion[0])
        assert abs(math.remainder(found.yaw - yaw, 0.5 * math.pi)) < 0.3
        assert found.agreement > 0.6
    plate = find_plate(
        camera, segment(image, FACTS.plate_colour), FACTS.plate_radius_m, FACTS.plate_height_m
    )
    assert math.dist((plate.x, plate.y), world().plate_xy_m()) < 0.003
    assert plate.agreement > 0.9


def test_a_blob_is_seen_at_the_height_it_is_at():
    world().reset(0)
    world().place_cube("red", (0.2, 0.1, 0.1))
    image = world().render(FACTS.table_camera)
    blob = largest_blob(segment(image, FACTS.colours["red"]))
    assert blob is not None

    x, y = centre_on(table_camera(), blob, 0.1)

    assert math.dist((x, y), (0.2, 0.1)) < 0.006


def test_outlines_have_the_things_size():
    corners = cube_corners(1.0, 2.0, math.pi / 4, 0.1)
    rim = plate_rim(1.0, 2.0, 0.3, 0.05)

    assert corners[:, 2].tolist() == [0.0, 0.1] * 4
    np.testing.assert_allclose(
        np.linalg.norm(corners[:, :2] - [1.0, 2.0], axis=1), 0.1 / math.sqrt(2.0)
    )
    np.testing.assert_allclose(np.linalg.norm(rim[:, :2] - [1.0, 2.0], axis=1), 0.3)
    assert set(rim[:, 2]) == {0.0, 0.05}


def test_an_outline_behind_the_camera_is_not_seen():
    world().reset(0)
    edge_m = table().cubes["red"].edge_m

    seen = outline_mask(table_camera(), cube_corners(0.2, 0.0, 0.0, edge_m))
    behind = outline_mask(table_camera(), cube_corners(3.0, 0.0, 0.0, edge_m))

    assert seen.any()
    assert not behind.any()
