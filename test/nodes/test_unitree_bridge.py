# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import Float64MultiArray, String
from std_srvs.srv import Trigger
from vla_ros_msgs.msg import TaskState

from test.ros.harness import Domain
from test.support.unitree_peer import UnitreePeer, unitree_peer
from vla_ros.core.config_files import config_file
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.nodes.unitree_bridge import UnitreeBridge
from vla_ros.ros.commands import position_array
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, STATE
from vla_ros.ros.stamps import ns_from_time

FILE = config_file("robots", "g1_inspire")
ROBOT = load_robot_spec(FILE)
[JOINTS] = {stream.topic for stream in ROBOT.state_streams.values()}
ARMS, HANDS = ROBOT.command_groups.values()
# Where the peer stands, in the order of its places; both arms are bent.
POSE = [0.01 * place for place in range(29)]
# In the order of the hands' group: left first, the thumbs before the fingers.
OPEN = np.array([-0.1, 0.0, 0.0, 0.0, 0.0, 0.0] * 2)
HERE = np.array(POSE[15:29])


@pytest.fixture(scope="module")
def process() -> Iterator[UnitreePeer]:
    with unitree_peer("rt/lowcmd", "rt/arm_sdk", "rt/inspire/cmd", "rt/reset_pose/cmd") as made:
        yield made


@pytest.fixture
def peer(process: UnitreePeer) -> UnitreePeer:
    process.begin(position=POSE, mode_machine=5)
    return process


class Bridge:
    """What a robot's user sees of it."""

    def __init__(self, domain: Domain, peer: UnitreePeer, **told: Any) -> None:
        self.domain = domain
        self.peer = peer
        self.node = domain.add(
            UnitreeBridge, **{"domain": peer.domain, "realtime_priority": 0, **told}
        )
        assert self.node.start()
        self.states: list[JointState] = domain.collect(JointState, JOINTS, STATE)
        self.reports: list[DiagnosticArray] = domain.collect(DiagnosticArray, TOPIC, EVENT)
        self.heard: list[dict[str, Any]] = []
        self.topic = f"rt/{told.get('command_topic', 'lowcmd')}"
        domain.spin_until(lambda: self.body() and self.hands(), "joint states")

    def body(self) -> list[JointState]:
        return [state for state in self.states if len(state.name) == 29]

    def hands(self) -> list[JointState]:
        return [state for state in self.states if len(state.name) == 12]

    def listen(self) -> list[dict[str, Any]]:
        """Everything that the robot's body has been told."""
        self.heard.extend(self.peer.hear(self.topic))
        return self.heard

    def arms(self) -> np.ndarray:
        """(T, 14) Of these the arms."""
        return np.array([heard["q"][15:29] for heard in self.listen()])

    def commander(self) -> tuple[Callable[[np.ndarray], None], Callable[[np.ndarray], None]]:
        """What sends to the arms, and to the hands."""
        arms = self.domain.publisher(Float64MultiArray, ARMS.topic, COMMAND)
        hands = self.domain.publisher(Float64MultiArray, HANDS.topic, COMMAND)
        return (
            lambda values: arms.publish(position_array(values)),
            lambda values: hands.publish(position_array(values)),
        )

    def keep_sending(
        self, send: Callable[[np.ndarray], None], target: np.ndarray, until: Callable[[], Any]
    ) -> None:
        """Command as an executor does, until something is true."""
        due_s = 0.0

        def sent() -> bool:
            nonlocal due_s
            if time.monotonic() > due_s:
                due_s = time.monotonic() + 0.02
                send(target)
            return bool(until())

        self.domain.spin_until(sent, "what is commanded")

    def reach(self, target: np.ndarray) -> None:
        """Command the arms until they are told to be there."""
        send, _ = self.commander()

        def there() -> bool:
            arms = self.arms()
            return len(arms) > 0 and bool(np.abs(arms[-1] - target).max() < 1e-6)

        self.keep_sending(send, target, there)

    def says(self, part: str, level: bytes, text: str = "") -> bool:
        """Whether the newest report says so."""
        statuses = {
            status.name.rpartition(": ")[2]: status
            for report in self.reports[-1:]
            for status in report.status
        }
        status = statuses.get(part)
        return status is not None and status.level == level and text in status.message


