# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.simulated import so101, table, world
from test.support.simulated_g1 import g1, g1_table, g1_world
from vla_ros.core.errors import ConfigError
from vla_ros.sim.model import object_body
from vla_ros.sim.world import World

NAMES = so101().command_names


def move_to(positions: np.ndarray, *, until_s: float) -> None:
    world().set_targets(positions)
    world().advance(until_s)


def test_a_reset_draws_a_task_from_the_seed():
    asked = world().reset(5)

    assert asked == world().instruction == world().reset(5)
    assert asked in {f"put the {cube} cube on the plate" for cube in table().objects}
    assert world().time_s == 0.0


def test_an_instruction_can_be_given():
    assert world().reset(5, "red to the plate, please") == "red to the plate, please"
    assert "red" in world().task_state().detail


@pytest.mark.parametrize("instruction", ["put the pink cube away", "red and blue"])
def test_an_instruction_that_names_no_single_cube_is_refused(instruction: str):
    with refused(ConfigError, repr(instruction), "red, green, blue"):
        world().reset(5, instruction)


def test_the_same_seed_and_targets_make_the_same_episode():
    def episode(made: World) -> list[np.ndarray]:
        made.reset(11)
        made.set_targets(made.state(NAMES) + 0.3)
        made.advance(0.7)
        seen = [made.render(camera) for camera in so101().cameras]
        return [made.state(NAMES), *(made.object_pose(cube)[0] for cube in table().objects), *seen]

    first, again = episode(world()), episode(World(so101(), table(), renderer="raycast"))

    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_seeds_look_different():
    camera = next(iter(so101().cameras))
    images = []
    for seed in (0, 1):
        world().reset(seed)
        images.append(world().render(camera))

    assert (images[0] != images[1]).mean() > 0.01


def test_time_advances_to_where_it_is_told():
    world().reset(0)

    world().advance(0.5)
    assert world().time_s == pytest.approx(0.5)
    world().advance(0.2)
    assert world().time_s == pytest.approx(0.5)
    world().advance(0.5009)
    assert world().time_s == pytest.approx(0.5)


def test_the_arm_goes_where_it_is_told_and_stays():
    world().reset(0)
    goal = np.array([0.4, -0.3, 0.5, 0.6, 1.0, 0.5])

    move_to(goal, until_s=2.0)

    reached = world().state(NAMES)
    np.testing.assert_allclose(reached, goal, atol=0.02)
    world().advance(4.0)
    np.testing.assert_allclose(world().state(NAMES), reached, atol=1e-3)


def test_the_arm_lags_behind_its_commands():
    world().reset(0)
    start = world().state(NAMES)

    move_to(start + 0.2, until_s=0.03)

    moved = world().state(NAMES) - start
    assert (moved[:5] < 0.15).all()
    assert moved[0] > 0.005


def test_velocities_and_efforts_are_measured():
    world().reset(0)
    joint = NAMES[0].rpartition("/")[0]
    move_to(world().state(NAMES) + 0.5, until_s=0.05)

    velocity, effort = world().state((f"{joint}/velocity", f"{joint}/effort"))

    assert velocity > 0.1
    assert 0.0 < abs(effort) <= table().servos[NAMES[0]].max_torque + 1e-9


@pytest.mark.parametrize(
    ("interface", "part"), [("tail/position", "no joint"), ("tail/colour", "position")]
)
def test_an_unknown_interface_is_refused(interface: str, part: str):
    with refused(ConfigError, repr(interface), part):
        world().state((interface,))


@pytest.mark.parametrize("targets", [np.zeros(5), np.full(6, np.nan), np.zeros((6, 1))])
def test_bad_targets_are_refused(targets: np.ndarray):
    with refused(ConfigError, "targets", "(6,)"):
        world().set_targets(targets)


