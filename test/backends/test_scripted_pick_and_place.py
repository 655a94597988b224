# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from test.core.refusals import refused
from test.support.simulated import backend, observe, policy, so101, world
from vla_ros.backends._pick_and_place_facts import load_task_facts
from vla_ros.backends._pick_and_place_sight import ThingHidden
from vla_ros.backends.registry import backend_class
from vla_ros.backends.scripted_pick_and_place import Backend, Config
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.observation import Observation, ObservationRequest
from vla_ros.sim.episode import Episode, EpisodeResult, Tick
from vla_ros.sim.timing import Timing
from vla_ros.sim.world import World

SEED = 6


def episode(made: Backend, *, seed: int = SEED, **changes: float) -> EpisodeResult:
    timing = Timing(**{"latency_s": 0.1, "latency_jitter_s": 0.02, **changes})
    return Episode(world(), made, params=ExecutorParams(), timing=timing).run(seed)


def test_it_is_found_by_its_name():
    assert backend_class(policy().backend) is Backend


def test_it_says_what_it_is():
    made = Backend(Config(), robot=so101(), policy=policy())

    assert "red, green, blue" in made.connect().description


def test_a_chunk_has_the_policys_shape_and_the_observations_stamp():
    world().reset(SEED)
    request = ObservationRequest(request_id=7, epoch=3, stamp_ns=5, must_go=True)

    chunk = backend().infer(replace(observe(world(), stamp_ns=42), request=request))

    assert chunk.names == policy().action_names
    assert chunk.actions.shape == (32, 6)
    assert (chunk.stamp_ns, chunk.step_ns) == (42, policy().step_ns)
    assert (chunk.request_id, chunk.epoch) == (7, 3)
    assert chunk.timing.received_ns >= chunk.timing.sent_ns > 0


def test_without_a_request_it_answers_as_well():
    world().reset(SEED)

    assert backend().infer(observe(world())).request_id == 0


@pytest.mark.parametrize("latency_s", [0.0, 0.3])
def test_it_puts_the_cube_on_the_plate(latency_s: float):
    result = episode(backend(), latency_s=latency_s)

    assert result.task.success, result.task.detail
    assert result.duration_s < 9.0
    assert result.error == ""
    assert result.counts.hold_ticks.keys() == {"starting"}


class Blind(Backend):
    """The same policy with its eyes shut, from the start or from some moment on."""

    blind_after = 0

    def infer(self, observation: Observation, prefix: None = None) -> ActionChunk:
        self.blind_after -= 1
        if self.blind_after < 0:
            dark = {name: np.zeros_like(image) for name, image in observation.images.items()}
            observation = replace(observation, images=dark)
        return super().infer(observation, prefix)


@pytest.mark.parametrize("looks", [0, 3])
def test_blind_it_fails_and_says_why(looks: int):
    made = Blind(Config(), robot=so101(), policy=policy())
    made.connect()
    made.blind_after = looks

    result = episode(made, max_duration_s=6.0)

    assert not result.task.success
    assert "sees no" in result.error
    assert result.counts.hold_ticks["policy_error"] > 50


def test_a_cube_that_is_moved_meanwhile_is_found_again():
    moved = []

    def move(tick: Tick) -> None:
        watched = tick.world
        if watched.time_s > 1.2 and not moved:
            moved.append(watched.object_pose("red")[0])
            watched.place_object("red", (0.24, 0.0, 0.0125))

    made = Episode(
        world(), backend(), params=ExecutorParams(), timing=Timing(latency_s=0.1), watch=move
    )

    result = made.run(SEED, "put the red cube on the plate")

    assert moved
    assert result.task.success, result.task.detail


def test_a_cube_that_is_lost_on_the_way_is_fetched_again():
    lost = []

    def knock(tick: Tick) -> None:
        watched = tick.world
        if watched.object_pose("red")[0][2] > 0.05 and not lost:
            lost.append(watched.time_s)
            watched.place_object("red", (0.24, 0.0, 0.03))

    made = Episode(
        world(), backend(), params=ExecutorParams(), timing=Timing(latency_s=0.1), watch=knock
    )

    result = made.run(SEED, "put the red cube on the plate")

    assert lost
    assert result.task.success, result.task.detail


def test_actions_are_within_the_robots_limits():
    made = backend()
    chunks = []
    world().reset(SEED)
    for _ in range(14):
        chunk = made.infer(observe(world()))
        chunks.append(chunk.actions)
        for action in chunk.actions[:15]:
            world().set_targets(action)
            world().advance(world().time_s + 1.0 / policy().rate_hz)
    assert world().task_state().success

    names = policy().action_names
    arm = [so101().limits[name].joining == "continuous" for name in names]
    lower = np.array([so101().limits[name].lower for name in names])
    upper = np.array([so101().limits[name].upper for name in names])
    fastest = np.array([so101().limits[name].max_velocity for name in names])
    for actions in chunks:
        assert (actions >= lower).all()
        assert (actions <= upper).all()
        speed = np.abs(np.diff(actions, axis=0)) * policy().rate_hz
        assert (speed <= fastest)[:, arm].all()


