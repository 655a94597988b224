# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from test.core.helpers import policy, robot
from test.core.refusals import refused
from vla_ros.backends._batches import found_max_batch, in_groups, require_batch
from vla_ros.backends._warm_up import unlike_observations
from vla_ros.core.errors import RemotePolicyError, WireFormatError
from vla_ros.core.observation import Observation

SEEN = unlike_observations(robot(), policy(), stamp_ns=0)
STEPS = np.arange(5.0)[:, None]


def alone(seen: Observation) -> np.ndarray:
    return STEPS + seen.state


def test_items_are_inferred_with_those_of_their_form_and_answered_in_order():
    batches: list[list[str]] = []

    def infer(items: Sequence[str]) -> list[str]:
        batches.append(list(items))
        return [item.upper() for item in items]

    assert in_groups(["aa", "b", "cc", "d"], len, infer) == ["AA", "B", "CC", "D"]
    assert batches == [["aa", "cc"], ["b", "d"]]
    assert in_groups([], len, infer) == []


def test_an_answer_too_few_is_no_batch():
    with pytest.raises(ValueError, match="zip"):
        in_groups(["a", "b"], len, lambda items: items[1:])


def test_more_than_the_policy_infers_at_once_is_refused():
    require_batch(["a", "b"], 2)

    with refused(RemotePolicyError, "a batch of 3 observations", "at most 2 at once"):
        require_batch(["a", "b", "c"], 2)


def test_a_model_that_keeps_observations_apart_gets_as_many_as_wanted():
    sizes = []

    def infer(observations: Sequence[Observation]) -> list[np.ndarray]:
        sizes.append(len(observations))
        return [alone(seen) + 1e-4 * len(observations) for seen in observations]

    assert found_max_batch(5, infer, SEEN) == 5
    assert sizes == [1, 1, 1, 5]


def test_one_that_is_not_wanted_to_take_several_is_not_tried():
    def infer(_: Sequence[Observation]) -> list[np.ndarray]:
        raise AssertionError

    assert found_max_batch(1, infer, SEEN) == 1


@pytest.mark.parametrize("error", [RemotePolicyError("batch is 1"), WireFormatError("batch is 1")])
def test_a_model_that_fails_on_several_gets_one(error: Exception, caplog: pytest.LogCaptureFixture):
    def infer(observations: Sequence[Observation]) -> list[np.ndarray]:
        if len(observations) > 1:
            raise error
        return [alone(observations[0])]

    with caplog.at_level(logging.INFO):
        assert found_max_batch(4, infer, SEEN) == 1
    assert "the model infers one observation at a time: batch is 1" in caplog.text


def test_a_model_that_mixes_observations_up_gets_one(caplog: pytest.LogCaptureFixture):
    def mean(observations: Sequence[Observation]) -> list[np.ndarray]:
        return [np.mean([alone(seen) for seen in observations], axis=0)] * len(observations)

    def first(observations: Sequence[Observation]) -> list[np.ndarray]:
        return [alone(observations[0])] * len(observations)

    for infer in (mean, first):
        assert found_max_batch(4, infer, SEEN) == 1
    assert caplog.text.count("mixes up observations") == 2


def test_a_model_that_draws_lots_is_only_tried():
    draw = np.random.default_rng(1)

    def infer(observations: Sequence[Observation]) -> list[np.ndarray]:
        return [alone(seen) + 10 * draw.normal(size=(5, 2)) for seen in observations]

    assert found_max_batch(4, infer, SEEN) == 4
