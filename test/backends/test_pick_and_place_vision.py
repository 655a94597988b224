# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from test.support.simulated import joints, kinematics, so101, world
from vla_ros.backends._pick_and_place_facts import Colour, load_task_facts
from vla_ros.backends._pick_and_place_vision import (
    blob_of,
    centre_on,
    find,
    outline_mask,
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


def test_the_blob_of_is_found_with_what_was_cut_off_from_it():
    mask = np.zeros((40, 40), np.uint8)
    mask[2:7, 2:7] = 1
    mask[20:30, 20:30] = 1
    mask[32:38, 20:30] = 1

    blob = blob_of(mask)

    assert blob is not None
    assert blob.sum() == 160
    assert blob[20:30, 20:30].all()
    assert blob[32:38, 20:30].all()


@pytest.mark.parametrize("pixels", [0, 10])
def test_noise_is_no_blob(pixels: int):
    mask = np.zeros((40, 40), np.uint8)
    mask[0, :pixels] = 1

    assert blob_of(mask) is None


@pytest.mark.parametrize("seed", range(10))
def test_cubes_and_plate_are_found_where_they_are(seed: int):
    world().reset(seed)
    camera, image = table_camera(), world().render(FACTS.table_camera)

    for name, colour in FACTS.colours.items():
        blob = blob_of(segment(image, colour))
        assert blob is not None
        found = find(camera, blob, FACTS.thing)
        position, quaternion = world().object_pose(name)
        assert math.dist((found.x, found.y), position[:2]) < 0.003
        yaw = 2.0 * math.atan2(quaternion[3], quaternion[0])
        assert abs(math.remainder(found.yaw - yaw, 0.5 * math.pi)) < 0.3
        assert found.agreement > 0.6
    plate = find(camera, segment(image, FACTS.plate_colour), FACTS.plate)
    assert math.dist((plate.x, plate.y), world().plate_xy_m()) < 0.003
    assert plate.agreement > 0.9


def test_a_blob_is_seen_at_the_height_it_is_at():
    world().reset(0)
    world().place_object("red", (0.2, 0.1, 0.1))
    image = world().render(FACTS.table_camera)
    blob = blob_of(segment(image, FACTS.colours["red"]))
    assert blob is not None

    x, y = centre_on(table_camera(), blob, 0.1)

    assert math.dist((x, y), (0.2, 0.1)) < 0.006


def test_an_outline_behind_the_camera_is_not_seen():
    world().reset(0)

    seen = outline_mask(table_camera(), FACTS.thing.outline(0.2, 0.0, 0.0))
    behind = outline_mask(table_camera(), FACTS.thing.outline(3.0, 0.0, 0.0))

    assert seen.any()
    assert not behind.any()
