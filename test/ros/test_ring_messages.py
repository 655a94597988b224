# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from vla_ros.core.action_chunk import ActionChunk, ChunkTiming
from vla_ros.core.errors import ActionError, ConfigError
from vla_ros.core.observation import CommittedActions, ObservationRequest
from vla_ros.ros.ring_messages import (
    chunk_from_message,
    chunk_to_message,
    failure_to_message,
    request_from_message,
    request_to_message,
)
from vla_ros.ros.stamps import duration_from_ns, ns_from_time

CHUNK = ActionChunk(
    stamp_ns=5_000_000_001,
    step_ns=33_333_333,
    names=("a/position", "b/position"),
    actions=np.arange(6.0).reshape(3, 2),
    request_id=2**40,
    epoch=7,
    timing=ChunkTiming(
        requested_ns=1_000_000_000, sent_ns=1_100_000_000, received_ns=1_350_000_000
    ),
)


def test_a_request_with_nothing_committed():
    for runs_out_ns in (None, 1_234_567_890_124):
        request = ObservationRequest(
            request_id=2**40,
            epoch=3,
            stamp_ns=1_234_567_890_123,
            must_go=True,
            runs_out_ns=runs_out_ns,
        )

        assert request_from_message(request_to_message(request)) == request


def test_a_request_with_committed_actions():
    actions = np.arange(4.0).reshape(2, 2)
    names = ("a/position", "b/position")
    committed = CommittedActions(names, 5_000_000_007, 33_333_333, actions, 0.25, 8)
    request = ObservationRequest(1, 2, 3, must_go=False, committed=committed)

    found = request_from_message(request_to_message(request)).committed

    assert found is not None
    np.testing.assert_array_equal(found.actions, actions)
    assert (found.names, found.stamp_ns, found.step_ns) == (names, 5_000_000_007, 33_333_333)
    assert (found.inference_delay_s, found.execution_horizon) == (0.25, 8)


@pytest.mark.parametrize(("values", "step_ns"), [([1.0], 100), ([1.0, 2.0], 0)])
def test_committed_actions_that_contradict_themselves_are_refused(
    values: list[float], step_ns: int
):
    message = request_to_message(ObservationRequest(1, 2, 3, must_go=False))
    message.names, message.committed_length, message.committed = ["a/position"], 2, values
    message.committed_step = duration_from_ns(step_ns)

    with pytest.raises(ConfigError, match="expected 2 steps of 1 interfaces"):
        request_from_message(message)


def test_a_chunk():
    message = chunk_to_message(CHUNK, "some_policy")

    assert message.policy == "some_policy"
    assert message.inference_s == pytest.approx(0.25)
    found = chunk_from_message(message)
    np.testing.assert_array_equal(found.actions, CHUNK.actions)
    for name in ("stamp_ns", "step_ns", "names", "request_id", "epoch", "timing"):
        assert getattr(found, name) == getattr(CHUNK, name)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"horizon": 4}, "6 values, expected 4 actions of 2 interfaces"),
        ({"horizon": 0, "actions": []}, "shape"),
        ({"names": ["a/position"]}, "6 values, expected 3 actions of 1"),
        ({"actions": [0.0, 1.0, float("nan"), 3.0, 4.0, 5.0]}, "action 1 of a/position is nan"),
        ({"actions": [0.0, 1.0, 2.0, float("inf"), 4.0, 5.0]}, "action 1 of b/position is inf"),
    ],
)
def test_a_bad_chunk_is_refused(fields, text):
    message = chunk_to_message(CHUNK, "p")
    for name, value in fields.items():
        setattr(message, name, value)

    with pytest.raises(ActionError, match=text):
        chunk_from_message(message)


def test_a_failure_names_its_request():
    request = request_to_message(ObservationRequest(9, 4, 0, must_go=True))

    message = failure_to_message(request, "stale_camera", "the lens is covered", 77)

    assert (message.request_id, message.epoch) == (9, 4)
    assert (message.reason, message.detail) == ("stale_camera", "the lens is covered")
    assert ns_from_time(message.header.stamp) == 77
