# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from test.support.golden_backend import GoldenBackend
from test.support.gr00t_samples import observation
from vla_ros.backends.base import BatchItem
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.serving.policy_calls import call_policy, infer_all


class Batching(GoldenBackend):
    """Notes its batches, and fails in them where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.batch_error: Exception | None = None

    def infer_batch(self, items: Sequence[BatchItem]) -> list[ActionChunk]:
        self.batches.append(len(items))
        if self.batch_error is not None:
            raise self.batch_error
        return super().infer_batch(items)


def items(*backends: GoldenBackend) -> list[BatchItem]:
    return [BatchItem(backend, observation()) for backend in backends]


def test_what_a_call_gives_comes_back_and_its_errors_too():
    assert call_policy(lambda: 7) == 7

    def refuse() -> None:
        raise ConfigError("no such key")

    with pytest.raises(ConfigError, match="no such key"):
        call_policy(refuse)


def test_a_fault_is_named_and_logged_with_its_place(caplog: pytest.LogCaptureFixture):
    with pytest.raises(RemotePolicyError, match="the policy failed: ZeroDivisionError"):
        call_policy(lambda: 1 // 0)
    assert "Traceback" in caplog.text


def test_several_are_inferred_together_and_one_alone():
    backend = Batching()
    assert infer_all(backend, []) == []
    (chunk,) = infer_all(backend, items(backend))
    assert isinstance(chunk, ActionChunk)
    assert backend.batches == []
    assert len(infer_all(backend, items(backend, backend, backend))) == 3
    assert backend.batches == [3]


@pytest.mark.parametrize("error", [BackendUnavailable("too much"), ZeroDivisionError("a bug")])
def test_where_a_batch_fails_each_is_tried_alone(
    error: Exception, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.WARNING)
    good, bad = Batching(), GoldenBackend()
    good.batch_error, bad.error = error, RemotePolicyError("this one is wrong")
    first, second, third = infer_all(good, items(good, bad, good))
    assert isinstance(first, ActionChunk)
    assert str(second) == "this one is wrong"
    assert isinstance(third, ActionChunk)
    assert "a batch of 3 failed" in caplog.text
