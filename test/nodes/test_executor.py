# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from vla_ros_msgs.msg import ActionChunk as ActionChunkMsg
from vla_ros_msgs.msg import ChunkTiming

from test.nodes.ring import Ring, ramp
from test.nodes.stage import POSE
from test.ros.harness import Domain
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.nodes.executor import Executor
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import EVENT
from vla_ros.ros.ring_messages import chunk_to_message
from vla_ros.ros.stamps import ns_from_time


def test_it_follows_the_chunks_and_leaves_other_joints_alone(ring: Ring, node: Executor):
    ring.until("move")
    ring.domain.spin_until(
        lambda: ring.arm and ring.hand and abs(ring.arm[-1][0] - 0.4) < 1e-3, "the goal"
    )

    assert ring.hand[-1] == pytest.approx([1.0])
    arm = np.array(ring.arm)
    # It starts from the measured pose, and w, which no policy moves, stays.
    np.testing.assert_allclose(arm[0], POSE[:2], atol=0.01)
    np.testing.assert_allclose(arm[:, 1], 0.2, atol=1e-9)
    speed = np.abs(np.diff(arm[:, 0])) * 50.0
    assert speed.max() < 2.5  # max_velocity is 2


def test_the_ring_is_asked_with_ids_that_count_up(ring: Ring, node: Executor):
    ring.domain.spin_until(lambda: len(ring.requests) >= 3, "three requests")

    assert [request.request_id for request in ring.requests[:3]] == [1, 2, 3]
    assert len({request.epoch for request in ring.requests}) == 1
    assert ring.requests[0].must_go
    assert not ring.requests[2].must_go


def test_before_the_first_chunk_it_holds_where_it_is(ring: Ring, node: Executor):
    ring.with_silence()
    state = ring.until("hold", "starting")

    np.testing.assert_allclose(state.measured, POSE)
    np.testing.assert_allclose(state.command, POSE)
    ring.domain.spin_until(lambda: ring.arm and ring.hand, "a hold")
    np.testing.assert_allclose(ring.arm[-1], POSE[:2])


@pytest.mark.parametrize("silent", ["joints", "hand"])
def test_without_joint_states_it_holds_and_recovers(ring: Ring, node: Executor, silent: str):
    ring.until("move")

    ring.sensors.silent.add(silent)
    ring.until("hold", "stale_state")
    ring.sensors.silent.clear()
    ring.until("move")


def test_joint_states_that_make_no_sense_are_none(ring: Ring, node: Executor):
    ring.until("move")

    ring.sensors.pose[0] = np.nan
    ring.until("hold", "stale_state")
    ring.sensors.pose[0] = 0.1
    ring.until("move")


@pytest.mark.parametrize("reason", ["stale_camera", "server_unavailable", "policy_error"])
def test_it_holds_for_the_reason_that_the_ring_names_and_recovers(
    ring: Ring, node: Executor, reason: str
):
    ring.until("move")

    ring.with_failure(reason, "camera left is covered")
    state = ring.until("hold", reason)
    assert state.detail == "camera left is covered"
    assert state.requests_failed > 0
    hold = ring.arm[-1]
    ring.domain.spin_for(0.1)
    np.testing.assert_allclose(ring.arm[-1], hold, atol=1e-6)

    ring.respond = ring.with_chunk
    ring.until("move")


def test_a_silent_ring_is_noticed_and_it_recovers(ring: Ring, node: Executor):
    ring.until("move")

    ring.with_silence()
    state = ring.until("hold", "server_silent")
    assert "had no answer within 0.3 s" in state.detail

    ring.respond = ring.with_chunk
    ring.until("move")


