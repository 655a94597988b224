# SPDX-License-Identifier: Apache-2.0
"""A robot on Unitree's DDS in a process of its own, which shares nothing with the package.

Its types come of the field lists alone, and it makes and checks checksums in its own way. The
process is told what to say, a line of JSON each, and answers with what it has heard.
"""

from __future__ import annotations

import json
import queue
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.internal import InvalidSample
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

from test.support.programs import PATIENCE_S, ROOT
from test.support.unitree_facts import GO, HG, STD, crc_of, idl_type

HEARD = {
    "rt/lowcmd": f"{HG}LowCmd_",
    "rt/arm_sdk": f"{HG}LowCmd_",
    "rt/inspire/cmd": f"{GO}MotorCmds_",
    "rt/reset_pose/cmd": f"{STD}String_",
}
SAID = {
    "rt/lowstate": f"{HG}LowState_",
    "rt/inspire/state": f"{GO}MotorStates_",
    "rt/sim_state": f"{STD}String_",
    "rt/rewards_state": f"{STD}String_",
}
# How the robot is at first.
START: dict[str, Any] = {
    "position": [0.0] * 29,
    "hands": [1.0] * 12,
    "quaternion": [0.0, 0.0, 0.0, 1.0],
    "mode_machine": 0,
    "rate_hz": 100.0,
    "flip": False,
    "move": True,
}
_FIRST_PORT, _DOMAINS = 29_000, range(201, 231)
# As unitree_sdk2py makes them, but for a longer memory, so that a test misses nothing.
_WRITER = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(1))
_READER = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(5000))


class Robot:
    """What the process is."""

    def __init__(self, domain: int, heard: list[str]) -> None:
        participant = DomainParticipant(domain)
        self.kinds = {name: idl_type(name) for name in {*HEARD.values(), *SAID.values()}}
        self.parts = {
            name: idl_type(name)
            for name in (f"{HG}MotorState_", f"{HG}IMUState_", f"{GO}MotorState_")
        }
        self.writers = {
            topic: DataWriter(participant, Topic(participant, topic, self.kinds[name]), _WRITER)
            for topic, name in SAID.items()
        }
        self.readers = {
            topic: DataReader(
                participant, Topic(participant, topic, self.kinds[HEARD[topic]]), _READER
            )
            for topic in heard
        }
        self.state = dict(START)
        self.sent = 0

    def send(self) -> None:
        """Say how the robot does."""
        state = self.state
        self.sent += 1
        # What is measured is never the same twice, unless the robot shall stand still.
        noise = 1e-6 * self.sent if state["move"] else 0.0
        motors = [
            self.parts[f"{HG}MotorState_"](
                1, q, 0.5 * q + noise, 0.0, 2.0 * q, [30, 31], 0.0, [0, 0], 0, [0] * 4
            )
            for q in [*state["position"], *[0.0] * 6]
        ]
        imu = self.parts[f"{HG}IMUState_"](
            state["quaternion"], [0.1, 0.2, 0.3], [1.0, 2.0, 9.8], [0.0] * 3, 40
        )
        low_state = self.kinds[f"{HG}LowState_"](
            *([0, 0], 0, state["mode_machine"], self.sent, imu, motors, bytes(40), [0] * 4, 0)
        )
        # Checksums are of what is sent, and floats are sent with 32 bits.
        low_state.crc = crc_of(low_state, f"{HG}LowState_")
        if state["flip"]:
            low_state.motor_state[3].mode ^= 1
        self.writers["rt/lowstate"].write(low_state)
        hands = [
            self.parts[f"{GO}MotorState_"](0, q, noise, 0.0, 0.25, 0.0, 0.0, 0.0, 0, 0, [0, 0])
            for q in state["hands"]
        ]
        self.writers["rt/inspire/state"].write(self.kinds[f"{GO}MotorStates_"](hands))

    def hear(self) -> dict[str, list[dict[str, Any]]]:
        """What came since it was asked last, in order."""
        return {
            topic: [
                self.told(topic, sample)
                for sample in reader.take(5000)
                if not isinstance(sample, InvalidSample)  # which says that a writer has left
            ]
            for topic, reader in self.readers.items()
        }

    def told(self, topic: str, sample: Any) -> dict[str, Any]:
        told = {"at_ns": sample.sample_info.source_timestamp}
        if HEARD[topic] == f"{STD}String_":
            return {**told, "data": sample.data}
        if HEARD[topic] == f"{GO}MotorCmds_":
            return {**told, "q": [motor.q for motor in sample.cmds]}
        motors = sample.motor_cmd
        fields = {
            name: [getattr(motor, name) for motor in motors]
            for name in ("mode", "q", "dq", "tau", "kp", "kd", "reserve")
        }
        return {
            **told,
            **fields,
            "mode_pr": sample.mode_pr,
            "mode_machine": sample.mode_machine,
            "intact": sample.crc == crc_of(sample, f"{HG}LowCmd_"),
        }


def main(domain: int, heard: list[str]) -> None:
    """Do what the lines say, and speak at the rate in between."""
    robot = Robot(domain, heard)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read, daemon=True).start()
    due_s = time.monotonic()
    while True:
        rate_hz = robot.state["rate_hz"]
        try:
            line = lines.get(timeout=max(due_s - time.monotonic(), 0.0) if rate_hz else 0.1)
        except queue.Empty:
            if rate_hz:
                robot.send()
                due_s = max(due_s + 1.0 / rate_hz, time.monotonic())
            continue
        if not line:
            return
        order = json.loads(line)
        robot.state.update(order.get("state", {}))
        for topic, text in order.get("say", {}).items():
            robot.writers[topic].write(robot.kinds[f"{STD}String_"](text))
        for _ in range(order.get("send", 0)):
            robot.send()
        answer = robot.hear() if order.get("hear") else {}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


class UnitreePeer:
    """The process, from without."""

    def __init__(self, process: subprocess.Popen[str], domain: int) -> None:
        self.domain = domain
        self._process = process
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def state(self, **state: Any) -> None:
        """Be so from now on: position, hands, quaternion, mode_machine, rate_hz, flip, move."""
        self._order(state=state)

    def begin(self, **state: Any) -> None:
        """Be as at first, but so; what came before is forgotten."""
        self._order(state={**START, **state}, hear=True)

    def send(self) -> None:
        """Say how it does, once."""
        self._order(send=1)

    def say(self, topic: str, text: str) -> None:
        self._order(say={topic: text})

    def hear(self, topic: str) -> list[dict[str, Any]]:
        """What came on a topic since it was asked last; what came on others is lost."""
        return list(self._order(hear=True)[topic])

    def _order(self, **order: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._lines.get(timeout=PATIENCE_S))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)


@contextmanager
def own_dds_domain() -> Iterator[int]:
    """A domain of Unitree's that no other test on this machine has now; a bound port says so."""
    for domain in random.SystemRandom().sample(_DOMAINS, len(_DOMAINS)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as claim:
            try:
                claim.bind(("127.0.0.1", _FIRST_PORT + domain))
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("every domain is taken by another test")


@contextmanager
def unitree_peer(*heard: str) -> Iterator[UnitreePeer]:
    """A robot that hears these topics, on a domain of its own."""
    with own_dds_domain() as domain:
        yield from _peer(domain, heard)


def _peer(domain: int, heard: tuple[str, ...]) -> Iterator[UnitreePeer]:
    process = subprocess.Popen(
        [sys.executable, "-m", "test.support.unitree_peer", str(domain), *heard],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield UnitreePeer(process, domain)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
