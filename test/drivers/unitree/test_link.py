# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from test.support.unitree_peer import UnitreePeer, unitree_peer
from vla_ros.core.config_files import config_file
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.body_command import BodyGoal
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.body_state import BodyReader
from vla_ros.drivers.unitree.link import UnitreeLink
from vla_ros.drivers.unitree.session import DdsSession

SPEC = load_unitree_spec(config_file("unitree", "g1_inspire"))
PATIENCE_S = 10.0


@pytest.fixture(scope="module")
def process() -> Iterator[UnitreePeer]:
    with unitree_peer("rt/lowcmd", "rt/arm_sdk", "rt/inspire/cmd", "rt/reset_pose/cmd") as made:
        yield made


@pytest.fixture
def peer(process: UnitreePeer) -> UnitreePeer:
    process.begin(rate_hz=0)
    return process


@contextlib.contextmanager
def joined(peer: UnitreePeer, **told: Any) -> Iterator[tuple[DdsSession, UnitreeLink]]:
    options = {"command_topic": "lowcmd", "max_state_rate_hz": 1000.0, "dry_run": False}
    reader = BodyReader(SPEC, quaternion_order="xyzw", verify_crc=True)
    with contextlib.closing(DdsSession(peer.domain)) as session:
        yield session, UnitreeLink(session, SPEC, reader, **{**options, **told})


def wait_for(condition: Callable[[], Any]) -> Any:
    end_s = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.002)
    return found


def unwanted() -> None:
    pytest.fail("nothing is to be done")


def sent(peer: UnitreePeer, take: Callable[[], Any]) -> Any:
    """What comes of a peer that speaks until it is heard."""

    def heard() -> Any:
        peer.send()
        return take()

    return wait_for(heard)


def test_body_and_hands_are_read(peer: UnitreePeer):
    peer.state(position=[0.01 * it for it in range(29)], hands=[0.0] * 6 + [1.0] * 6)
    with joined(peer) as (_, link):
        body = sent(peer, link.body.take)
        hands = sent(peer, link.hands.take)

    np.testing.assert_allclose(body.joints.position, 0.01 * np.arange(29.0), atol=1e-7)
    assert body.inertial.orientation.tolist() == [0.0, 0.0, 0.0, 1.0]
    closed, opened = [1.7] * 4 + [0.5, 1.3], [0.0] * 5 + [-0.1]
    np.testing.assert_allclose(hands.position, closed + opened, atol=1e-9)


def test_a_flipped_bit_is_dropped_and_counted(peer: UnitreePeer):
    with joined(peer) as (_, link):
        sent(peer, link.body.take)
        peer.state(flip=True)

        sent(peer, lambda: link.body.take() or link.body.refused)
        assert link.body.refused == 1
        assert link.body.problem == "rt/lowstate: a state of the body has a wrong checksum"
        peer.state(flip=False)
        sent(peer, link.body.take)
        assert link.body.problem == ""


def test_a_state_that_came_again_is_dropped_but_a_still_robot_is_not_silent(peer: UnitreePeer):
    with joined(peer) as (session, link):
        sent(peer, link.body.take)
        peer.state(move=False, rate_hz=100)
        wait_for(link.body.take)

        begun_s, taken = time.monotonic(), 0
        while time.monotonic() < begun_s + 0.5:
            session.wait(0.1)
            taken += link.body.take() is not None
            link.hands.take()

        assert taken > 5
        assert link.body.repeated >= 3
        assert link.body.same_for_s(time.monotonic_ns()) >= 0.5


def test_a_simulator_says_how_its_task_stands(peer: UnitreePeer):
    with joined(peer) as (_, link):
        reward = json.dumps({"rewards": [1.0], "timestamp": 1.5})
        said = {"rt/rewards_state": reward, "rt/sim_state": '{"task_name": "x"}'}

        def heard(topic: str, take: Callable[[], Any]) -> Any:
            def spoken() -> Any:
                peer.say(topic, said[topic])
                return take()

            return wait_for(spoken)

        assert heard("rt/rewards_state", link.rewards.take).success
        assert heard("rt/sim_state", link.sim_state.take) == '{"task_name": "x"}'
        said["rt/rewards_state"] = "none"
        heard("rt/rewards_state", lambda: link.rewards.take() or link.rewards.problem)
        assert link.rewards.problem.startswith("rt/rewards_state: the reward must be JSON")


@pytest.mark.parametrize(("topic", "weight"), [("lowcmd", 0.0), ("arm_sdk", 0.25)])
def test_an_independent_reader_accepts_what_is_sent(peer: UnitreePeer, topic: Any, weight: float):
    with joined(peer, command_topic=topic) as (_, link):
        assert link.command_topic == f"rt/{topic}"
        wait_for(lambda: link.listeners)

        link.tell_body(BodyGoal(np.linspace(-1, 1, 29), 0.25), mode_machine=5)

        [heard] = wait_for(lambda: peer.hear(f"rt/{topic}"))
    assert heard["intact"]
    assert heard["mode_machine"] == 5
    np.testing.assert_allclose(heard["q"][:29], np.linspace(-1, 1, 29), atol=1e-6)
    assert heard["q"][29] == weight
    assert heard["mode"] == [1] * 29 + [0] * 6


def test_hands_are_told_right_first_and_one_is_open(peer: UnitreePeer):
    with joined(peer) as (_, link):
        wait_for(lambda: link.listeners)
        right, left = [1.7, 0.0, 0.85, 0.0, 0.5, -0.1], [0.0, 0.0, 0.0, 1.7, 0.25, 1.3]

        def told() -> Any:
            link.tell_hands(np.array([*right, *left]))
            return peer.hear("rt/inspire/cmd")

        heard = wait_for(told)[0]
    assert heard["q"] == pytest.approx([0, 1, 0.5, 1, 0, 1, 1, 1, 1, 0, 0.5, 0])


@pytest.mark.parametrize(("what", "said"), [("object", "1"), ("all", "2")])
def test_a_simulator_is_reset(peer: UnitreePeer, what: Any, said: str):
    first: list[str] = []
    with joined(peer) as (_, link):

        def told() -> Any:
            with contextlib.suppress(DeviceError):  # until they have found each other
                link.reset(what, first=lambda: first.append("first"))
            return peer.hear("rt/reset_pose/cmd")

        assert {heard["data"] for heard in wait_for(told)} == {said}
    assert first


def test_without_a_simulator_nothing_is_reset():
    with (
        unitree_peer("rt/lowcmd") as peer,
        joined(peer) as (_, link),
        pytest.raises(DeviceError, match="nobody listens on rt/reset_pose/cmd"),
    ):
        link.reset("all", first=unwanted)


def test_in_a_dry_run_nothing_is_sent_nor_announced(peer: UnitreePeer):
    with joined(peer, dry_run=True) as (_, link):
        sent(peer, link.body.take)
        link.tell_body(BodyGoal(np.zeros(29), 1.0), mode_machine=0)
        link.tell_hands(np.zeros(12))
        with pytest.raises(DeviceError, match="this is a dry run"):
            link.reset("all", first=unwanted)

        assert link.listeners == 0
        assert peer.hear("rt/lowcmd") == peer.hear("rt/inspire/cmd") == []
