# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from test.support.simulated import backend, policy, so101, world
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.backends.hold import Backend as HoldBackend
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import RemotePolicyError
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Hold, Measured, Move
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.request_scheduler import Failure
from vla_ros.sim.episode import Episode, EpisodeResult, Tick
from vla_ros.sim.timing import Timing


class Recorder(PolicyBackend):
    """Answers as it is told to, and keeps what it was shown."""

    Config: ClassVar[type] = HoldBackend.Config

    def __init__(self, answer: Callable[[Observation], np.ndarray]) -> None:
        super().__init__(None, robot=so101(), policy=policy())
        self.answer = answer
        self.shown: list[Observation] = []
        self.resets = 0

    def connect(self) -> PolicyInfo:
        return PolicyInfo("recorder")

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.shown.append(observation)
        return self.chunk(observation, self.answer(observation), sent_ns=0, received_ns=0)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        pass


def stay(observation: Observation) -> np.ndarray:
    return np.tile(observation.select(policy().action_names), (policy().horizon, 1))


def refuse(observation: Observation) -> np.ndarray:
    raise RemotePolicyError("sees nothing")


def run(
    made: PolicyBackend, *, watch: Callable[[Tick], None] | None = None, **timing: float
) -> EpisodeResult:
    episode = Episode(world(), made, params=ExecutorParams(), timing=Timing(**timing), watch=watch)
    return episode.run(4)


def wave(observation: Observation) -> np.ndarray:
    steps = np.linspace(0.0, 0.5, policy().horizon)[:, np.newaxis]
    return stay(observation) + steps


def test_a_policy_that_looks_at_the_past_is_shown_it():
    recorder = Recorder(wave)
    recorder.policy = replace(policy(), video_deltas=(-10, 0))

    run(recorder, max_duration_s=2.0)

    first, last = recorder.shown[0].images, recorder.shown[-1].images
    assert set(first) == {frame for name in so101().cameras for frame in (name, f"{name}@-10")}
    for name in so101().cameras:
        # An episode's first frame stands for what was before it.
        np.testing.assert_array_equal(first[name], first[f"{name}@-10"])
        assert (last[name] != last[f"{name}@-10"]).any()


def test_a_policy_is_shown_what_a_robot_shows():
    recorder = Recorder(stay)

    run(recorder, max_duration_s=1.0)

    assert recorder.resets == 1
    first = recorder.shown[0]
    assert first.instruction == world().instruction
    assert set(first.images) == set(so101().cameras)
    assert all(image.std() > 10.0 for image in first.images.values())
    assert first.state_names == so101().state_names
    assert first.request is not None
    assert [seen.request.request_id for seen in recorder.shown if seen.request] == list(
        range(1, len(recorder.shown) + 1)
    )
    stamps = [seen.stamp_ns for seen in recorder.shown]
    assert stamps == sorted(stamps)
    assert len(stamps) >= 2


def test_images_and_state_are_of_the_stamp():
    recorder = Recorder(lambda seen: stay(seen) + 0.5)
    seen_at: dict[int, np.ndarray] = {}

    def watch(tick: Tick) -> None:
        seen_at[tick.now_ns] = tick.world.state(so101().state_names)

    run(recorder, watch=watch, max_duration_s=1.5, latency_s=0.1)

    compared = 0
    for shown in recorder.shown:
        if shown.stamp_ns in seen_at:
            np.testing.assert_allclose(shown.state, seen_at[shown.stamp_ns], atol=1e-9)
            compared += 1
    assert compared >= 1


@pytest.mark.parametrize("latency_s", [0.0, 0.2])
def test_the_arm_follows_the_chunk_after_the_latency(latency_s: float):
    recorder = Recorder(lambda seen: stay(seen) + 0.3)
    moved: list[tuple[float, float]] = []
    joint = so101().command_names[:1]

    def watch(tick: Tick) -> None:
        moved.append((tick.world.time_s, float(tick.world.state(joint)[0])))

    run(recorder, watch=watch, max_duration_s=0.6, latency_s=latency_s)

    start = moved[0][1]
    begun_s = next(time_s for time_s, position in moved if position > start + 0.02)
    assert latency_s < begun_s < latency_s + 0.2