def malformed(chunk: ActionChunk) -> ActionChunkMsg:
    message = chunk_to_message(chunk, "test")
    message.actions = message.actions[:-1]
    return message


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (malformed, "19 values, expected 10 actions of 2 interfaces"),
        (
            lambda chunk: chunk_to_message(
                replace(chunk, names=("w/position", "g/position")), "test"
            ),
            "the chunk commands w/position, g/position",
        ),
        (
            lambda chunk: chunk_to_message(replace(chunk, stamp_ns=1), "test"),
            "s old when it came",
        ),
    ],
)
def test_a_bad_chunk_is_dropped_and_named(ring: Ring, node: Executor, spoil, text: str):
    ring.until("move")

    ring.respond = lambda request: ring.send_raw(spoil(ramp(ring.now_ns(), request)))
    state = ring.until("hold", "bad_chunk")
    assert text in state.detail

    ring.respond = ring.with_chunk
    ring.until("move")


def test_a_stop_lasts_until_the_start(ring: Ring, node: Executor):
    ring.until("move")

    answer = ring.call("stop")
    assert answer.success
    requests = len(ring.requests)
    assert ring.until("stopped", "stopped")
    # It has come to rest and its controllers keep the hold: nothing more is commanded or asked.
    assert ring.count_commands(0.2) == 0
    assert len(ring.requests) == requests

    ring.sensors.pose[0] = 0.15
    ring.domain.spin_for(0.05)
    held = len(ring.arm)
    assert ring.call("start").success
    ring.until("move")
    # The first command after the stop begins at the measured pose.
    assert ring.arm[held][0] == pytest.approx(0.15, abs=0.01)


def test_a_reset_begins_a_new_epoch_and_the_old_ones_chunks_are_dropped(ring: Ring, node: Executor):
    ring.until("move")
    old = ring.requests[-1]

    answer = ring.call("reset")

    assert answer.success
    ring.domain.spin_until(lambda: ring.requests[-1].epoch > old.epoch, "a request of the epoch")
    assert answer.message == f"epoch {ring.requests[-1].epoch}"
    ring.send(ramp(ring.now_ns(), old))
    state = ring.until("move")
    ring.domain.spin_until(lambda: ring.states[-1].chunks_dropped > 0, "the dropped chunk")
    assert state.epoch == ring.requests[-1].epoch


def test_deactivated_it_holds_and_falls_silent(ring: Ring, node: Executor):
    ring.until("move")
    ring.domain.spin_until(lambda: len(ring.arm) > 5, "commands")

    node.trigger_deactivate()

    ring.domain.spin_for(0.1)
    assert ring.count_commands(0.2) == 0
    np.testing.assert_allclose(ring.arm[-1], ring.arm[-2], atol=1e-6)
    assert ring.states[-1].hold_reason == "deactivated"
    assert not ring.call("start").success

    node.trigger_activate()
    ring.until("move")


def test_it_may_wait_for_the_start(domain: Domain, files, ring: Ring):
    node = domain.add(Executor, **files, start_on_activate=False, realtime_priority=0)
    assert node.start()

    ring.until("stopped", "stopped")
    assert ring.count_commands(0.2) == 0
    assert ring.requests == []

    assert ring.call("start").success
    ring.until("move")


def test_a_dry_run_commands_nobody(domain: Domain, files, ring: Ring):
    assert domain.add(Executor, **files, dry_run=True, realtime_priority=0).start()
    arm = domain.collect(Float64MultiArray, "dry_run/arm/commands", EVENT)

    ring.until("move")
    assert ring.count_commands(0.2) == 0
    domain.spin_until(lambda: len(arm) > 5, "what would be commanded")


def test_parameters_are_live(ring: Ring, node: Executor):
    ring.until("move")
    domain = ring.domain

    assert domain.set_parameter("executor", "control_rate_hz", 100).successful
    domain.spin_for(0.1)
    assert ring.count_commands(0.5) > 35
    assert domain.set_parameter("executor", "aggregate_fn", "latest_only").successful
    assert domain.set_parameter("executor", "actions_per_chunk", 4).successful
    domain.spin_until(lambda: ring.states[-1].remaining_steps <= 4.0, "the shorter chunk")
    assert node._core.params.aggregate_fn == "latest_only"

    refused = domain.set_parameter("executor", "chunk_size_threshold", 1.5)
    assert not refused.successful
    refused = domain.set_parameter("executor", "aggregate_fn", "best")
    assert "must be one of" in refused.reason
    assert node._core.params.chunk_size_threshold == 0.5
    ring.until("move")


