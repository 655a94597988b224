# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.g1_policy import g1_policy
from test.support.simulated import observe, so101, world
from test.support.simulated_g1 import g1
from vla_ros.backends._flow_network import load_network, save_network
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_sight import ThingHidden
from vla_ros.backends.flow_pick_and_place import Backend, Config
from vla_ros.backends.registry import backend_class
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import BackendUnavailable, ConfigError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.observation import Observation, ObservationRequest, Prefix
from vla_ros.core.policy_spec import PolicySpec, load_policy_spec
from vla_ros.sim.episode import Episode
from vla_ros.sim.timing import Timing

SEED = 6
# How many actions are executed before the next chunk is asked for, and until it takes over.
EXECUTED, DELAY = 10, 6


@cache
def policy() -> PolicySpec:
    return load_policy_spec(config_file("policies", "so101_flow"))


def backend(**config: object) -> Backend:
    made = Backend(Config(**config), robot=so101(), policy=policy())
    made.connect()
    return made


@cache
def scene() -> tuple[Observation, Prefix]:
    """The arm on its way, and what it will do if no new chunk comes."""
    world().reset(SEED)
    first = backend(seed=3).infer(observe(world()))
    for action in first.actions[:EXECUTED]:
        world().set_targets(action)
        world().advance(world().time_s + 1.0 / policy().rate_hz)
    prefix = Prefix(
        names=first.names,
        actions=first.actions[EXECUTED:],
        inference_delay_s=DELAY / policy().rate_hz,
        execution_horizon=EXECUTED,
    )
    return observe(world()), prefix


def apart(chunk: ActionChunk, prefix: Prefix, count: int) -> float:
    """The largest difference of the first actions to a prefix's."""
    return float(np.abs(chunk.actions[:count] - prefix.actions[:count]).max())


def test_it_is_found_by_its_name():
    assert backend_class(policy().backend) is Backend


@pytest.mark.parametrize(("guidance", "prefix"), [(True, "guided"), (False, "none")])
def test_it_says_whether_it_can_use_a_prefix(guidance: bool, prefix: str):
    made = Backend(Config(guidance=guidance, steps=7), robot=so101(), policy=policy())

    info = made.connect()

    assert info.prefix == prefix
    assert "7 steps" in info.description


def test_a_chunk_has_the_policys_shape_and_the_observations_stamp():
    observation, _ = scene()
    request = ObservationRequest(request_id=7, epoch=3, stamp_ns=5, must_go=True)

    chunk = backend().infer(replace(observation, stamp_ns=42, request=request))

    assert chunk.names == policy().action_names
    assert chunk.actions.shape == (32, 6)
    assert (chunk.stamp_ns, chunk.step_ns) == (42, policy().step_ns)
    assert (chunk.request_id, chunk.epoch) == (7, 3)
    assert chunk.timing.received_ns >= chunk.timing.sent_ns > 0


def test_it_puts_the_cube_on_the_plate():
    episode = Episode(world(), backend(), params=ExecutorParams(), timing=Timing(latency_s=0.1))

    result = episode.run(SEED)

    assert result.task.success, result.task.detail
    assert result.error == ""
    assert result.counts.hold_ticks.keys() == {"starting"}


def test_it_may_answer_differently_each_time_and_again_the_same_after_a_reset():
    observation, _ = scene()
    made = backend()

    chunks = [made.infer(observation).actions for _ in range(12)]
    made.reset()
    again = made.infer(observation).actions

    # Nearer, further out or over the top: the demonstrations went all these ways.
    assert np.std(chunks, axis=0).max() > 0.05
    np.testing.assert_array_equal(again, chunks[0])


def test_the_seed_decides():
    observation, _ = scene()
    one, other = (backend(seed=seed).infer(observation).actions for seed in (1, 2))

    np.testing.assert_array_equal(backend(seed=1).infer(observation).actions, one)
    assert np.abs(one - other).max() > 0.01