def trigger(domain: Domain, name: str) -> Trigger.Response:
    return domain.call(Trigger, f"/unitree_bridge/{name}", Trigger.Request())


def test_states_of_body_and_hands_are_joint_states_in_radians(domain: Domain, peer: UnitreePeer):
    peer.state(hands=[0.0] * 6 + [1.0] * 6)
    bridge = Bridge(domain, peer)
    domain.spin_until(lambda: bridge.hands()[-1].position[6] > 1.0, "the right hand closed")

    body, hands = bridge.body()[-1], bridge.hands()[-1]
    streams = {len(it.interfaces): it for it in ROBOT.state_streams.values()}
    for message, size in ((body, 29), (hands, 12)):
        named = [f"{joint}/position" for joint in message.name]
        assert named == list(streams[size].interfaces)
        age_s = (
            domain.peer.get_clock().now().nanoseconds - ns_from_time(message.header.stamp)
        ) / 1e9
        assert 0.0 < age_s < 1.0
    np.testing.assert_allclose(body.position, POSE, atol=1e-6)
    np.testing.assert_allclose(body.effort, 2.0 * np.array(POSE), atol=1e-6)
    # Left hand open, right hand closed, thumbs first.
    np.testing.assert_allclose(
        hands.position, [-0.1, 0, 0, 0, 0, 0, 1.3, 0.5, 1.7, 1.7, 1.7, 1.7], atol=1e-6
    )
    assert list(hands.effort) == [0.25] * 12


def test_states_come_at_the_robots_rate_and_no_faster_than_allowed(
    domain: Domain, peer: UnitreePeer
):
    bridge = Bridge(domain, peer, max_state_rate_hz=20.0)
    bridge.states.clear()
    domain.spin_for(1.0)

    assert 8 <= len(bridge.body()) <= 21
    assert 8 <= len(bridge.hands()) <= 21


def test_what_a_simulator_says_twice_is_not_all_published(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)
    peer.state(move=False)

    def repeated() -> int:
        [status, *_] = bridge.reports[-1].status
        return int({it.key: it.value for it in status.values}["repeated"])

    domain.spin_until(lambda: bridge.reports and repeated() > 0, "a repetition")
    # A robot that stands still goes on being measured.
    bridge.states.clear()
    domain.spin_until(lambda: len(bridge.body()) > 5 and len(bridge.hands()) > 5, "the states")


@pytest.mark.parametrize(
    ("order", "sent"), [("xyzw", [0.0, 0.0, 0.6, 0.8]), ("wxyz", [0.8, 0.0, 0.0, 0.6])]
)
def test_the_inertial_unit_is_published_in_either_order(
    domain: Domain, peer: UnitreePeer, order: str, sent: list[float]
):
    peer.state(quaternion=sent)
    Bridge(domain, peer, imu_quaternion_order=order)
    messages: list[Imu] = domain.collect(Imu, "imu/data", STATE)
    domain.spin_until(
        lambda: messages and abs(messages[-1].orientation.z - 0.6) < 1e-6, "the orientation"
    )

    imu = messages[-1]
    assert imu.orientation.w == pytest.approx(0.8)
    assert imu.header.frame_id == "pelvis"
    assert [imu.angular_velocity.x, imu.angular_velocity.z] == pytest.approx([0.1, 0.3])
    assert imu.linear_acceleration.z == pytest.approx(9.8)
    assert list(imu.orientation_covariance) == [0.0] * 9


def test_nothing_is_sent_before_somebody_commands(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)
    domain.spin_until(
        lambda: bridge.says("commands", DiagnosticStatus.OK, "before somebody commands"), "a word"
    )
    domain.spin_for(0.3)

    assert bridge.listen() == peer.hear("rt/inspire/cmd") == []