def test_images_have_the_size_of_the_description():
    world().reset(0)

    for name, camera in so101().cameras.items():
        image = world().render(name)
        assert image.shape == (camera.height, camera.width, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10.0


def test_a_posture_is_rendered_later():
    world().reset(0)
    posture = world().posture()
    before = [world().render(camera) for camera in so101().cameras]
    move_to(world().state(NAMES) + 0.4, until_s=0.5)

    later = [world().render(camera, posture) for camera in so101().cameras]

    for one, other in zip(before, later, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 0.05
    assert (world().render(next(iter(so101().cameras))) != before[0]).mean() > 0.01


def put_on_plate(cube: str) -> None:
    x, y = world().plate_xy_m()
    height_m = table().plate.height_m + 0.5 * table().objects[cube].height_m
    world().place_object(cube, (x, y, height_m + 0.002))


def test_a_cube_put_on_the_plate_is_success():
    world().reset(2, "put the green cube on the plate")
    put_on_plate("green")

    world().advance(0.3)
    assert not world().task_state().success
    for time_s in (0.5, 0.7, 0.9):
        world().advance(time_s)

    assert world().task_state().success


def test_a_cube_dropped_from_high_lands_before_it_is_success():
    world().reset(2, "put the green cube on the plate")
    x, y = world().plate_xy_m()
    world().place_object("green", (x, y, 0.15))

    world().advance(0.05)

    assert "not on the plate" in world().task_state().detail


def test_another_cube_on_the_plate_is_none():
    world().reset(2, "put the green cube on the plate")
    put_on_plate("red")

    for time_s in (0.3, 0.6, 0.9):
        world().advance(time_s)

    assert not world().task_state().success
    assert "as well: red" in world().task_state().detail


def test_a_cube_off_the_table_is_failure():
    world().reset(2, "put the green cube on the plate")
    world().place_object("green", (0.2, 0.6, 0.1))

    world().advance(0.6)

    assert world().task_state().failed


def test_a_held_cube_is_not_let_go_of():
    """The jaws close on a cube between them; it stays there, and only opening lets it go."""
    world().reset(2, "put the green cube on the plate")
    hand_down = np.array([0.0, 0.1, 0.33, 1.13, 1.57, 0.3])
    move_to(hand_down, until_s=1.5)
    body = world()._data.body(table().hand.links[0])
    between = body.xpos + body.xmat.reshape(3, 3) @ [0.006, 0.0, -0.09]
    closed = np.array([*hand_down[:5], -0.17])
    world().set_targets(closed)
    for step in range(40):
        # Held in the air by the test until the jaws have closed.
        if step < 20:
            world().place_object("green", tuple(between))
        world().advance(1.5 + 0.02 * (step + 1))

    height_m = world().object_pose("green")[0][2]
    move_to(closed, until_s=5.0)

    assert height_m > 0.03
    assert world().object_pose("green")[0][2] == pytest.approx(height_m, abs=0.003)
    assert world()._objects()["green"].held
    assert "not let go" in world().task_state().detail
    move_to(hand_down, until_s=6.0)
    assert not world()._objects()["green"].held
    assert world().object_pose("green")[0][2] < 0.03


(THING,) = g1_table().objects


def test_objects_are_put_back_where_they_stood():
    g1_world().reset(4)
    before = g1_world().object_pose(THING)
    g1_world().advance(0.5)
    arm = g1_world().state(g1().command_names)
    g1_world().place_object(THING, (0.5, 0.3, 0.4))

    g1_world().put_objects_back()

    np.testing.assert_allclose(g1_world().object_pose(THING)[0], before[0], atol=1e-3)
    np.testing.assert_array_equal(g1_world().state(g1().command_names), arm)
    g1_world().advance(1.0)
    np.testing.assert_allclose(g1_world().object_pose(THING)[0], before[0], atol=1e-3)


def test_joints_that_are_fixed_are_measured_at_zero():
    g1_world().reset(0)
    names = g1().state_streams["body"].interfaces

    values = g1_world().state(names)

    assert values.shape == (29,)
    fixed = [name.rpartition("/")[0] in g1_table().fixed_joints for name in names]
    assert sum(fixed) == 15
    assert not values[fixed].any()
    assert g1_world().state(("waist_yaw_joint/velocity",)) == 0.0


def test_a_cylinder_upright_on_the_plate_is_success_and_lying_it_is_not():
    height_m = g1_table().plate.height_m + 0.5 * g1_table().objects[THING].height_m
    for seed in (1, 2):
        g1_world().reset(seed)
        x, y = g1_world().plate_xy_m()
        g1_world().place_object(THING, (x, y, height_m + 0.001))
        if seed == 2:
            g1_world()._data.joint(object_body(THING)).qpos[3:] = [0.7071, 0.7071, 0.0, 0.0]
        for step in range(1, 8):
            g1_world().advance(0.2 * step)
        assert g1_world().task_state().success == (seed == 1), g1_world().task_state()


def test_images_of_a_coarser_camera_have_full_size():
    g1_world().reset(0)

    for name, camera in g1().cameras.items():
        image = g1_world().render(name)
        assert image.shape == (camera.height, camera.width, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10.0
