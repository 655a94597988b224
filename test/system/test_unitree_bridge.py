# SPDX-License-Identifier: Apache-2.0
"""The bridge as a process, and a robot in another one that shares nothing with it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from test.ros.harness import Domain
from test.support.programs import Program, program
from test.support.unitree_peer import UnitreePeer, unitree_peer
from vla_ros.bringup.processes import STOP_SIGNALS
from vla_ros.core.config_files import config_file
from vla_ros.core.params import describe
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.unitree_bridge import UnitreeBridgeParams
from vla_ros.ros.commands import position_array
from vla_ros.ros.lifecycle import SHUTDOWN_S
from vla_ros.ros.qos import COMMAND, STATE

ROBOT = load_robot_spec(config_file("robots", "g1_inspire"))
[JOINTS] = {stream.topic for stream in ROBOT.state_streams.values()}
ARMS = ROBOT.command_groups["arms"]
RAMP_S = 1.0


class Robot:
    """A robot, its bridge, and who commands it."""

    def __init__(self, domain: Domain, peer: UnitreePeer, bridge: Program, topic: str) -> None:
        self.domain = domain
        self.peer = peer
        self.bridge = bridge
        self.topic = topic
        self.heard: list[dict[str, Any]] = []
        self.arms: Publisher = domain.publisher(Float64MultiArray, ARMS.topic, COMMAND)
        states: list[JointState] = domain.collect(JointState, JOINTS, STATE)
        domain.spin_until(lambda: {len(state.name) for state in states} == {29, 12}, "states")

    def listen(self) -> list[dict[str, Any]]:
        self.heard.extend(self.peer.hear(self.topic))
        return self.heard

    def command(self, until_weight: float) -> None:
        """Command the arms until they are taken over so far."""
        due_s = 0.0

        def taken() -> bool:
            nonlocal due_s
            if time.monotonic() > due_s:
                due_s = time.monotonic() + 0.02
                self.arms.publish(position_array(np.full(len(ARMS.interfaces), 0.05)))
            return bool(self.listen()) and self.heard[-1]["q"][29] >= until_weight

        self.domain.spin_until(taken, "a command")


@contextmanager
def robot(domain: Domain, topic: str) -> Iterator[Robot]:
    with unitree_peer(f"rt/{topic}") as peer:
        told = {"domain": peer.domain, "command_topic": topic, "ramp_s": RAMP_S}
        arguments = [part for name, value in told.items() for part in ("-p", f"{name}:={value}")]
        command = ["-m", "vla_ros.nodes.unitree_bridge", "--ros-args", *arguments]
        with program(command, ROS_DOMAIN_ID=str(domain.id)) as bridge:
            yield Robot(domain, peer, bridge, f"rt/{topic}")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_arms_are_given_back_before_the_process_is_gone(domain: Domain, number: signal.Signals):
    with robot(domain, "arm_sdk") as it:
        it.command(until_weight=1.0)
        begun_s = time.monotonic()
        it.bridge.process.send_signal(number)
        status = it.bridge.process.wait(15)
        took_s = time.monotonic() - begun_s
        heard = it.listen()

    assert status == 0, it.bridge.written
    assert took_s > RAMP_S
    assert all(command["intact"] for command in heard)
    weights = np.array([command["q"][29] for command in heard])
    falling = weights[np.flatnonzero(weights == 1.0)[-1] :]
    assert falling[-1] == 0.0
    assert np.diff(falling).max() <= 0.0
    # As long as the ramp, in steps that a pause bounds.
    assert np.diff(falling).min() >= -0.05 / RAMP_S - 1e-6
    ended = [it["at_ns"] for it, weight in zip(heard, weights, strict=True) if weight > 0.0]
    began = heard[np.flatnonzero(weights == 1.0)[-1]]["at_ns"]
    assert (ended[-1] - began) * 1e-9 == pytest.approx(RAMP_S, rel=0.4)


def test_in_debug_mode_the_last_command_stays(domain: Domain):
    with robot(domain, "lowcmd") as it:
        it.command(until_weight=0.0)
        it.bridge.process.terminate()
        status = it.bridge.process.wait(15)
        heard = it.listen()

    assert status == 0, it.bridge.written
    assert heard[-1]["intact"]
    assert heard[-1]["mode"][:29] == [1] * 29
    assert heard[-1]["q"][29] == 0.0


def test_whoever_stops_a_deployment_waits_for_the_longest_ramp():
    [ramp] = [info for info in describe(UnitreeBridgeParams) if info.name == "ramp_s"]
    asked, patience_s = STOP_SIGNALS[0]

    assert asked is signal.SIGINT
    assert SHUTDOWN_S + ramp.le < patience_s