def test_arms_are_led_from_where_they_are_within_the_velocity(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, max_velocity_rad_s=1.0)

    bridge.reach(HERE + 0.3)

    heard = bridge.listen()
    assert all(command["intact"] for command in heard)
    assert {command["mode_machine"] for command in heard} == {5}
    arms = bridge.arms()
    assert np.abs(arms[0] - HERE).max() < 1e-6
    took_s = (heard[-1]["at_ns"] - heard[0]["at_ns"]) * 1e-9
    assert took_s > 0.25
    # A step is no larger than the time since the one before allows, which a pause bounds.
    assert np.abs(np.diff(arms, axis=0)).max() <= 0.05 + 1e-6
    # Legs and waist stay where they were.
    np.testing.assert_allclose([it["q"][:15] for it in heard], [POSE[:15]] * len(heard), atol=1e-6)
    assert {tuple(it["mode"]) for it in heard} == {(1,) * 29 + (0,) * 6}


def test_commands_end_at_the_robots_limits(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, max_velocity_rad_s=20.0)
    upper = np.array([ROBOT.limits[name].upper for name in ARMS.interfaces])
    send, _ = bridge.commander()

    def there() -> bool:
        arms = bridge.arms()
        return len(arms) > 0 and bool(np.abs(arms[-1] - upper).max() < 1e-5)

    bridge.keep_sending(send, upper + 1.0, there)


def test_hands_are_told_in_the_wires_order_and_scale(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)
    _, send = bridge.commander()
    closed = OPEN.copy()
    closed[2] = 1.7  # the left index finger
    heard: list[list[float]] = []

    def there() -> bool:
        heard.extend(it["q"] for it in peer.hear("rt/inspire/cmd"))
        return bool(heard) and heard[-1][9] == 0.0

    bridge.keep_sending(send, closed, there)

    assert heard[0] == pytest.approx([1.0] * 12)
    assert heard[-1] == pytest.approx([1.0] * 9 + [0.0] + [1.0] * 2)
    # The body was not commanded.
    assert bridge.listen() == []


def test_a_command_that_stays_away_leaves_the_arms_where_they_are(
    domain: Domain, peer: UnitreePeer
):
    bridge = Bridge(domain, peer, max_velocity_rad_s=0.2, command_timeout_s=0.1)
    send, _ = bridge.commander()
    bridge.keep_sending(send, HERE + 1.0, lambda: len(bridge.listen()) > 20)

    domain.spin_until(
        lambda: bridge.says("commands", DiagnosticStatus.OK, "nothing is commanded"), "a hold"
    )
    domain.spin_for(0.2)

    arms = bridge.arms()
    np.testing.assert_array_equal(arms[-10:], [arms[-1]] * 10)
    assert arms[-1][0] < HERE[0] + 0.5


def test_how_fast_goals_move_can_be_set_while_they_do(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, max_velocity_rad_s=0.0)
    send, _ = bridge.commander()
    bridge.keep_sending(send, HERE + 0.1, lambda: len(bridge.listen()) > 20)
    assert np.abs(bridge.arms() - HERE).max() < 1e-6

    assert domain.set_parameter("unitree_bridge", "max_velocity_rad_s", 2).successful

    bridge.reach(HERE + 0.1)


def test_a_robot_that_says_nothing_is_not_moved(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, max_velocity_rad_s=0.2)
    send, _ = bridge.commander()
    bridge.keep_sending(send, HERE + 1.0, lambda: len(bridge.listen()) > 20)
    peer.state(rate_hz=0)

    bridge.keep_sending(
        send,
        HERE + 1.0,
        lambda: bridge.says("commands", DiagnosticStatus.WARN, "its state is stale"),
    )
    assert bridge.says("body", DiagnosticStatus.ERROR, "nothing has come on rt/lowstate for 0.2 s")
    stuck = bridge.arms()[-1]
    already = len(bridge.heard)
    bridge.keep_sending(send, HERE + 1.0, lambda: len(bridge.listen()) > already + 20)
    np.testing.assert_array_equal(bridge.arms()[-1], stuck)
    # It goes on when the robot is back.
    peer.state(rate_hz=100)
    bridge.keep_sending(send, HERE + 1.0, lambda: bridge.arms()[-1][0] > stuck[0] + 0.05)


