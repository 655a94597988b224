# SPDX-License-Identifier: Apache-2.0
"""What the watcher hears over topics is tested with the runner; here is what it counts."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

import pytest
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint
from vla_ros_msgs.msg import ExecutorState

from test.core.helpers import robot
from test.ros.harness import Domain
from vla_ros.nodes.episode_watcher import EpisodeWatcher
from vla_ros.ros.commands import command_type
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import COMMAND, LATCHED


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
        arms.publish(command_type(arm)(data=[0.1, 0.2]))
        point = JointTrajectoryPoint(positions=[0.3])
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
    assert not watcher.heard("command")