@pytest.mark.parametrize("jacobian", ["identity", "true"])
@pytest.mark.parametrize(("steps", "weight"), [(5, 5.0), (10, 10.0)])
def test_it_continues_what_will_be_executed(jacobian: str, steps: int, weight: float):
    observation, prefix = scene()
    guided = backend(jacobian=jacobian, steps=steps, max_guidance_weight=weight)
    free = backend(steps=steps)
    differences = np.array(
        [
            (
                apart(guided.infer(observation, prefix), prefix, DELAY),
                apart(free.infer(observation), prefix, DELAY),
            )
            for _ in range(8)
        ]
    )

    held, loose = np.sqrt((differences**2).mean(axis=0))
    assert loose > 0.05
    assert held < (0.1 if jacobian == "identity" else 0.7) * loose


def test_it_is_never_pulled_beyond_the_prefix():
    observation, prefix = scene()
    strong, enough = (backend(steps=4, max_guidance_weight=weight) for weight in (90.0, 4.0))

    np.testing.assert_array_equal(
        strong.infer(observation, prefix).actions, enough.infer(observation, prefix).actions
    )


def test_without_a_prefix_nothing_changes():
    observation, prefix = scene()
    free = backend(guidance=False).infer(observation).actions
    nothing = replace(prefix, actions=prefix.actions[:0])

    np.testing.assert_array_equal(backend().infer(observation).actions, free)
    np.testing.assert_array_equal(backend(guidance=False).infer(observation, prefix).actions, free)
    np.testing.assert_allclose(backend().infer(observation, nothing).actions, free, atol=1e-9)


def test_the_columns_of_a_prefix_are_found_by_name():
    observation, prefix = scene()
    order = [3, 5, 0, 4, 2, 1]
    turned = replace(
        prefix,
        names=tuple(prefix.names[index] for index in order),
        actions=prefix.actions[:, order],
    )

    np.testing.assert_array_equal(
        backend().infer(observation, turned).actions, backend().infer(observation, prefix).actions
    )


def test_what_a_prefix_does_not_name_stays_free():
    observation, prefix = scene()
    one = replace(prefix, names=("elsewhere", prefix.names[1]), actions=prefix.actions[:, [0, 1]])

    free, held = backend().infer(observation), backend().infer(observation, one)

    assert np.abs(held.actions - prefix.actions[0])[0, 1] < 0.01
    assert np.abs(held.actions[:DELAY, 1] - prefix.actions[:DELAY, 1]).max() < 0.01
    nothing = replace(prefix, names=("elsewhere",), actions=prefix.actions[:, :1])
    np.testing.assert_allclose(
        backend().infer(observation, nothing).actions, free.actions, atol=1e-9
    )


@pytest.mark.parametrize("count", [1, 3, 22, 40])
@pytest.mark.parametrize("delay_s", [-0.1, 0.0, 0.2, 9.0])
@pytest.mark.parametrize("executed", [0, 10, 99])
def test_a_prefix_may_be_of_any_length(count: int, delay_s: float, executed: int):
    observation, prefix = scene()
    rows = np.minimum(np.arange(count), len(prefix.actions) - 1)
    odd = Prefix(prefix.names, prefix.actions[rows], delay_s, executed)

    chunk = guided_once(observation, odd)

    held = min(max(round(delay_s * policy().rate_hz), 0), count, len(prefix.actions))
    assert np.isfinite(chunk.actions).all()
    assert held == 0 or apart(chunk, odd, held) < 0.06


def guided_once(observation: Observation, prefix: Prefix) -> ActionChunk:
    made = reused()
    made.reset()
    return made.infer(observation, prefix)


@cache
def reused() -> Backend:
    return backend()


def test_where_the_prefix_ends_there_is_no_kink():
    """Held up to a step in the middle of the chunk, it lets go little by little."""
    observation, prefix = scene()
    short = replace(prefix, actions=prefix.actions[:14], execution_horizon=0)
    kinks = {"linear": [], "ones": []}
    for schedule, found in kinks.items():
        made = backend(schedule=schedule)
        for _ in range(8):
            actions = made.infer(observation, short).actions
            found.append(np.abs(np.diff(actions[12:16, :5], 2, axis=0)).max())

    assert np.mean(kinks["linear"]) < 0.3 * np.mean(kinks["ones"])