def test_each_chunks_way_is_told(ring: Ring, node: Executor):
    timings = ring.domain.collect(ChunkTiming, "executor/chunk_timing", EVENT)
    ring.domain.spin_until(lambda: timings, "a timing")

    timing = timings[0]
    times = [
        ns_from_time(getattr(timing, name))
        for name in ("requested", "sent", "received", "joined", "commanded")
    ]
    assert times == sorted(times)
    assert times[-1] - times[0] < 1_000_000_000
    state = ring.until("move")
    assert state.overhead_ms_p50 > 0.0
    assert state.tick_error_ms_p50 >= 0.0
    assert len(state.tick_errors_ms) >= 1


def test_a_failing_tick_ends_in_a_hold_and_ends_the_process(
    ring: Ring, node: Executor, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    ring.until("move")
    ring.domain.spin_until(lambda: len(ring.arm) > 5, "commands")

    def fail(*_) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(node._core, "update", fail)
    ring.domain.spin_until(node.exit_code.done, "the end")
    ring.domain.spin_for(0.1)

    assert node.exit_code.result() == 1
    assert ring.arm[-1] == ring.arm[-2]
    assert "ZeroDivisionError: a mistake" in capfd.readouterr().err
    assert ring.count_commands(0.1) == 0


def test_diagnostics_name_the_hold(ring: Ring, node: Executor):
    reports = ring.domain.collect(DiagnosticArray, TOPIC, EVENT)
    ring.until("move")
    ring.with_failure("policy_error", "no")

    def said() -> bool:
        return bool(reports) and reports[-1].status[0].message == "hold: policy_error"

    ring.domain.spin_until(said, "the hold")
    assert reports[-1].status[0].name == "/executor: execution"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"control_rate_hz": 0.0}, "'control_rate_hz' must be"),
        ({"aggregate_fn": "best"}, "'aggregate_fn' must be one of"),
        ({"realtime_priority": 100}, "'realtime_priority' must be"),
    ],
)
def test_a_bad_start_says_why(domain: Domain, files, capfd, parameters, text):
    assert not domain.add(Executor, **files, **parameters).start()
    assert text in capfd.readouterr().err


def test_as_a_process_it_keeps_off_shared_memory_and_ends_on_sigterm_with_a_hold(
    domain: Domain, files, ring: Ring
):
    words = [sys.executable, "-m", "vla_ros.nodes.executor", "--ros-args"]
    words += [word for name, path in files.items() for word in ("-p", f"{name}:={path}")]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain.id)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as process:
        ring.until("move")
        domain.spin_until(lambda: len(ring.arm) > 5, "commands")
        memory = Path(f"/proc/{process.pid}/maps").read_text("utf-8")
        process.send_signal(signal.SIGTERM)
        domain.spin_until(lambda: process.poll() is not None, "the end", timeout_s=3.0)
        said = process.stderr.read() if process.stderr else ""

    assert process.returncode == 0, said
    assert "ticks at 50 Hz, SCHED_FIFO 50" in said or "is not permitted" in said
    # Else every process that joins could keep it from publishing.
    assert "/dev/shm/fast" not in memory
    domain.spin_for(0.1)
    np.testing.assert_allclose(ring.arm[-1], ring.arm[-2], atol=1e-6)


def test_joint_states_are_read_from_any_order(ring: Ring, node: Executor):
    ring.sensors.silent.add("joints")
    publisher = ring.domain.publisher(JointState, "joint_states", EVENT)

    def measured() -> bool:
        publisher.publish(JointState(name=["w", "z", "a"], position=[0.25, 9.0, 0.35]))
        return bool(ring.states) and list(ring.states[-1].measured[:2]) == [0.35, 0.25]

    ring.domain.spin_until(measured, "the pose")