def weights(bridge: Bridge) -> list[float]:
    return [heard["q"][29] for heard in bridge.listen()]


def test_arms_are_taken_over_and_given_back_by_a_ramp(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, command_topic="arm_sdk", ramp_s=0.4)
    send, _ = bridge.commander()

    bridge.keep_sending(send, HERE, lambda: weights(bridge)[-1:] == [1.0])
    bridge.node.trigger_deactivate()

    found = np.array(weights(bridge))
    assert found[0] == found[-1] == 0.0
    assert np.abs(np.diff(found)).max() <= 0.05 / 0.4 + 1e-6
    assert len(np.flatnonzero(np.diff(found) > 0)) > 10
    assert len(np.flatnonzero(np.diff(found) < 0)) > 10
    assert peer.hear("rt/lowcmd") == []


def test_arms_that_starve_are_given_back_and_taken_over_again(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(
        domain, peer, command_topic="arm_sdk", ramp_s=0.2, release_after_s=0.2,
        command_timeout_s=0.1,
    )  # fmt: skip
    send, _ = bridge.commander()
    bridge.keep_sending(send, HERE + 0.05, lambda: weights(bridge)[-1:] == [1.0])

    domain.spin_until(
        lambda: bridge.says("commands", DiagnosticStatus.OK, "before somebody commands"), "silence"
    )
    assert weights(bridge)[-1] == 0.0
    bridge.heard.clear()
    bridge.keep_sending(send, HERE + 0.05, lambda: weights(bridge)[-1:] == [1.0])

    # From where the arms are, not from where they were told to be.
    np.testing.assert_allclose(bridge.arms()[0], HERE, atol=1e-6)


def test_without_a_weight_the_arms_are_left_where_they_were_told_to_be(
    domain: Domain, peer: UnitreePeer
):
    bridge = Bridge(domain, peer)
    bridge.reach(HERE + 0.05)

    begun_s = time.monotonic()
    bridge.node.trigger_deactivate()

    assert time.monotonic() - begun_s < 1.0
    assert bridge.arms()[-1] == pytest.approx(HERE + 0.05, abs=1e-6)
    domain.spin_for(0.2)
    assert peer.hear("rt/lowcmd") == []


def test_in_a_dry_run_the_robot_is_only_read(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer, dry_run=True)
    domain.spin_until(
        lambda: bridge.says("commands", DiagnosticStatus.WARN, "nothing is sent"), "a word"
    )

    assert domain.peer.count_subscribers(ARMS.topic) == 0
    answer = trigger(domain, "reset_all")
    assert not answer.success
    assert answer.message == "this is a dry run: nothing is sent"


def test_a_simulator_is_reset_and_the_arms_are_left_alone(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)
    bridge.reach(HERE + 0.05)

    assert trigger(domain, "reset_all").success
    said = [heard["data"] for heard in peer.hear("rt/reset_pose/cmd")]
    bridge.listen()
    bridge.heard.clear()
    domain.spin_for(0.2)
    assert said == ["2"]
    assert bridge.listen() == []

    # Somewhere else after the reset, and that is where goals begin.
    peer.state(position=[0.0] * 29)
    domain.spin_until(lambda: max(bridge.body()[-1].position) == 0.0, "the new pose")
    bridge.reach(np.full(14, 0.05))
    np.testing.assert_allclose(bridge.arms()[0], 0.0, atol=1e-6)

    assert trigger(domain, "reset_object").success
    assert [heard["data"] for heard in peer.hear("rt/reset_pose/cmd")] == ["1"]


def test_a_simulators_word_is_passed_on(domain: Domain, peer: UnitreePeer):
    Bridge(domain, peer)
    tasks: list[TaskState] = domain.collect(TaskState, "unitree_bridge/task_state", LATCHED)
    worlds: list[String] = domain.collect(String, "unitree_bridge/sim_state", STATE)

    def keep_saying(topic: str, text: str, condition: Callable[[], Any]) -> None:
        def said() -> Any:
            peer.say(topic, text)
            return condition()

        domain.spin_until(said, topic)

    keep_saying(
        "rt/rewards_state",
        json.dumps({"rewards": [1.0], "timestamp": 0.5}),
        lambda: tasks and tasks[-1].success,
    )
    assert tasks[-1].detail == "reward 1"
    assert ns_from_time(tasks[-1].header.stamp) > 0
    keep_saying(
        "rt/rewards_state",
        json.dumps({"rewards": [-1.0], "timestamp": 0.6}),
        lambda: tasks[-1].failed,
    )
    assert not tasks[-1].success
    keep_saying("rt/sim_state", '{"task_name": "x"}', lambda: worlds)
    assert worlds[-1].data == '{"task_name": "x"}'


def test_what_is_wrong_is_named_in_the_report(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)

    def until(part: str, level: bytes, text: str) -> None:
        domain.spin_until(lambda: bridge.says(part, level, text), text)

    until("body", DiagnosticStatus.OK, "is measured")
    until("hands", DiagnosticStatus.OK, "is measured")
    peer.state(move=False)
    until("body", DiagnosticStatus.WARN, "still, or frozen")
    peer.state(flip=True)
    until("body", DiagnosticStatus.ERROR, "rt/lowstate: a state of the body has a wrong checksum")
    peer.state(hands=[0.0] * 5)
    until("hands", DiagnosticStatus.ERROR, "there must be 12 positions of the hands")
    bridge.node.trigger_deactivate()
    until("body", DiagnosticStatus.WARN, "the node is not active")


def test_a_checksum_does_not_matter_if_so_told(domain: Domain, peer: UnitreePeer):
    peer.state(flip=True)

    bridge = Bridge(domain, peer, verify_crc=False)

    assert bridge.body()


def test_nobody_there_is_named_in_the_report(domain: Domain):
    with unitree_peer() as peer:
        peer.state(rate_hz=0)
        node = domain.add(UnitreeBridge, domain=peer.domain, command_topic="arm_sdk")
        assert node.start()
        reports: list[DiagnosticArray] = domain.collect(DiagnosticArray, TOPIC, EVENT)
        domain.spin_until(lambda: reports, "a report")

    body, hands, _, commands = reports[-1].status
    assert body.level == hands.level == DiagnosticStatus.ERROR
    assert body.message == (
        f"nothing has come on rt/lowstate in DDS domain {peer.domain}: is that the domain and"
        " interface?"
    )
    assert commands.level == DiagnosticStatus.WARN
    assert commands.message.startswith("nobody listens on rt/arm_sdk: simulators")


def test_an_old_state_is_not_taken_for_a_new_one(domain: Domain, peer: UnitreePeer):
    bridge = Bridge(domain, peer)
    bridge.node.trigger_deactivate()
    domain.spin_for(0.1)
    peer.state(rate_hz=0)
    domain.spin_for(0.1)
    bridge.states.clear()

    bridge.node.trigger_activate()
    domain.spin_for(0.3)

    assert bridge.states == []


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"network_interface": "nope7"}, "on network interface 'nope7' cannot be entered"),
        ({"unitree": "nothing"}, "unitree: 'nothing' is not known; known: g1_inspire"),
        ({"robot": "so101"}, "is not in"),
        ({"domain": 300}, "domain"),
    ],
)
def test_what_does_not_fit_is_refused(domain: Domain, capfd, parameters, text):
    assert not domain.add(UnitreeBridge, **parameters).start()
    assert text in capfd.readouterr().err


def test_a_stream_of_body_and_hands_is_refused(domain: Domain, capfd, tmp_path: Path):
    data = yaml.safe_load(FILE.read_text())
    data.pop("urdf")
    streams = data["state_streams"]
    mixed = {"interfaces": [name for it in streams.values() for name in it["interfaces"]]}
    [body, _] = streams
    data["state_streams"] = {body: {**streams[body], **mixed}}
    for camera in data["cameras"].values():
        camera.pop("geometry", None)
    robot = tmp_path / "mixed.yaml"
    robot.write_text(yaml.safe_dump(data, sort_keys=False))

    assert not domain.add(UnitreeBridge, robot=str(robot)).start()
    assert f"state_streams.{body} must hold joints of the body alone or" in capfd.readouterr().err
