# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from math import isnan

import numpy as np

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import NAMES, PAST_POLICY, policy, robot
from vla_ros.backends.base import PolicyInfo
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.robot_spec import InterfaceLimits
from vla_ros.serving.probe import INSTRUCTION, made_up, probe, resting


class Failing(GoldenBackend):
    """Cannot be connected to, or answers so many times and no more."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers

    def connect(self) -> PolicyInfo:
        if self.answers < 0:
            raise BackendUnavailable("nobody is there")
        return super().connect()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        if len(self.seen) == self.answers:
            raise RemotePolicyError("out of memory")
        return super().infer(observation, prefix)


def test_every_observation_is_answered():
    backend = GoldenBackend()
    found = probe(backend, made_up(backend, 3))

    assert (found.info, found.error) == (PolicyInfo("golden"), None)
    assert found.connect_s >= 0
    assert [answer.chunk.request_id for answer in found.answers] == [1, 2, 3]
    assert all(answer.asked_ns <= answer.given_ns for answer in found.answers)
    assert [seen.request and seen.request.request_id for seen in backend.seen] == [1, 2, 3]
    assert backend.resets == 0


def test_what_cannot_be_connected_to_is_asked_nothing():
    backend = Failing(-1)
    found = probe(backend, made_up(backend, 3))

    assert (found.info, found.answers, str(found.error)) == (None, [], "nobody is there")
    assert isnan(found.connect_s)


def test_it_ends_with_the_first_error_and_keeps_what_came_before():
    backend = Failing(2)
    found = probe(backend, made_up(backend, 5))

    assert found.info is not None
    assert len(found.answers) == 2
    assert str(found.error) == "out of memory"


def test_observations_are_the_policys_and_the_same_in_every_run():
    backend = GoldenBackend()
    noise, grey, other = made_up(backend, 3)
    again = next(made_up(backend, 1))

    assert noise.instruction == INSTRUCTION
    assert noise.state_names == NAMES
    assert list(noise.images) == ["head", "hand"]
    assert {image.shape for image in noise.images.values()} == {(3, 4, 3)}
    assert np.unique(noise.images["head"]).size > 10
    assert not np.array_equal(noise.images["head"], noise.images["hand"])
    assert not np.array_equal(noise.images["head"], other.images["head"])
    assert (grey.images["head"] == 128).all()
    np.testing.assert_array_equal(again.images["hand"], noise.images["hand"])
    assert noise.stamp_ns <= grey.stamp_ns


def test_a_policy_that_looks_at_the_past_is_shown_it():
    backend = GoldenBackend(policy=policy(PAST_POLICY))
    [seen] = made_up(backend, 1)

    assert list(seen.images) == ["head@-15", "head", "hand@-15", "hand"]


def test_joints_rest_in_the_middle_of_their_limits():
    limits = dict(robot().limits)
    limits[NAMES[0]] = InterfaceLimits(-1.0, 3.0, 1.0, 1.0, "continuous")
    del limits[NAMES[1]]
    body = dataclasses.replace(robot(), limits=limits)

    np.testing.assert_array_equal(resting(body, policy()), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
