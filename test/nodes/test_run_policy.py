# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient
from rclpy.action.client import ClientGoalHandle
from std_msgs.msg import Bool, String
from vla_ros_msgs.action import RunPolicy

from test.nodes.ring import Ring, ramp
from test.nodes.stage import POSE
from test.ros.harness import Domain
from vla_ros.nodes.executor import Executor
from vla_ros.ros.qos import EVENT, LATCHED

Result = RunPolicy.Result
GREEN = "put the green cube on the plate"


class Client:
    """Somebody who sends goals.

    Attributes:
        feedback: All that came.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.feedback: list[RunPolicy.Feedback] = []
        self.actions = ActionClient(domain.peer, RunPolicy, "/executor/run_policy")
        self.gone = False

    def send(self, **goal: Any) -> ClientGoalHandle:
        """Send a goal; the handle says whether it was accepted."""
        self.domain.spin_until(self.actions.server_is_ready, "the action")
        sent = self.actions.send_goal_async(
            RunPolicy.Goal(**goal), lambda message: self.feedback.append(message.feedback)
        )
        self.domain.spin_until(sent.done, "the answer to the goal")
        return sent.result()

    def result(self, handle: ClientGoalHandle) -> tuple[int, RunPolicy.Result]:
        """Wait for the end; the status and the result."""
        asked = handle.get_result_async()
        self.domain.spin_until(asked.done, "the result")
        return asked.result().status, asked.result().result

    def cancel(self, handle: ClientGoalHandle) -> None:
        canceled = handle.cancel_goal_async()
        self.domain.spin_until(canceled.done, "the answer to the cancellation")
        assert len(canceled.result().goals_canceling) == 1

    def close(self) -> None:
        if not self.gone:
            self.actions.destroy()
        self.gone = True


@pytest.fixture
def client(domain: Domain) -> Iterator[Client]:
    made = Client(domain)
    yield made
    made.close()


@pytest.fixture
def stopped(domain: Domain, files, ring: Ring) -> Executor:
    """An executor that waits for a goal."""
    node = domain.add(Executor, **files, start_on_activate=False, realtime_priority=0)
    assert node.start()
    ring.until("stopped", "stopped")
    return node


def at_rest(ring: Ring) -> bool:
    """Whether nothing is commanded any more, once what was sent before has come."""
    ring.domain.spin_for(0.05)
    return ring.count_commands(0.2) == 0


def test_it_runs_until_the_success_topic_says_that_it_is_done(
    ring: Ring, stopped: Executor, client: Client
):
    done = ring.domain.peer.create_publisher(Bool, "task/done", EVENT)
    handle = client.send(instruction=GREEN, success_topic="task/done")
    assert handle.accepted
    ring.until("move")
    ring.domain.spin_until(done.get_subscription_count, "the subscription")

    done.publish(Bool(data=False))
    ring.domain.spin_until(lambda: abs(ring.arm[-1][0] - 0.4) < 1e-3, "the goal")
    ring.domain.spin_until(lambda: len(client.feedback) > 2, "feedback")
    done.publish(Bool(data=True))
    status, result = client.result(handle)

    assert status == GoalStatus.STATUS_SUCCEEDED
    assert (result.success, result.outcome) == (True, Result.SUCCEEDED)
    assert "task/done" in result.detail
    assert result.duration_s > 0.3
    assert result.executed_steps > 1.0
    assert result.observations > 0
    assert result.starved_ticks == 0
    assert at_rest(ring)
    ring.domain.spin_until(lambda: ring.states[-1].mode == "stopped", "the stop")
    # Nobody listens to that topic any more.
    assert ring.domain.peer.count_subscribers("task/done") == 0


def test_feedback_counts_from_the_beginning_of_the_goal(ring: Ring, node: Executor, client: Client):
    ring.domain.spin_until(
        lambda: ring.states and ring.states[-1].executed_steps > 10, "ten actions"
    )
    ring.domain.set_parameter("executor", "chunk_size_threshold", 0.9)
    handle = client.send()
    ring.domain.spin_until(
        lambda: client.feedback and client.feedback[-1].latency_ms_p50 > 0.0, "known latencies"
    )
    client.cancel(handle)

    executed = [feedback.executed_steps for feedback in client.feedback]
    assert executed[0] < 4
    assert executed == sorted(executed)
    last = client.feedback[-1]
    assert last.state == "move"
    assert 0.0 < last.remaining_steps <= 10.0
    assert 0.0 < last.latency_ms_p50 <= last.latency_ms_p95 < 1000.0


def test_feedback_names_the_reason_of_a_hold(ring: Ring, node: Executor, client: Client):
    ring.with_failure("stale_camera", "camera left is covered")
    client.send()

    ring.domain.spin_until(
        lambda: any(feedback.state == "hold: stale_camera" for feedback in client.feedback),
        "the reason",
    )


@pytest.mark.parametrize("limit_s", [0.5, 1e-12])
def test_it_ends_at_the_time_limit(ring: Ring, node: Executor, client: Client, limit_s: float):
    ring.until("move")

    status, result = client.result(client.send(time_limit_s=limit_s))

    assert status == GoalStatus.STATUS_ABORTED
    assert (result.success, result.outcome) == (False, Result.TIME_LIMIT)
    assert f"{limit_s:g} s" in result.detail
    assert limit_s <= result.duration_s < limit_s + 0.6
    assert at_rest(ring)


def test_a_cancellation_brings_the_arm_to_rest(ring: Ring, stopped: Executor, client: Client):
    handle = client.send()
    ring.domain.spin_until(lambda: ring.arm and ring.arm[-1][0] > 0.2, "half of the way")

    client.cancel(handle)
    status, result = client.result(handle)

    assert status == GoalStatus.STATUS_CANCELED
    assert (result.success, result.outcome) == (False, Result.CANCELED)
    assert at_rest(ring)
    assert 0.2 < ring.arm[-1][0] < 0.39


def test_a_stop_by_somebody_else_ends_it(ring: Ring, node: Executor, client: Client):
    handle = client.send()
    ring.until("move")

    ring.call("stop")
    status, result = client.result(handle)

    assert status == GoalStatus.STATUS_ABORTED
    assert (result.outcome, result.detail) == (Result.STOPPED, "~/stop was called")
    assert at_rest(ring)


def test_a_stop_and_a_start_at_once_end_it_too(ring: Ring, node: Executor, client: Client):
    handle = client.send()
    ring.until("move")

    ring.call("stop")
    ring.call("start")

    assert client.result(handle)[1].outcome == Result.STOPPED
    ring.until("move")


def test_a_deactivation_ends_it(ring: Ring, node: Executor, client: Client):
    handle = client.send()
    ring.until("move")

    node.trigger_deactivate()
    status, result = client.result(handle)

    assert status == GoalStatus.STATUS_ABORTED
    assert result.outcome == Result.STOPPED
    assert "deactivated" in result.detail
    ring.domain.spin_until(
        lambda: ring.states[-1].hold_reason == "deactivated", "the hold, with its reason"
    )
    assert at_rest(ring)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_the_process_ends_it_and_the_client_is_told(
    domain: Domain, files, ring: Ring, client: Client, number: signal.Signals
):
    words = [sys.executable, "-m", "vla_ros.nodes.executor", "--ros-args"]
    words += [word for name, path in files.items() for word in ("-p", f"{name}:={path}")]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain.id)}
    with subprocess.Popen(words, env=environment) as process:
        handle = client.send()
        ring.until("move")
        process.send_signal(number)
        status, result = client.result(handle)
        domain.spin_until(lambda: process.poll() is not None, "the end", timeout_s=3.0)

    assert process.returncode == 0
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, Result.STOPPED)
    assert "deactivated" in result.detail


def test_an_arm_that_does_not_follow_ends_it(domain: Domain, files, ring: Ring, client: Client):
    # The pose that the sensors tell never changes.
    limits = {"max_tracking_error": 0.1, "tracking_error_s": 0.1}
    node = domain.add(Executor, **files, realtime_priority=0, **limits)
    assert node.start()

    status, result = client.result(client.send())

    assert status == GoalStatus.STATUS_ABORTED
    assert result.outcome == Result.STOPPED
    assert result.detail.startswith("not_following: g/position was more than 0.1")
    ring.domain.spin_until(
        lambda: ring.states[-1].hold_reason == "not_following", "the hold, with its reason"
    )


def test_the_instruction_is_there_before_anything_is_asked_for(
    ring: Ring, stopped: Executor, client: Client
):
    heard: list[str] = []
    ring.domain.peer.create_subscription(
        String, "instruction", lambda message: heard.append(message.data), LATCHED
    )
    known: list[list[str]] = []

    def answer(request) -> None:
        known.append(list(heard))
        ring.with_chunk(request)

    ring.respond = answer
    client.send(instruction=GREEN)
    ring.until("move")

    assert known[0] == [GREEN]


def test_an_empty_instruction_keeps_the_present_one(ring: Ring, stopped: Executor, client: Client):
    heard = ring.domain.collect(String, "instruction", LATCHED)

    client.send()
    ring.until("move")

    assert heard == []


def test_nothing_that_an_older_instruction_led_to_is_executed(
    ring: Ring, node: Executor, client: Client
):
    ring.until("move")
    ring.with_silence()
    ring.domain.spin_until(lambda: not ring.requests[-1].must_go, "a request")
    old = ring.requests[-1]

    client.send(instruction=GREEN)
    ring.until("hold", "starting")
    ring.send(ramp(ring.now_ns(), old))
    ring.domain.spin_until(lambda: "old_epoch" in ring.states[-1].drop_kinds, "the refusal")

    assert ring.states[-1].epoch > old.epoch
    assert ring.states[-1].mode == "hold"


def test_one_at_a_time(ring: Ring, node: Executor, client: Client, capfd):
    first = client.send()

    assert not client.send().accepted
    assert "another one has been running for" in capfd.readouterr().err

    client.cancel(first)
    client.result(first)
    assert client.send().accepted


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        ({"time_limit_s": -1.0}, "time_limit_s must be 0 (none) to 1e+09, found -1"),
        ({"time_limit_s": float("nan")}, "found nan"),
        ({"time_limit_s": float("inf")}, "found inf"),
        ({"success_topic": "no topic"}, "success_topic 'no topic' is not the name of a topic"),
        ({"success_topic": "a//b"}, "success_topic 'a//b' is not the name of a topic"),
    ],
)
def test_a_goal_that_cannot_be_is_rejected_and_changes_nothing(
    ring: Ring, node: Executor, client: Client, capfd, goal: dict[str, Any], why: str
):
    state = ring.until("move")

    assert not client.send(instruction=GREEN, **goal).accepted

    assert why in capfd.readouterr().err
    assert ring.until("move").epoch == state.epoch


def test_an_executor_that_is_not_active_rejects_it(
    ring: Ring, node: Executor, client: Client, capfd
):
    node.trigger_deactivate()

    assert not client.send().accepted
    assert "the executor is not active" in capfd.readouterr().err


def test_without_its_client_it_runs_on_to_the_limit(ring: Ring, stopped: Executor, client: Client):
    client.send(time_limit_s=1.0)
    ring.until("move")

    client.close()
    ring.domain.spin_for(0.3)

    assert ring.states[-1].mode == "move"
    ring.until("stopped", "stopped")
    assert at_rest(ring)
    np.testing.assert_allclose(ring.arm[-1][1], POSE[1])
