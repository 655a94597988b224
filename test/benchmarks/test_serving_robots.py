# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving.facts import described, observations, write_policy
from benchmarks.serving.robots import Load, Robots
from benchmarks.serving.sleep_model import Backend, SleepModelConfig
from test.support.running_front import RunningFront
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.serving.zmq_front import ZmqFront

MODEL_S = 0.006
SIZE = (8, 8)


@pytest.fixture
def policy(tmp_path: Path) -> PolicySpec:
    return described(write_policy(tmp_path))[1]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A model that takes 4 ms and 2 ms for each robot."""
    robot, spec = described(write_policy(tmp_path))
    backend = Backend(SleepModelConfig(fixed_ms=4.0, each_ms=2.0), robot=robot, policy=spec)
    worker = PolicyWorker(Sessions(backend))
    front = ZmqFront(Gr00tService(spec), worker, address="tcp://127.0.0.1:*", max_bytes=1_000_000)
    running = RunningFront(front, worker)
    yield front.address
    running.stop()


def test_no_two_robots_see_the_same(policy: PolicySpec):
    joints = [seen.state for seen in observations(policy, 64, SIZE)]

    assert len({tuple(state) for state in joints}) == 64
    assert {seen.images["front"].shape for seen in observations(policy, 2, SIZE)} == {(8, 8, 3)}


@pytest.mark.parametrize("period_s", [0.0, 0.05])
def test_every_robot_is_answered_and_waits_as_long_as_the_model_takes(
    period_s: float, policy: PolicySpec, address: str
):
    robots = Robots(policy, Load(3, SIZE, period_s), address)

    outcome = robots.run(0.1, 1.0)
    robots.close()

    assert outcome.waits_s.min() >= MODEL_S
    assert len(outcome.waits_s) >= 3
    most_hz = 3 / (period_s or MODEL_S)
    # One that was asked just before may be answered just within.
    assert 0 < outcome.rate_hz <= most_hz + 3
    assert outcome.busy > 0


def test_an_answer_to_somebody_else_is_noticed(
    policy: PolicySpec, address: str, monkeypatch: pytest.MonkeyPatch
):
    whole = Backend.infer_batch

    def mixed_up(self: Backend, items: list) -> list[ActionChunk]:
        return whole(self, items[::-1])

    monkeypatch.setattr(Backend, "infer_batch", mixed_up)
    robots = Robots(policy, Load(4, SIZE), address)

    with pytest.raises(RuntimeError, match="rad from its joints"):
        robots.run(1.0, 5.0)
    robots.close()


def test_what_had_no_answer_at_the_end_has_waited_until_then(policy: PolicySpec):
    robots = Robots(policy, Load(2, SIZE), "tcp://127.0.0.1:9")

    outcome = robots.run(0.0, 0.2)
    robots.close()

    assert outcome.rate_hz == 0
    np.testing.assert_allclose(outcome.waits_s, [0.2, 0.2], atol=0.15)
