# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from rclpy.client import Client
from std_srvs.srv import Trigger

from test.nodes.ring import Ring
from test.ros.harness import Domain
from vla_ros.nodes.executor import Executor


def tune(ring: Ring) -> tuple[Client, object]:
    """Ask to measure; the answer comes later."""
    client = ring.domain.peer.create_client(Trigger, "/executor/tune")
    ring.domain.spin_until(client.service_is_ready, "~/tune")
    return client, client.call_async(Trigger.Request())


def run(domain: Domain, files, duration_s: float) -> Executor:
    node = domain.add(Executor, **files, realtime_priority=0, tune_duration_s=duration_s)
    assert node.start()
    return node


def test_it_measures_while_everything_goes_on_and_says_what_to_type(
    domain: Domain, files, ring: Ring
):
    run(domain, files, 3.0)
    ring.until("move")
    before = len(ring.arm)

    _, answer = tune(ring)
    domain.spin_until(answer.done, "the advice")  # type: ignore[attr-defined]

    response = answer.result()  # type: ignore[attr-defined]
    assert response.success, response.message
    assert "latency p50" in response.message
    assert "chunk_size_threshold" in response.message
    assert "ros2 param set /executor actions_per_chunk 10" in response.message
    assert len(ring.arm) - before > 50


def test_one_at_a_time(domain: Domain, files, ring: Ring):
    run(domain, files, 1.0)
    _, first = tune(ring)
    _, second = tune(ring)

    domain.spin_until(second.done, "the refusal")  # type: ignore[attr-defined]

    assert "wait for that" in second.result().message  # type: ignore[attr-defined]
    domain.spin_until(first.done, "the first answer")  # type: ignore[attr-defined]


def test_where_nothing_runs_it_says_so(domain: Domain, files, ring: Ring):
    ring.with_silence()
    run(domain, files, 1.0)

    _, answer = tune(ring)
    domain.spin_until(answer.done, "the answer")  # type: ignore[attr-defined]

    response = answer.result()  # type: ignore[attr-defined]
    assert not response.success
    assert "let the robot run" in response.message
