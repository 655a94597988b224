# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.g1_policy import g1_backend, g1_facts, g1_observe, g1_policy
from test.support.simulated import policy, so101
from test.support.simulated_g1 import g1, g1_table, g1_world
from vla_ros.backends._pick_and_place_sight import ThingHidden
from vla_ros.backends.registry import backend_class
from vla_ros.backends.scripted_grasp_and_place import Backend, Config
from vla_ros.core.errors import ConfigError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.sim.episode import Episode, EpisodeResult, Tick
from vla_ros.sim.timing import Timing

SEED = 3


def episode(watch: object = None, **changes: float) -> EpisodeResult:
    timing = Timing(
        **{"latency_s": 0.1, "latency_jitter_s": 0.02, "camera_rate_hz": 12.0, **changes}
    )
    made = Episode(g1_world(), g1_backend(), params=ExecutorParams(), timing=timing, watch=watch)
    return made.run(SEED)


def test_it_is_found_by_its_name_and_says_what_it_knows():
    assert backend_class(g1_policy().backend) is Backend
    assert "orange" in g1_backend().connect().description


def test_a_chunk_commands_both_arms_and_hands_and_keeps_the_left_ones_still():
    g1_world().reset(SEED)

    chunk = g1_backend().infer(g1_observe(g1_world(), stamp_ns=42))

    assert chunk.names == g1_policy().action_names
    assert chunk.actions.shape == (32, 26)
    assert chunk.stamp_ns == 42
    still = g1_facts().still
    kept = [name for name in chunk.names if name in still]
    assert len(kept) == 13
    for name in kept:
        assert set(chunk.actions[:, chunk.names.index(name)]) == {still[name]}


def test_actions_are_within_the_robots_limits():
    g1_world().reset(SEED)
    limits = [g1().limits[name] for name in g1_policy().action_names]
    made, arm = g1_backend(), [g1_policy().action_names.index(name) for name in g1_facts().hand.arm]
    fastest = np.array([limit.max_velocity for limit in limits])
    for _ in range(12):
        actions = made.infer(g1_observe(g1_world())).actions
        assert (actions >= [limit.lower for limit in limits]).all()
        assert (actions <= [limit.upper for limit in limits]).all()
        speed = np.abs(np.diff(actions, axis=0)) * g1_policy().rate_hz
        assert (speed <= fastest)[:, arm].all()
        columns = [g1_policy().action_names.index(name) for name in g1().command_names]
        for action in actions[:15]:
            g1_world().set_targets(action[columns])
            g1_world().advance(g1_world().time_s + 1.0 / g1_policy().rate_hz)


@pytest.mark.parametrize("latency_s", [0.0, 0.3])
def test_it_puts_the_cylinder_on_the_plate(latency_s: float):
    result = episode(latency_s=latency_s)

    assert result.task.success, result.task.detail
    assert result.duration_s < 12.0
    assert result.error == ""
    assert result.counts.hold_ticks.keys() == {"starting"}


def test_a_cylinder_that_is_moved_meanwhile_is_found_again():
    moved = []

    def move(tick: Tick) -> None:
        if tick.world.time_s > 0.6 and not moved:
            moved.append(tick.world.object_pose("orange")[0])
            tick.world.place_object("orange", (0.40, -0.02, 0.08))

    result = episode(move)

    assert moved
    assert np.hypot(*(moved[0][:2] - [0.40, -0.02])) > 0.05
    assert result.task.success, result.task.detail


def test_a_cylinder_that_is_lost_on_the_way_is_fetched_again():
    lost = []

    def knock(tick: Tick) -> None:
        if tick.world.object_pose("orange")[0][2] > 0.13 and not lost:
            lost.append(tick.world.time_s)
            tick.world.place_object("orange", (0.42, -0.02, 0.08))

    result = episode(knock, max_duration_s=30.0)

    assert lost
    assert result.task.success, result.task.detail


def test_an_instruction_need_not_name_the_only_thing_there_is():
    g1_world().reset(SEED)

    chunk = g1_backend().infer(replace(g1_observe(g1_world()), instruction="tidy up"))

    assert len(chunk.actions) == 32


def test_a_reset_forgets_where_things_were():
    g1_world().reset(SEED)
    made = g1_backend()
    made.infer(g1_observe(g1_world()))
    made.reset()
    g1_world().place_object("orange", (-0.5, 0.0, 0.08))

    with refused(ThingHidden, "sees no orange cylinder"):
        made.infer(g1_observe(g1_world()))


def test_what_it_knows_is_what_is_there():
    facts, scene = g1_facts(), g1_table()
    (cylinder,) = scene.objects.values()

    assert tuple(scene.objects) == tuple(facts.colours)
    assert (facts.thing.height_m, facts.plate.height_m) == (cylinder.height_m, scene.plate.height_m)
    assert facts.plate.radius_m == scene.plate.radius_m
    assert facts.base_m == scene.base_m
    for name, position in facts.rest.items():
        assert scene.start[name] == position


def test_another_robots_policy_is_refused():
    with refused(ConfigError, "views", "g1_pick_and_place"):
        Backend(Config(), robot=so101(), policy=policy()).connect()
