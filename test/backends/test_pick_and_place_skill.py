# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.g1_policy import g1_policy
from test.support.simulated import observe, policy, so101, world
from test.support.simulated_g1 import g1
from vla_ros.backends._pick_and_place_sight import ThingHidden
from vla_ros.backends._pick_and_place_skill import Skill, make_skill, named_colour
from vla_ros.core.errors import ConfigError, RemotePolicyError

TASK = "so101_pick_and_place"
SEED = 6


@cache
def skill() -> Skill:
    return make_skill(TASK, so101(), policy())


def test_it_feels_the_arm_and_the_hand():
    world().reset(SEED)
    observation = observe(world())

    body = skill().feel(observation)

    measured = dict(zip(observation.state_names, observation.state.tolist(), strict=True))
    assert {f"{name}/position": value for name, value in body.joints.items()} == {
        name: measured[name] for name in skill().interfaces
    }
    assert body.opening == measured[skill().facts.hand.opening]
    assert skill().positions(body).tolist() == [measured[name] for name in skill().facts.hand.arm]


def test_it_sees_the_cube_that_is_asked_for():
    skill().eyes.forget()
    world().reset(SEED, "put the red cube on the plate")
    observation = observe(world())

    sight = skill().look(observation, skill().feel(observation))

    assert np.hypot(*(world().object_pose("red")[0][:2] - [sight.thing.x, sight.thing.y])) < 0.003
    assert np.hypot(*(world().plate_xy_m() - [sight.plate.x, sight.plate.y])) < 0.003
    assert not sight.held
    assert not sight.placed


def test_hidden_cubes_are_told_from_darkness():
    skill().eyes.forget()
    world().reset(SEED, "put the red cube on the plate")
    world().place_object("red", (-0.2, 0.0, 0.0125))
    hidden = observe(world())
    dark = replace(hidden, images={name: 0 * image for name, image in hidden.images.items()})

    with refused(ThingHidden, "sees no red cube"):
        skill().look(hidden, skill().feel(hidden))
    with refused(RemotePolicyError, "sees no red cube"):
        skill().look(dark, skill().feel(dark))


def test_images_must_be_as_the_robot_has_them():
    world().reset(SEED)
    observation = observe(world())
    name = next(iter(so101().cameras))
    small = {**observation.images, name: observation.images[name][::2]}

    with refused(ConfigError, f"camera {name}", "none"):
        skill().look(replace(observation, images={}), skill().feel(observation))
    with refused(ConfigError, f"camera {name}", "(120, 320, 3)"):
        skill().look(replace(observation, images=small), skill().feel(observation))


def test_it_withdraws_until_it_is_out_of_the_way():
    world().reset(SEED)
    body = skill().feel(observe(world()))
    rest = skill().positions(body)
    assert skill().withdraw(body) is None
    joints = dict(zip(skill().arm.joints, (rest + 0.4).tolist(), strict=True))

    actions = skill().withdraw(replace(body, joints={**body.joints, **joints}))

    assert actions is not None
    assert actions.shape == (policy().horizon, 6)
    assert np.abs(actions[-1, :5] - rest).max() < 0.1


def test_actions_are_put_into_the_policys_order():
    names = skill().interfaces
    backwards = dict(reversed(policy().action.items()))
    turned = make_skill(TASK, so101(), replace(policy(), action=backwards))
    actions = np.arange(12.0).reshape(2, 6)

    columns = turned.columns(actions)

    assert turned.policy.action_names != names
    for column, name in enumerate(turned.policy.action_names):
        assert columns[:, column].tolist() == actions[:, names.index(name)].tolist()


def test_what_does_not_fit_is_refused():
    action = dict(list(policy().action.items())[:1])

    with refused(ConfigError, "urdf", policy().name):
        make_skill(TASK, replace(so101(), urdf=None), policy())
    with refused(ConfigError, "juggle", TASK):
        make_skill("juggle", so101(), policy())
    with refused(ConfigError, "action", "exactly"):
        make_skill(TASK, so101(), replace(policy(), action=action))


@pytest.mark.parametrize(
    ("instruction", "colour"), [("Put the RED cube down", "red"), ("blue, not green", "blue")]
)
def test_the_first_colour_counts(instruction: str, colour: str):
    assert named_colour(instruction, ("red", "green", "blue")) == colour


@pytest.mark.parametrize("instruction", ["put the pink cube on the plate", "", "reddish"])
def test_an_instruction_without_a_known_colour_is_refused(instruction: str):
    with refused(RemotePolicyError, repr(instruction), "red, green, blue"):
        named_colour(instruction, ("red", "green", "blue"))


def test_fingers_move_along_with_the_one_that_leads():
    grasps = make_skill("g1_pick_and_place", g1(), g1_policy())
    hand = grasps.facts.hand
    actions = np.zeros((3, 8))
    actions[:, -1] = [hand.open, 0.5 * (hand.open + hand.closed), hand.closed]

    columns = grasps.columns(actions)

    assert columns.shape == (3, 26)
    for name, (at_open, at_closed) in hand.fingers.items():
        moved = columns[:, grasps.policy.action_names.index(name)]
        np.testing.assert_allclose(moved, [at_open, 0.5 * (at_open + at_closed), at_closed])


def test_what_is_kept_still_must_be_commanded_too():
    left = {key: part for key, part in g1_policy().action.items() if key.startswith("right")}

    with refused(ConfigError, "g1_scripted", "left_elbow_joint/position"):
        make_skill("g1_pick_and_place", g1(), replace(g1_policy(), action=left))
