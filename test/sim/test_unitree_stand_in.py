# SPDX-License-Identifier: Apache-2.0
"""The stand-in as a process, spoken to with types made from Unitree's field lists."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import zmq

from test.support.image_ports import free_port_offset
from test.support.programs import Program, program
from test.support.unitree_facts import GO, HG, STD, idl_type
from vla_ros.drivers.unitree.crc import c_layout, crc32
from vla_ros.drivers.unitree.session import DdsReader, DdsSession
from vla_ros.sim.unitree_stand_in import main

LOW_CMD, MOTOR_CMD = idl_type(f"{HG}LowCmd_"), idl_type(f"{HG}MotorCmd_")
HAND_CMDS, HAND_CMD = idl_type(f"{GO}MotorCmds_"), idl_type(f"{GO}MotorCmd_")
TEXT = idl_type(f"{STD}String_")
# Of Unitree's motor order.
RIGHT_SHOULDER_PITCH, WAIST_YAW = 22, 12
PATIENCE_S = 20.0
SEED = 40


class Peer:
    """What stands at the other side of Unitree's topics."""

    def __init__(self, session: DdsSession) -> None:
        self.session = session
        self.states = session.reader("rt/lowstate", idl_type(f"{HG}LowState_"))
        self.hands = session.reader("rt/inspire/state", idl_type(f"{GO}MotorStates_"))
        self.rewards = session.reader("rt/rewards_state", TEXT)
        self.scenes = session.reader("rt/sim_state", TEXT)
        self.body_commands = session.writer("rt/lowcmd", LOW_CMD)
        self.hand_commands = session.writer("rt/inspire/cmd", HAND_CMDS)
        self.resets = session.writer("rt/reset_pose/cmd", TEXT)

    def next(self, reader: DdsReader[Any]) -> Any:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            taken = reader.take()
            if taken is not None:
                return taken
            self.session.wait(0.05)
        raise AssertionError("nothing came")

    def until(self, reader: DdsReader[Any], true: Callable[[Any], bool]) -> Any:
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            taken = self.next(reader)
            if true(taken):
                return taken
        raise AssertionError("it did not come true")

    def command(self, *, crc_error: int = 0, **moved: float) -> None:
        """Stay as measured, except at places such as ``at_22``."""
        measured = [motor.q for motor in self.next(self.states).motor_state]
        motors = [
            MOTOR_CMD(1, moved.get(f"at_{place}", q), 0.0, 0.0, 80.0, 3.0, 0)
            for place, q in enumerate(measured)
        ]
        made = LOW_CMD(0, 0, motors, [0] * 4, 0)
        made.crc = crc32(c_layout(made)[:-4]) ^ crc_error
        self.body_commands.write(made)


@pytest.fixture(scope="module")
def domain() -> int:
    return random.randrange(201, 231)


@contextlib.contextmanager
def stand_in(domain: int, *told: str) -> Iterator[Program]:
    arguments = ["-m", "vla_ros.sim.unitree_stand_in", "--domain", str(domain), *told]
    with program([*arguments, "--renderer=raycast"]) as started:
        started.wait_for(r"DDS domain \d+, seed")
        yield started
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(PATIENCE_S) == 0


@pytest.fixture(scope="module")
def offset() -> int:
    return free_port_offset()


@pytest.fixture(scope="module")
def played(domain: int, offset: int) -> Iterator[Program]:
    with stand_in(domain, f"--seed={SEED}", f"--port-offset={offset}") as started:
        yield started


@pytest.fixture(scope="module")
def peer(domain: int, played: Program) -> Iterator[Peer]:
    with contextlib.closing(DdsSession(domain)) as session:
        made = Peer(session)
        made.next(made.states)
        yield made


@pytest.mark.flaky(reruns=2)
def test_the_state_comes_at_its_rate(peer: Peer):
    first, begun_s = peer.next(peer.states), time.monotonic()
    while (elapsed_s := time.monotonic() - begun_s) < 2.0:
        last = peer.next(peer.states)

    assert 80.0 < (last.tick - first.tick) / elapsed_s < 105.0


