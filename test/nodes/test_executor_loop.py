# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import numpy as np
import pytest

from test.core.helpers import policy, robot
from test.ros.harness import Domain
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ChunkRefused
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.observation import ObservationRequest
from vla_ros.nodes.executor_loop import ControlLoop, Outlets
from vla_ros.nodes.executor_report import ExecutorReport
from vla_ros.ros.joint_states import MeasuredPose
from vla_ros.ros.lifecycle import LifecycleBase

NAMES = policy().action_names
POSE = {"joints": np.array([0.2, 0.1]), "hand": np.array([0.0])}


class Bench:
    """A loop whose robot is always measured at the same place."""

    def __init__(self, domain: Domain, undo: contextlib.ExitStack) -> None:
        self.domain = domain
        self.commands: list[np.ndarray] = []
        self.requests: list[ObservationRequest] = []
        self.command: Callable[[np.ndarray], None] = self.commands.append
        node = domain.add(lambda **kwargs: LifecycleBase("executor", **kwargs))
        self.node = node
        pose = MeasuredPose(robot())
        self.loop = ControlLoop(
            node,
            ActionExecutor(robot(), policy(), ExecutorParams(soft_start_s=0.0)),
            pose,
            ExecutorReport(node, undo, robot()),
            Outlets(lambda positions, _: self.command(positions), self.requests.append),
            realtime_priority=0,
        )

        def measure() -> None:
            for stream, values in POSE.items():
                pose.update(stream, values, time.monotonic_ns())

        measure()
        domain.peer.create_timer(0.01, measure)

    def chunk(self, goal: float) -> ActionChunk:
        request = self.requests[-1]
        return ActionChunk(
            self.now_ns(), policy().step_ns, NAMES, np.tile([goal, 0.0], (10, 1)),
            request.request_id, request.epoch,
        )  # fmt: skip

    def now_ns(self) -> int:
        return self.node.get_clock().now().nanoseconds


@pytest.fixture
def bench(domain: Domain):
    with contextlib.ExitStack() as undo:
        yield Bench(domain, undo)


def test_it_asks_joins_and_comes_to_rest(bench: Bench):
    with contextlib.ExitStack() as undo:
        bench.loop.start()
        bench.loop.run(undo)
        assert bench.loop.running
        assert "normal scheduling" in bench.loop.scheduling
        bench.domain.spin_until(lambda: bench.requests, "a request")
        assert bench.loop.offer(bench.chunk(0.3), bench.now_ns()) is None
        bench.domain.spin_until(lambda: abs(bench.commands[-1][0] - 0.3) < 1e-3, "the goal")
        planned = bench.loop.offer(bench.chunk(0.4), bench.now_ns())
        assert planned is not None
        assert planned[0] == pytest.approx(0.3)
        bench.loop.come_to_rest("stopped")
        at_rest = len(bench.commands)
        with pytest.raises(ChunkRefused, match="epoch"):
            bench.loop.offer(bench.chunk(0.5), bench.now_ns())
        bench.domain.spin_for(0.1)
        assert len(bench.commands) == at_rest
    assert not bench.loop.running
    assert bench.loop.scheduling == ""


def test_the_rate_changes_between_two_ticks(bench: Bench):
    with contextlib.ExitStack() as undo:
        bench.loop.start()
        bench.loop.run(undo)
        bench.loop.configure(ExecutorParams(control_rate_hz=200.0))
        before = bench.loop.status(bench.now_ns()).ticks
        bench.domain.spin_for(0.5)
        assert bench.loop.status(bench.now_ns()).ticks - before > 60


def test_a_loop_that_fails_holds_with_its_last_command(bench: Bench):
    sent: list[np.ndarray] = []

    def fail_once(positions: np.ndarray) -> None:
        sent.append(positions)
        if len(sent) == 5:
            raise RuntimeError("the publisher is broken")

    bench.command = fail_once
    with contextlib.ExitStack() as undo:
        bench.loop.start()
        bench.loop.run(undo)
        bench.domain.spin_until(bench.node.exit_code.done, "the node's end")
    assert len(sent) == 6
    np.testing.assert_array_equal(sent[-1], sent[-2])
