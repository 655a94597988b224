# SPDX-License-Identifier: Apache-2.0
"""unitree_bridge between a robot on Unitree's DDS and ROS: latencies [ms] and its share of a core.

The robot sends 100 states of its body and of its hands per second, the commander 50 commands to
arms and to hands, each in a process of its own. A state's latency is from before it is written to
DDS until a subscription has it; a command's from before it is published until the robot has it.
Where it is permitted, all three have a real-time priority, as the bridge has by default: what else
the machine does is not what is measured.

Argument: for how long [s] (20).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from vla_ros.bringup.deployment import Deployment, Node
from vla_ros.bringup.processes import ProcessGroup
from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.crc import sealed
from vla_ros.drivers.unitree.idl_go import MotorState as HandState
from vla_ros.drivers.unitree.idl_go import MotorStates
from vla_ros.drivers.unitree.idl_hg import LowCmd, LowState
from vla_ros.drivers.unitree.session import DdsSession
from vla_ros.ros.commands import position_array
from vla_ros.ros.qos import COMMAND, STATE
from vla_ros.ros.realtime import realtime_process

ROS_DOMAIN, DDS_DOMAIN = 78, 199
STATE_HZ, COMMAND_HZ = 100.0, 50.0
# What a number of a state or command adds to a joint's position [rad].
STEP_RAD = 1e-5
WARM_UP_S = 3.0
PRIORITY = 40


def number_of(position: float) -> int:
    """Which state or command has this position."""
    return round(position / STEP_RAD)


def robot(duration_s: float) -> None:
    """Send states and hear commands; then write when that was, as JSON."""
    spec = load_unitree_spec(config_file("unitree", "g1_inspire"))
    marked = [motor.place for motor in spec.motors.values()][-1]
    session = DdsSession(DDS_DOMAIN)
    states = session.writer("rt/lowstate", LowState)
    hand_states = session.writer("rt/inspire/state", MotorStates)
    commands = session.reader("rt/lowcmd", LowCmd)
    sent: dict[int, float] = {}
    heard: dict[int, float] = {}
    end_s = time.monotonic() + duration_s

    def send() -> None:
        number = 0
        due_s = time.monotonic()
        while due_s < end_s:
            number += 1
            state = LowState(tick=number)
            state.motor_state[marked].q = STEP_RAD * number
            state = sealed(state)
            hands = MotorStates([HandState(q=1.0, dq=number) for _ in spec.hands])
            sent[number] = time.monotonic()
            states.write(state)
            hand_states.write(hands)
            due_s += 1.0 / STATE_HZ
            time.sleep(max(due_s - time.monotonic(), 0.0))

    sender = threading.Thread(target=send)
    sender.start()
    while time.monotonic() < end_s:
        if session.wait(0.1) and (command := commands.take()):
            now_s = time.monotonic()
            heard.setdefault(number_of(command.motor_cmd[marked].q), now_s)
    sender.join()
    sys.stdout.write(json.dumps({"sent": sent, "heard": heard}))


class Commander:
    """Hears joint states and commands arms and hands, in the thread that runs it."""

    def __init__(self) -> None:
        """Join the topics."""
        self.heard: dict[int, float] = {}
        self.sent: dict[int, float] = {}
        described = load_robot_spec(config_file("robots", "g1_inspire"))
        self._node = rclpy.create_node("commander")
        [topic] = {stream.topic for stream in described.state_streams.values()}
        self._node.create_subscription(JointState, topic, self._hear, STATE)
        spec = load_unitree_spec(config_file("unitree", "g1_inspire"))
        self._marked = list(spec.motors)[-1]
        self._groups = [
            (
                self._node.create_publisher(Float64MultiArray, group.topic, COMMAND),
                np.zeros(len(group.interfaces)),
                f"{self._marked}/position" in group.interfaces,
            )
            for group in described.command_groups.values()
        ]
        self._node.create_timer(1.0 / COMMAND_HZ, self._send)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)

    def _hear(self, message: JointState) -> None:
        now_s = time.monotonic()
        if self._marked in message.name:
            position = message.position[message.name.index(self._marked)]
            self.heard.setdefault(number_of(position), now_s)

    def _send(self) -> None:
        number = -len(self.sent) - 1
        for publisher, values, marked in self._groups:
            if marked:
                values[-1] = STEP_RAD * number
                self.sent[number] = time.monotonic()
            publisher.publish(position_array(values))

    def run(self, duration_s: float) -> None:
        """Do so for a while."""
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        """Leave the topics."""
        self._executor.shutdown()
        self._node.destroy_node()


def cpu_s(pid: int) -> float:
    """Processor time that a process has used [s]."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(what: str, sent: dict[int, float], heard: dict[int, float], begin_s: float) -> None:
    """Percentiles of the latency, and how much never came."""
    wanted = [number for number, at_s in sent.items() if at_s > begin_s]
    found = [1e3 * (heard[number] - sent[number]) for number in wanted if number in heard]
    p50, p99, top = np.percentile(found, (50, 99, 100))
    print(
        f"{what:26} p50 {p50:6.3f} ms  p99 {p99:6.3f} ms  max {top:7.3f} ms"
        f"  (n={len(found)}, lost {len(wanted) - len(found)})"
    )


def main(duration_s: float = 20.0) -> None:
    """Run the bridge between both, and print the figures."""
    whole_s = duration_s + WARM_UP_S
    bridge = Node("unitree_bridge", parameters={"domain": DDS_DOMAIN})
    environment = {"ROS_DOMAIN_ID": str(ROS_DOMAIN)}
    rclpy.init(domain_id=ROS_DOMAIN)
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessGroup(
            Deployment(nodes=(bridge,)), log_folder=Path(folder), environment=environment
        ) as processes,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bench_unitree", "robot", str(whole_s)],
            stdout=subprocess.PIPE,
        ) as played,
        contextlib.ExitStack() as priority,
    ):
        commander = Commander()
        priority.enter_context(realtime_process(PRIORITY))
        commander.run(WARM_UP_S)
        processes.check()
        begin_s, used_s = time.monotonic(), cpu_s(processes.pid("unitree_bridge"))
        commander.run(duration_s - 1.0)
        share = (cpu_s(processes.pid("unitree_bridge")) - used_s) / (time.monotonic() - begin_s)
        told = json.loads(played.communicate(timeout=whole_s)[0])
        commander.close()
    rclpy.shutdown()
    dds = {
        key: {int(number): at_s for number, at_s in times.items()} for key, times in told.items()
    }
    last_s = max(commander.heard.values()) - 0.1
    states = {number: at_s for number, at_s in dds["sent"].items() if at_s < last_s}
    show("state to joint_states", states, commander.heard, begin_s)
    show("command to DDS", commander.sent, dds["heard"], begin_s)
    print(f"{'the bridge needs':26} {100.0 * share:.1f} % of a core")


if __name__ == "__main__":
    if sys.argv[1:2] == ["robot"]:
        with realtime_process(PRIORITY):
            robot(float(sys.argv[2]))
    else:
        main(*map(float, sys.argv[1:]))