def velocities(state: Any) -> list[float]:
    return [motor.dq for motor in state.motor_state]


def test_every_second_message_says_the_same_again(peer: Peer):
    seen = [peer.next(peer.states) for _ in range(60)]

    same = {
        two.tick % 2: velocities(one) == velocities(two)
        for one, two in pairwise(seen)
        if two.tick == one.tick + 1
    }
    assert sorted(same.values()) == [False, True]
    assert all(state.crc == crc32(c_layout(state)[:-4]) for state in seen)
    assert seen[0].imu_state.quaternion == [0.0, 0.0, 0.0, 1.0]
    assert len(peer.next(peer.hands).states) == 12


def test_arms_follow_and_the_waist_does_not(peer: Peer):
    start = peer.next(peer.states).motor_state[RIGHT_SHOULDER_PITCH].q
    peer.command(at_22=start - 0.2, at_12=0.5)

    reached = peer.until(
        peer.states,
        lambda state: abs(state.motor_state[RIGHT_SHOULDER_PITCH].q - start + 0.2) < 0.02,
    )

    assert reached.motor_state[WAIST_YAW].q == 0.0


def test_a_command_with_a_wrong_checksum_is_dropped_and_told(peer: Peer, played: Program):
    start = peer.next(peer.states).motor_state[RIGHT_SHOULDER_PITCH].q
    peer.command(crc_error=1 << 7, at_22=start - 0.5)
    played.wait_for("CRC verification failed")

    for _ in range(30):
        state = peer.next(peer.states)
    assert state.motor_state[RIGHT_SHOULDER_PITCH].q == pytest.approx(start, abs=0.02)


def test_the_hands_follow_twelve_values_and_no_fewer(peer: Peer, played: Program):
    peer.hand_commands.write(HAND_CMDS([HAND_CMD(0, 0.5, 0.0, 0.0, 0.0, 0.0, [0] * 3)] * 12))

    state = peer.until(
        peer.hands, lambda hands: all(abs(hand.q - 0.5) < 0.05 for hand in hands.states)
    )

    assert len(state.states) == 12
    peer.hand_commands.write(HAND_CMDS([HAND_CMD(0, 1.0, 0.0, 0.0, 0.0, 0.0, [0] * 3)] * 11))
    played.wait_for("rt/inspire/cmd: ignored, it has 11 values")


def test_resets_make_the_worlds_of_one_seed_after_the_other(peer: Peer, played: Program):
    def object_place() -> list[float]:
        peer.next(peer.scenes)
        told = json.loads(peer.next(peer.scenes).data)
        (thing,) = json.loads(told["init_state"])["rigid_object"].values()
        place: list[float] = thing["root_pose"][0][:2]
        return place

    places = []
    for _ in range(2):
        count = len(re.findall("reset all", played.written))
        peer.resets.write(TEXT("2"))
        played.wait_for(f"(?s)(reset all.*){{{count + 1}}}")
        places.append(object_place())
    peer.resets.write(TEXT("1"))
    played.wait_for("reset object")
    peer.resets.write(TEXT("3"))
    played.wait_for("'3' is neither 1 nor 2")

    seeds = [int(seed) for seed in re.findall(r"reset all: seed (\d+)", played.written)]
    assert seeds == [SEED, SEED + 1]
    assert np.linalg.norm(np.subtract(*places)) > 0.005
    assert object_place() == pytest.approx(places[1], abs=1e-3)


def test_reward_and_task_are_told(peer: Peer):
    reward = json.loads(peer.next(peer.rewards).data)

    assert reward["rewards"] == [0.0]
    assert abs(reward["timestamp"] - time.time()) < 5.0
    scene = json.loads(peer.next(peer.scenes).data)
    assert scene["task_name"] == "Isaac-PickPlace-Cylinder-G129-Inspire-Joint"