def test_after_its_work_it_rests_with_an_open_hand():
    made, facts = backend(), load_task_facts(config_file("tasks", Config().task), so101())
    result = episode(made)
    assert result.task.success
    for _ in range(5):
        chunk = made.infer(observe(world()))
        for action in chunk.actions[:15]:
            world().set_targets(action)
            world().advance(world().time_s + 1.0 / policy().rate_hz)
        assert world().task_state().success, world().task_state().detail

    resting = [*(facts.rest[name] for name in facts.hand.arm), facts.hand.open]
    state = world().state((*facts.hand.arm, facts.hand.opening))
    np.testing.assert_allclose(state, resting, atol=0.03)


def test_a_later_chunk_continues_an_earlier_one():
    """Half a second later, what it wants done then is what it wanted before."""
    world().reset(SEED)
    made, apart, steps = backend(), [], 15
    for _ in range(5):
        chunk = made.infer(observe(world()))
        for action in chunk.actions[:steps]:
            world().set_targets(action)
            world().advance(world().time_s + 1.0 / policy().rate_hz)
        later = made.infer(observe(world()))
        difference = later.actions[: 32 - steps, :5] - chunk.actions[steps:, :5]
        apart.append(float(np.abs(difference).max()))

    # Where the hand has closed or opened meanwhile, it sees so, and goes on sooner than meant.
    assert sorted(apart)[2] < 0.02


@pytest.mark.parametrize("instruction", ["put the pink cube on the plate", "", "reddish"])
def test_an_instruction_without_a_known_colour_is_refused(instruction: str):
    world().reset(SEED)
    observation = replace(observe(world()), instruction=instruction)

    with refused(RemotePolicyError, repr(instruction), "red, green, blue"):
        backend().infer(observation)


def test_a_missing_camera_and_a_wrong_size_are_refused():
    world().reset(SEED)
    observation = observe(world())
    name = next(iter(so101().cameras))
    without = {key: image for key, image in observation.images.items() if key != name}
    small = {**observation.images, name: observation.images[name][::2]}

    with refused(ConfigError, f"camera {name}", "(240, 320, 3)", "none"):
        backend().infer(replace(observation, images=without))
    with refused(ConfigError, f"camera {name}", "(120, 320, 3)"):
        backend().infer(replace(observation, images=small))


def test_it_must_be_connected_to():
    world().reset(SEED)
    closed = backend()
    closed.close()
    closed.close()

    for made in (Backend(Config(), robot=so101(), policy=policy()), closed):
        made.reset()
        with refused(BackendUnavailable, "connect"):
            made.infer(observe(world()))


def test_a_reset_forgets_where_things_were():
    world().reset(SEED, "put the red cube on the plate")
    made = backend()
    made.infer(observe(world()))
    made.reset()
    world().place_object("red", (-0.2, 0.0, 0.0125))
    at_rest(world())

    with refused(ThingHidden, "sees no red cube"):
        made.infer(observe(world()))


def test_the_arm_withdraws_where_it_may_hide_the_cube():
    """A policy without memory whose arm is somewhere, and neither camera sees the cube."""
    world().reset(SEED, "put the red cube on the plate")
    world().place_object("red", (-0.2, 0.0, 0.0125))
    world().set_targets(np.array([0.3, 0.0, 0.3, 1.2, 1.5, 0.3]))
    world().advance(world().time_s + 3.0)
    made = backend()
    facts = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())

    chunk = made.infer(observe(world()))

    rest = np.array([facts.rest[name] for name in facts.hand.arm])
    columns = [chunk.names.index(name) for name in facts.hand.arm]
    away = np.abs(chunk.actions[:, columns] - rest).max(axis=1)
    assert away[-1] < 0.7 * away[0]


def at_rest(watched: World) -> None:
    """Bring the arm to its rest pose."""
    facts = load_task_facts(config_file("tasks", "so101_pick_and_place"), so101())
    goals = {**facts.rest, facts.hand.opening: facts.hand.open}
    watched.set_targets(np.array([goals[name] for name in so101().command_names]))
    watched.advance(watched.time_s + 3.0)


def test_a_robot_without_urdf_is_refused():
    made = Backend(Config(), robot=replace(so101(), urdf=None), policy=policy())

    with refused(ConfigError, "urdf"):
        made.connect()


def test_a_task_that_does_not_exist_is_refused():
    made = Backend(Config(task="juggle"), robot=so101(), policy=policy())

    with refused(ConfigError, "juggle", "so101_pick_and_place"):
        made.connect()


def test_a_policy_that_commands_something_else_is_refused():
    action = dict(list(policy().action.items())[:1])
    made = Backend(Config(), robot=so101(), policy=replace(policy(), action=action))

    with refused(ConfigError, "action", "exactly"):
        made.connect()