def test_a_delay_between_two_actions_counts_as_the_later_one():
    observation, prefix = scene()
    zeros = backend(schedule="zeros")

    def difference(delay_steps: float) -> np.ndarray:
        zeros.reset()
        asked = replace(prefix, inference_delay_s=delay_steps / policy().rate_hz)
        return zeros.infer(observation, asked).actions

    np.testing.assert_array_equal(difference(3.2), difference(4.0))
    assert np.abs(difference(3.0) - difference(4.0)).max() > 1e-6


def hidden(*, stamp_ns: int = 1_000_000_000) -> Observation:
    """The arm is somewhere, and neither camera sees the red cube."""
    world().reset(SEED, "put the red cube on the plate")
    world().place_object("red", (-0.2, 0.0, 0.0125))
    world().set_targets(np.array([0.3, 0.0, 0.3, 1.2, 1.5, 0.3]))
    world().advance(world().time_s + 3.0)
    return observe(world(), stamp_ns=stamp_ns)


def test_the_arm_withdraws_where_it_may_hide_the_cube():
    observation = hidden()
    facts = load_task_facts(config_file("tasks", Config().task), so101())
    rest = [facts.rest[name] for name in facts.hand.arm]

    chunk = backend().infer(observation)

    away = np.abs(chunk.actions[:, :5] - rest).max(axis=1)
    assert away[-1] < 0.7 * away[0]
    # It is a script, so that noise does not matter.
    np.testing.assert_array_equal(backend(seed=1).infer(observation).actions, chunk.actions)


@pytest.mark.parametrize(
    ("age_s", "asked", "remembers"),
    [
        (0.5, "put the red cube on the plate", True),
        (1.5, "put the red cube on the plate", False),
        (-0.5, "put the red cube on the plate", False),
        (0.5, "now the red cube, please", False),
    ],
)
def test_what_was_just_seen_is_still_there(age_s: float, asked: str, remembers: bool):
    world().reset(SEED, "put the red cube on the plate")
    made, first = backend(), observe(world(), stamp_ns=10**10)
    made.infer(first)
    later = replace(hidden(stamp_ns=10**10 + round(age_s * 1e9)), instruction=asked)
    away = backend().infer(later).actions

    assert np.array_equal(made.infer(later).actions, away) != remembers


def test_a_cube_that_is_not_there_is_refused():
    world().reset(SEED, "put the red cube on the plate")
    world().place_object("red", (-0.2, 0.0, 0.0125))

    with refused(ThingHidden, "sees no red cube"):
        backend().infer(observe(world()))


def test_it_must_be_connected_to():
    observation, _ = scene()
    closed = backend()
    closed.close()
    closed.close()

    for made in (Backend(Config(), robot=so101(), policy=policy()), closed):
        made.reset()
        with refused(BackendUnavailable, "connect"):
            made.infer(observation)


def test_weights_for_something_else_are_refused(tmp_path: Path):
    path = tmp_path / "other.npz"
    network = load_network(config_file("policies", "so101_flow", suffix=".npz"))
    save_network(replace(network, interfaces=tuple("abcdef")), path)
    short = replace(policy(), horizon=16)

    with refused(ConfigError, "other.npz", "32 actions of a, b, c, d, e, f and 32 features"):
        backend(weights=str(path))
    with refused(ConfigError, "so101_flow.npz", "trained for 32", "needs 16 actions"):
        Backend(Config(), robot=so101(), policy=short).connect()
    with refused(ConfigError, "nowhere.npz"):
        backend(weights="nowhere.npz")


def test_a_task_that_is_not_done_from_above_is_refused():
    made = Backend(Config(task="g1_pick_and_place"), robot=g1(), policy=g1_policy())

    with refused(ConfigError, "g1_pick_and_place", "side", "from above"):
        made.connect()
