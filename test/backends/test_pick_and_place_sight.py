# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.simulated import joints, kinematics, so101, table, world
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_sight import Eyes, Sight, ThingHidden
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import RemotePolicyError

FACTS = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())
SEED = 2


def eyes() -> Eyes:
    return Eyes(so101(), FACTS, kinematics())


def images(*blind: str) -> dict[str, np.ndarray]:
    """What the cameras see now, some of them nothing."""
    seen = {camera: world().render(camera) for camera in so101().cameras}
    return {name: image * (name not in blind) for name, image in seen.items()}


def look(looker: Eyes, *blind: str, colour: str = "red") -> Sight:
    return looker.look(images(*blind), joints(world()), colour)


def off(sight: Sight) -> float:
    """How far the cube is from where it was seen."""
    return math.dist((sight.thing.x, sight.thing.y), world().object_pose("red")[0][:2])


def hide_cube() -> None:
    world().place_object("red", (-0.2, 0.0, 0.0125))


def test_a_cube_on_the_table_is_seen():
    world().reset(SEED)

    sight = look(eyes())

    assert off(sight) < 0.003
    assert math.dist((sight.plate.x, sight.plate.y), world().plate_xy_m()) < 0.003
    assert not sight.held
    assert not sight.placed


def test_a_cube_on_the_plate_is_placed():
    world().reset(SEED)
    x, y = world().plate_xy_m()
    world().place_object("red", (x, y, 0.0205))

    assert look(eyes()).placed


def test_who_sees_nothing_says_so():
    world().reset(SEED)

    with refused(RemotePolicyError, "sees no red cube"):
        look(eyes(), *so101().cameras)


def test_who_saw_it_before_says_so_as_well():
    world().reset(SEED)
    looker = eyes()
    look(looker)

    with refused(RemotePolicyError, "sees no red cube"):
        look(looker, *so101().cameras)


def test_a_cube_that_is_not_there_is_not_seen():
    world().reset(SEED)
    hide_cube()

    with refused(ThingHidden, "sees no red cube"):
        look(eyes())


def test_without_a_plate_there_is_none():
    world().reset(SEED)
    looker = eyes()
    seen = images()
    camera = FACTS.table_camera
    seen[camera] = np.where(seen[camera].min(axis=2, keepdims=True) > 90, 0, seen[camera])

    with refused(RemotePolicyError, "sees no plate"):
        looker.look(seen, joints(world()), "red")

    look(looker)
    assert looker.look(seen, joints(world()), "red").plate.agreement > 0.9


def test_a_hidden_cube_is_remembered_while_the_hand_sees_its_colour():
    world().reset(SEED)
    looker = eyes()
    known = look(looker)
    seen = images(FACTS.table_camera)
    seen[FACTS.hand_camera][10:20, 10:20] = [200, 20, 20]
    seen[FACTS.table_camera] = images()[FACTS.table_camera]
    red = seen[FACTS.table_camera]
    red[(red[..., 0] > 60) & (red[..., 1] < 60) & (red[..., 2] < 60)] = 0

    assert looker.look(seen, joints(world()), "red").thing == known.thing


def test_a_cube_that_was_moved_is_seen_where_it_is_now():
    world().reset(SEED)
    looker = eyes()
    look(looker)

    world().place_object("red", (0.25, 0.0, 0.0125))

    assert off(look(looker)) < 0.003


def test_a_cube_that_is_half_hidden_is_remembered_whole():
    world().reset(SEED)
    looker = eyes()
    known = look(looker)
    seen = images()
    image = seen[FACTS.table_camera]
    red = (image[..., 0] > 60) & (image[..., 1] < 60) & (image[..., 2] < 60)
    columns = np.nonzero(red.any(axis=0))[0]
    image[:, : int(columns.mean())] = 0

    assert looker.look(seen, joints(world()), "red").thing == known.thing


def test_another_colour_is_looked_for_anew():
    world().reset(SEED)
    looker = eyes()
    red, blue = look(looker), look(looker, colour="blue")

    assert math.dist((red.thing.x, red.thing.y), (blue.thing.x, blue.thing.y)) > 0.05


def test_what_is_forgotten_is_not_remembered():
    world().reset(SEED)
    looker = eyes()
    look(looker)
    looker.forget()
    hide_cube()

    with refused(ThingHidden, "sees no red cube"):
        look(looker)


@pytest.fixture
def gripping() -> dict[str, float]:
    """The red cube between jaws that stand as if they held it."""
    world().reset(SEED)
    hand = FACTS.hand
    posture = dict(zip(hand.arm, (0.0, 0.1, 0.33, 1.13, 1.57), strict=True))
    targets = {**posture, hand.opening: 0.0}
    world().set_targets(np.array([targets[name] for name in so101().command_names]))
    world().advance(2.0)
    pose = kinematics().pose(hand.link, joints(world()))
    x, y, z = (pose @ [*hand.grip_point_m, 1.0])[:3]
    world().place_object("red", (x - 0.004, y, z))
    return joints(world())


def test_a_cube_between_the_jaws_is_held(gripping: dict[str, float]):
    sight = eyes().look(images(), gripping, "red")

    assert sight.held
    assert not sight.placed


def test_open_jaws_hold_nothing(gripping: dict[str, float]):
    opening = FACTS.hand.opening.rpartition("/")[0]

    assert not eyes().look(images(), {**gripping, opening: 0.3}, "red").held
    assert not eyes().look(images(), {**gripping, opening: -0.17}, "red").held


def test_jaws_with_another_colour_between_them_do_not_hold_the_cube(gripping: dict[str, float]):
    assert not eyes().look(images(), gripping, "blue").held


def test_a_hand_camera_that_looks_elsewhere_sees_nothing_held(gripping: dict[str, float]):
    camera = so101().cameras[FACTS.hand_camera]
    assert camera.geometry is not None
    away = replace(camera, geometry=replace(camera.geometry, rpy_rad=(0.0, 0.0, 0.0)))
    robot = replace(so101(), cameras={**so101().cameras, FACTS.hand_camera: away})

    assert not Eyes(robot, FACTS, kinematics()).look(images(), gripping, "red").held


def test_a_camera_without_geometry_is_of_no_use():
    world().reset(SEED)
    lost = {name: replace(camera, geometry=None) for name, camera in so101().cameras.items()}

    with refused(RemotePolicyError, FACTS.table_camera, "geometry"):
        look(Eyes(replace(so101(), cameras=lost), FACTS, kinematics()))


def test_the_scene_and_the_task_agree_on_what_things_are_like():
    """Two homes on purpose: what a policy knows is not what the simulator says."""
    assert {cube.height_m for cube in table().objects.values()} == {FACTS.thing.height_m}
    assert table().plate.radius_m == FACTS.plate.radius_m
    assert table().plate.height_m == FACTS.plate.height_m
    assert set(table().objects) == set(FACTS.colours)
