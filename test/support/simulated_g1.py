# SPDX-License-Identifier: Apache-2.0
"""The simulated G1 at its table, as the tests use it.

Worlds are dear to build, so each module of tests shares one; every test resets it.
"""

from __future__ import annotations

from functools import cache

from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import RobotSpec, load_robot_spec
from vla_ros.sim.scene_file import load_scene_spec
from vla_ros.sim.scene_spec import SceneSpec
from vla_ros.sim.world import World


@cache
def g1() -> RobotSpec:
    return load_robot_spec(config_file("robots", "g1_inspire"))


@cache
def g1_table() -> SceneSpec:
    return load_scene_spec(config_file("sim", "g1_table"))


@cache
def g1_world() -> World:
    return World(g1(), g1_table(), renderer="raycast")
