# SPDX-License-Identifier: Apache-2.0
"""The simulated SO101 and its scripted policy, as the tests use them.

Worlds are dear to build, so each module of tests shares one; every test resets it.
"""

from __future__ import annotations

from functools import cache

from vla_ros.backends.scripted_pick_and_place import Backend, Config
from vla_ros.core.config_files import config_file
from vla_ros.core.kinematics import Kinematics
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.scene_spec import SceneSpec
from vla_ros.sim.world import World


@cache
def so101() -> RobotSpec:
    return load_robot_spec(config_file("robots", "so101_sim"))


@cache
def table() -> SceneSpec:
    return load_scene_spec(config_file("sim", "so101_table"))


@cache
def policy() -> PolicySpec:
    return load_policy_spec(config_file("policies", "so101_scripted"))


@cache
def kinematics() -> Kinematics:
    path = so101().urdf
    assert path is not None
    return Kinematics.from_file(path)


@cache
def world() -> World:
    return World(so101(), table(), renderer="raycast")


def backend() -> Backend:
    """A scripted policy that is connected and remembers nothing."""
    made = Backend(Config(), robot=so101(), policy=policy())
    made.connect()
    return made


def observe(seen: World, *, stamp_ns: int = 1_000_000_000) -> Observation:
    """What a policy would be shown now."""
    names = so101().state_names
    return Observation(
        stamp_ns=stamp_ns,
        instruction=seen.instruction,
        images={camera: seen.render(camera) for camera in so101().cameras},
        state_names=names,
        state=seen.state(names),
    )


def joints(seen: World) -> dict[str, float]:
    """Joint name to position, now."""
    names = so101().command_names
    values = seen.state(names).tolist()
    return {name.rpartition("/")[0]: value for name, value in zip(names, values, strict=True)}
