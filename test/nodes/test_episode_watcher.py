# SPDX-License-Identifier: Apache-2.0
"""What the watcher hears over topics is tested with the runner; here is what it counts."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from vla_ros_msgs.msg import ChunkTiming, ExecutorState, ObservationRequest, RequestFailure

from test.core.helpers import robot
from test.ros.harness import Domain
from vla_ros.nodes.episode_watcher import EpisodeWatcher
from vla_ros.ros.commands import command_type
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, NEWEST


def test_counts_are_of_the_episode_alone_and_trajectories_are_read_by_joint(domain: Domain) -> None:
    spec = robot()
    with ExitStack() as undo:
        node = domain.add(partial(LifecycleBase, "watcher"))
        watcher = EpisodeWatcher(node, undo, spec)
        states = domain.peer.create_publisher(ExecutorState, "executor/state", LATCHED)
        arm, hand = spec.command_groups.values()
        arms = domain.peer.create_publisher(command_type(arm), arm.topic, COMMAND)
        hands = domain.peer.create_publisher(command_type(hand), hand.topic, COMMAND)
        states.publish(ExecutorState(ticks=100, hold_reasons=["starting"], hold_ticks=[40]))
        domain.spin_until(lambda: watcher.ticks == 100)
        watcher.begin(None)
        domain.spin_until(lambda: arms.get_subscription_count() and hands.get_subscription_count())
        point = JointTrajectoryPoint(positions=[0.3])
        # Twice, because a tick's messages on two topics may overtake each other on the way.
        for _ in range(2):
            arms.publish(command_type(arm)(data=[0.1, 0.2]))
            hands.publish(JointTrajectory(joint_names=["g"], points=[point]))
        domain.spin_until(lambda: watcher.heard("command"))
        last = ExecutorState(
            ticks=150, hold_reasons=["starting", "starved"], hold_ticks=[40, 9], names=["x"]
        )
        states.publish(last)
        domain.spin_until(lambda: watcher.ticks == 150)
        log = watcher.end()
    assert log.facts["counters"]["ticks"] == 50
    assert log.facts["counters"]["holds"] == {"starved": 9}
    assert log.facts["names"] == ["x"]
    assert log.values("command")[-1] == pytest.approx([0.1, 0.2, 0.3])
    assert len(log.values("command")) <= 2
    assert not watcher.heard("command")


def at(second: int) -> Time:
    return Time(sec=second)


def test_what_happened_to_requests_and_why_it_held_is_logged(domain: Domain) -> None:
    with ExitStack() as undo:
        watcher = EpisodeWatcher(domain.add(partial(LifecycleBase, "watcher")), undo, robot())
        states = domain.peer.create_publisher(ExecutorState, "executor/state", LATCHED)
        requests = domain.peer.create_publisher(ObservationRequest, "observation_request", NEWEST)
        failures = domain.peer.create_publisher(RequestFailure, "request_failure", EVENT)
        timings = domain.peer.create_publisher(ChunkTiming, "executor/chunk_timing", EVENT)
        for publisher in (requests, failures, timings):
            domain.spin_until(publisher.get_subscription_count)
        states.publish(
            ExecutorState(
                ticks=1,
                hold_reasons=["starting"],
                hold_ticks=[5],
                drop_kinds=["late"],
                drop_counts=[2],
            )
        )
        domain.spin_until(lambda: watcher.ticks == 1)

        watcher.begin(None)
        states.publish(
            ExecutorState(
                ticks=3,
                hold_reasons=["starting", "starved"],
                hold_ticks=[5, 7],
                drop_kinds=["late", "early"],
                drop_counts=[2, 1],
                asks_at_steps=25.0,
            )
        )
        domain.spin_until(lambda: watcher.ticks == 3)
        requests.publish(ObservationRequest(stamp=at(7), request_id=3))
        failures.publish(RequestFailure(request_id=3, reason="policy_error"))
        timing = ChunkTiming(requested=at(11), received=at(12), joined=at(13), commanded=at(14))
        timing.blend.nanosec = 400_000_000
        timing.header.stamp = at(10)
        timings.publish(timing)
        for series in ("request", "failure.policy_error", "chunk"):
            domain.spin_until(partial(watcher.heard, series), series)
        log = watcher.end()
    assert (log.stamps("request").tolist(), log.values("request").tolist()) == (
        [7 * 10**9],
        [[3.0]],
    )
    assert log.values("failure.policy_error").tolist() == [[3.0]]
    assert log.values("hold.starved")[0, 1] == 7
    assert log.values("dropped.early").tolist() == [[1.0]]
    np.testing.assert_allclose(log.values("chunk"), [[1.0, np.nan, 2.0, 3.0, 4.0]])
    assert log.stamps("blend").tolist() == [14 * 10**9]
    assert log.values("blend")[0, 0] == pytest.approx(0.4)
    assert log.values("threshold")[0, 0] == pytest.approx(25.0)
