# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import numpy as np
import pytest

from test.support.gr00t_samples import NAMES, STAMP_NS, moves, observation, policy, robot
from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.backends.hold import Backend, HoldConfig
from vla_ros.backends.registry import backend_class
from vla_ros.core.action_chunk import ChunkTiming
from vla_ros.core.errors import ActionError
from vla_ros.core.observation import ObservationRequest


def make() -> PolicyBackend:
    return Backend(HoldConfig(), robot=robot(), policy=policy())


def test_a_chunk_is_stamped_with_its_observation_and_named_after_its_request():
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=STAMP_NS - 5, must_go=True)

    chunk = make().chunk(observation(request=request), moves(), sent_ns=11, received_ns=12)

    assert (chunk.stamp_ns, chunk.step_ns, chunk.names) == (STAMP_NS, 33_333_333, NAMES)
    assert (chunk.request_id, chunk.epoch) == (7, 2)
    assert chunk.timing == ChunkTiming(requested_ns=STAMP_NS - 5, sent_ns=11, received_ns=12)
    np.testing.assert_array_equal(chunk.actions, moves())


def test_an_observation_without_a_request_is_answered_too():
    chunk = make().chunk(observation(), moves(), sent_ns=11, received_ns=12)

    assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (0, 0, 0)


def test_bad_actions_make_no_chunk():
    with pytest.raises(ActionError, match=r"actions have shape \(16, 5\), expected"):
        make().chunk(observation(), moves()[:, :5], sent_ns=0, received_ns=0)


def test_the_clock_is_the_systems_unless_another_is_given():
    assert abs(make().now_ns() - time.time_ns()) < 60 * 10**9
    told = Backend(HoldConfig(), robot=robot(), policy=policy(), now_ns=lambda: 42)
    assert told.now_ns() == 42


def test_a_policy_can_no_more_than_it_says():
    assert PolicyInfo("x") == PolicyInfo("x", prefix="none", max_batch=1)


def test_another_one_has_the_same_facts():
    first = Backend(HoldConfig(), robot=robot(), policy=policy(), now_ns=lambda: 42)

    second = first.another()

    assert type(second) is Backend
    assert second is not first
    for fact in ("config", "robot", "policy", "now_ns"):
        assert getattr(second, fact) is getattr(first, fact)


@pytest.mark.parametrize("name", ["scripted_pick_and_place", "flow_pick_and_place", "replay"])
def test_what_remembers_an_episode_and_costs_little_is_the_clients_own(name: str):
    assert backend_class(name).per_client
    assert not backend_class("gr00t_zmq").per_client