def test_images_come_as_teleimager_sends_them(played: Program, offset: int):
    with zmq.Context() as context:
        with context.socket(zmq.REQ) as asking:
            asking.linger = 0
            asking.connect(f"tcp://127.0.0.1:{60000 + offset}")
            asking.send(b"GET_DATA")
            assert asking.poll(1000 * PATIENCE_S)
            cameras = json.loads(asking.recv())
        names = ["head_camera", "left_wrist_camera", "right_wrist_camera"]
        assert list(cameras) == names
        for place, camera in enumerate(cameras.values()):
            assert camera["enable_zmq"] is True
            assert camera["zmq_port"] == 55555 + place + offset
            assert camera["image_shape"] == [480, 640]
            assert camera["binocular"] is False
            with context.socket(zmq.SUB) as listening:
                listening.linger = 0
                listening.subscribe(b"")
                listening.connect(f"tcp://127.0.0.1:{camera['zmq_port']}")
                assert listening.poll(1000 * PATIENCE_S)
                file = listening.recv()
            image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
            assert image.shape == (480, 640, 3)
            assert image.std() > 10.0


def test_legacy_images_come_side_by_side(domain: int):
    offset = free_port_offset()
    with (
        stand_in(domain % 30 + 201, f"--port-offset={offset}", "--legacy-images") as started,
        zmq.Context() as context,
        context.socket(zmq.SUB) as listening,
    ):
        assert f"all cameras on port {5555 + offset}" in started.written
        listening.linger = 0
        listening.subscribe(b"")
        listening.connect(f"tcp://127.0.0.1:{5555 + offset}")
        assert listening.poll(1000 * PATIENCE_S)
        image = cv2.imdecode(np.frombuffer(listening.recv(), np.uint8), cv2.IMREAD_COLOR)

    assert image.shape == (480, 3 * 640, 3)


def children(process: int) -> list[int]:
    told = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in told.split()]


def test_without_images_it_does_not_go_on(domain: int):
    arguments = ["-m", "vla_ros.sim.unitree_stand_in", "--domain", str(domain % 30 + 201)]
    with program([*arguments, f"--port-offset={free_port_offset()}"]) as started:
        started.wait_for("DDS domain")
        (images,) = children(started.process.pid)
        os.kill(images, signal.SIGKILL)

        assert started.process.wait(PATIENCE_S) == 1
        started.wait_for("ERROR unitree_stand_in")


def test_nothing_is_left_behind(domain: int):
    arguments = ["-m", "vla_ros.sim.unitree_stand_in", "--domain", str(domain % 30 + 201)]
    with program([*arguments, f"--port-offset={free_port_offset()}"]) as started:
        started.wait_for("DDS domain")
        (images,) = children(started.process.pid)
        started.process.kill()
        deadline_s = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{images}/fd").exists() and time.monotonic() < deadline_s:
            if "State:\tZ" in Path(f"/proc/{images}/status").read_text():
                break
            time.sleep(0.02)

        assert time.monotonic() < deadline_s


@pytest.mark.flaky(reruns=2)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_its_whole_group_ends_it_cleanly_and_at_once(domain: int, number: int):
    leads = "import os, sys; os.setsid(); from vla_ros.sim.unitree_stand_in import main;"
    arguments = ["-c", f"{leads} sys.exit(main())", f"--domain={domain % 30 + 201}"]
    with program([*arguments, f"--port-offset={free_port_offset()}"]) as started:
        started.wait_for("DDS domain")
        os.killpg(started.process.pid, number)
        begun_s = time.monotonic()

        assert started.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - begun_s < 1.5


@pytest.mark.parametrize(
    ("told", "part"),
    [
        (["--domain", "1000"], "--domain must be 0 to 230"),
        (["--scene", "no_scene"], "no_scene"),
        (["--robot", "no_robot"], "no_robot"),
        (["--unitree", "no_body"], "no_body"),
        (["--robot", "so101_sim", "--scene", "so101_table"], "does not command"),
        (["--seed", "-1"], "seed"),
    ],
)
def test_what_is_wrong_is_said(told: list[str], part: str, caplog: pytest.LogCaptureFixture):
    with _signals_kept():
        assert main(["--domain", "230", *told]) == 2

    assert part in caplog.text


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
