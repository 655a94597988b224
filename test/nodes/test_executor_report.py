# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib

import numpy as np
import pytest
from vla_ros_msgs.msg import ChunkTiming, ExecutorState

from test.core.helpers import policy, robot
from test.ros.harness import Domain
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.action_chunk import ChunkTiming as Timing
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.nodes.executor_report import ExecutorReport
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT, LATCHED
from vla_ros.ros.stamps import ns_from_time

MS = 1_000_000
CHUNK = ActionChunk(
    0, MS, ("a/position", "g/position"), np.zeros((1, 2)), 9, 1, Timing(10 * MS, 12 * MS, 20 * MS)
)


def test_everything_between_two_states_is_told_once(domain: Domain):
    node = domain.add(lambda **kwargs: LifecycleBase("executor", **kwargs))
    status = ActionExecutor(robot(), policy(), ExecutorParams()).status(0)
    with contextlib.ExitStack() as undo:
        report = ExecutorReport(node, undo, robot())
        states = domain.collect(ExecutorState, "executor/state", LATCHED)
        timings = domain.collect(ChunkTiming, "executor/chunk_timing", EVENT)

        report.ticked(100_000)
        report.ticked(300_000)
        report.joined(CHUNK, 25 * MS)
        report.commanded(CHUNK, joined_ns=25 * MS, now_ns=27 * MS, blend_s=0.25)
        report.publish(status, missed_ticks=2, now_ns=30 * MS)
        domain.spin_until(lambda: states and timings, "state and timing")
        report.ticked(200_000)
        report.publish(status, missed_ticks=2, now_ns=50 * MS)
        domain.spin_until(lambda: len(states) == 2, "the second state")

    assert [list(state.tick_errors_ms) for state in states] == [
        pytest.approx([0.1, 0.3]), pytest.approx([0.2]),
    ]  # fmt: skip
    assert states[1].tick_error_ms_max == pytest.approx(0.3)
    assert states[0].missed_ticks == 2
    assert states[0].overhead_ms_p50 == pytest.approx(7.0)
    assert (timings[0].request_id, ns_from_time(timings[0].commanded)) == (9, 27 * MS)
    diagnostics = report.diagnostics(status, "SCHED_FIFO 50")
    assert diagnostics.values["overhead_to_command_ms_p50"] == "9.0"