def test_an_episode_is_the_same_each_time():
    def commands(latency_s: float) -> tuple[list[np.ndarray], EpisodeResult]:
        states: list[np.ndarray] = []
        result = run(
            backend(),
            watch=lambda tick: states.append(tick.measured),
            max_duration_s=1.2,
            latency_s=latency_s,
            latency_jitter_s=0.02,
        )
        return states, result

    one, other = commands(0.1), commands(0.1)

    np.testing.assert_array_equal(one[0], other[0])
    assert one[1].duration_s == other[1].duration_s == pytest.approx(1.2)
    assert not one[1].task.success


def test_a_policy_that_refuses_holds_the_arm():
    states: list[np.ndarray] = []

    result = run(
        Recorder(refuse),
        watch=lambda tick: states.append(tick.measured),
        max_duration_s=1.0,
    )

    assert not result.task.success
    assert result.error == "sees nothing"
    assert set(result.counts.hold_ticks) == {"starting", "policy_error"}
    assert result.counts.hold_ticks["policy_error"] > 40
    assert result.counts.failed == result.counts.requested > 5
    np.testing.assert_allclose(states[0], states[-1], atol=0.02)


def test_a_chunk_that_comes_too_late_is_dropped_and_named():
    short = np.zeros((policy().horizon, len(policy().action_names)))

    result = run(Recorder(lambda _: short), max_duration_s=7.0, latency_s=5.5)

    assert result.counts.received == 0
    assert result.counts.dropped >= 1
    assert "old when it came" in result.error


def test_a_lost_answer_is_asked_for_again():
    result = run(Recorder(stay), max_duration_s=12.0, latency_s=0.05, lost_share=0.5)

    assert 0 < result.counts.received < result.counts.requested


def test_each_tick_is_told():
    ticks: list[Tick] = []

    result = run(Recorder(stay), watch=ticks.append, max_duration_s=1.0, latency_s=0.1)

    assert len(ticks) == 50
    assert sum(len(tick.joined) for tick in ticks) == result.counts.received >= 1
    assert sum(tick.requested is not None for tick in ticks) == result.counts.requested
    first = next(tick for tick in ticks if tick.joined)
    assert isinstance(first.command, Move)
    assert ticks[0].in_flight
    assert not first.in_flight


def test_another_executor_may_be_compared():
    class Still:
        """Holds where the robot is."""

        def start(self) -> None:
            pass

        def offer(self, chunk: ActionChunk, now_ns: int) -> None:
            raise AssertionError("it asked for nothing")

        def fail(self, request_id: int, epoch: int, failure: Failure, now_ns: int) -> None:
            raise AssertionError("it asked for nothing")

        def update(self, now_ns: int, measured: Measured | None) -> Hold:
            return Hold("still", None if measured is None else measured.values)

        def poll_request(self, now_ns: int) -> None:
            return None

    episode = Episode(
        world(),
        Recorder(stay),
        params=ExecutorParams(),
        timing=Timing(max_duration_s=0.5),
        executor=Still(),
    )

    assert episode.run(4).counts.hold_ticks == {"still": 25}


def test_an_observation_that_cannot_be_made_is_a_failed_request():
    recorder = Recorder(stay)

    # At one image a second, the images are too old most of the time.
    result = run(recorder, max_duration_s=1.5, camera_rate_hz=1.0)

    assert result.counts.failed > 0
    assert "stale" in result.error


def test_an_episode_ends_when_it_has_failed():
    def push_off(tick: Tick) -> None:
        if tick.world.time_s > 0.1:
            tick.world.place_object("red", (0.2, 0.6, -0.05))

    result = run(Recorder(stay), watch=push_off, max_duration_s=5.0)

    assert result.task.failed
    assert result.duration_s < 0.5
