# SPDX-License-Identifier: Apache-2.0
"""The scripted policy of the simulated G1, as the tests use it."""

from __future__ import annotations

from functools import cache

from test.support.simulated_g1 import g1
from vla_ros.backends._pick_and_place_facts import TaskFacts, load_task_facts
from vla_ros.backends.scripted_grasp_and_place import Backend, Config
from vla_ros.core.config_files import config_file
from vla_ros.core.observation import Observation
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.sim.world import World


@cache
def g1_policy() -> PolicySpec:
    return load_policy_spec(config_file("policies", "g1_scripted"))


@cache
def g1_facts() -> TaskFacts:
    return load_task_facts(config_file("tasks", Config().task), g1())


def g1_backend() -> Backend:
    """A scripted policy that is connected and remembers nothing."""
    made = Backend(Config(), robot=g1(), policy=g1_policy())
    made.connect()
    return made


def g1_observe(seen: World, *, stamp_ns: int = 1_000_000_000) -> Observation:
    """What the policy would be shown now, and no more than that."""
    names = g1_policy().state_names
    return Observation(
        stamp_ns=stamp_ns,
        instruction=seen.instruction,
        images={camera: seen.render(camera) for camera in g1().cameras},
        state_names=names,
        state=seen.state(names),
    )
