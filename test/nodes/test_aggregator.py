# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.qos import QoSProfile
from std_msgs.msg import String
from vla_ros_msgs.msg import Observation, ObservationRequest, RequestFailure

from test.core.helpers import POLICY, robot
from test.nodes.stage import LEFT, RIGHT, Sensors, describe
from test.ros.harness import Domain
from vla_ros.nodes.aggregator import Aggregator
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.observations import observation_from_message
from vla_ros.ros.qos import EVENT, LATCHED, NEWEST
from vla_ros.ros.stamps import ns_from_time, time_from_ns


class Asker:
    """Asks for observations and collects the answers."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.observations = domain.collect(Observation, "observation", NEWEST)
        self.failures = domain.collect(RequestFailure, "request_failure", EVENT)
        self._requests = domain.publisher(ObservationRequest, "observation_request", NEWEST)
        self._id = 0
        self.epoch = 7

    def ask(self) -> Observation | RequestFailure:
        """The one answer to one request."""
        self._id += 1
        self._requests.publish(ObservationRequest(request_id=self._id, epoch=self.epoch))
        self._domain.spin_until(self.answers, "an answer")
        [answer] = self.answers()
        return answer

    def answers(self) -> list[Observation | RequestFailure]:
        """What has come in answer to the last request."""
        return [
            *(answer for answer in self.observations if answer.request.request_id == self._id),
            *(answer for answer in self.failures if answer.request_id == self._id),
        ]

    def observed(self) -> Observation:
        """Ask until an observation comes, as the executor does."""
        self._domain.spin_until(lambda: isinstance(self.ask(), Observation), "an observation")
        return self.observations[-1]

    def failed(self, reason: str) -> RequestFailure:
        """Ask until a failure with this reason comes."""

        def failure() -> RequestFailure | None:
            answer = self.ask()
            alike = isinstance(answer, RequestFailure) and answer.reason == reason
            return answer if alike else None

        return self._domain.spin_until(failure, reason)


@pytest.fixture
def sensors(domain: Domain) -> Sensors:
    return Sensors(domain)


def started(domain: Domain, **parameters) -> Asker:
    assert domain.add(Aggregator, **parameters).start()
    return Asker(domain)


def test_an_observation_is_one_synchronized_moment(domain: Domain, files, sensors: Sensors):
    asker = started(domain, robot=files["robot"], instruction="do it")

    message = asker.observed()

    found = observation_from_message(message, robot())
    assert found.instruction == "do it"
    assert found.state_names == ("w/position", "a/position", "g/position")
    np.testing.assert_allclose(found.state, [0.2, 0.1, 0.0])
    np.testing.assert_array_equal(found.images["left"], LEFT)
    np.testing.assert_allclose(found.images["right"].astype(int), RIGHT, atol=3)
    assert [image.encoding for image in message.images] == ["rgb8", "jpeg"]
    assert found.request is not None
    assert found.request.epoch == 7
    age_s = (domain.peer.get_clock().now().nanoseconds - found.stamp_ns) * 1e-9
    assert 0.0 < age_s < 1.0


def test_every_request_gets_exactly_one_answer(domain: Domain, files, sensors: Sensors):
    asker = started(domain, **files)

    for _ in range(20):
        asker.ask()
    domain.spin_for(0.1)

    asked = [answer.request.request_id for answer in asker.observations]
    asked += [answer.request_id for answer in asker.failures]
    assert sorted(asked) == list(range(1, 21))


def test_the_policys_cameras_alone_are_waited_for(domain: Domain, files, sensors: Sensors):
    sensors.silent.add("right")
    asker = started(domain, **files)

    assert [image.camera for image in asker.observed().images] == ["left"]


@pytest.mark.parametrize(
    ("silent", "reason", "text"),
    [
        ("left", "stale_camera", "camera left has sent nothing yet"),
        ("hand", "stale_state", "state stream hand has sent nothing yet"),
    ],
)
def test_a_stream_that_never_spoke_is_named(
    domain: Domain, files, sensors: Sensors, silent, reason, text
):
    sensors.silent.add(silent)
    asker = started(domain, **files)

    assert text in asker.failed(reason).detail

    sensors.silent.clear()
    asker.observed()


@pytest.mark.parametrize(
    ("silent", "reason", "text"),
    [
        ("left", "stale_camera", "camera left is stale: its newest sample is 0."),
        ("joints", "stale_state", "state stream joints is stale: its newest sample is 0."),
    ],
)
def test_a_stream_that_falls_silent_is_named_with_its_age_and_may_come_back(
    domain: Domain, files, sensors: Sensors, silent, reason, text
):
    asker = started(domain, **files)
    asker.observed()

    sensors.silent.add(silent)
    failure = asker.failed(reason)
    assert text in failure.detail
    assert failure.epoch == 7

    sensors.silent.clear()
    asker.observed()


def test_a_partial_joint_state_is_refused_and_said(domain: Domain, files, sensors: Sensors):
    sensors.silent.add("joints")
    asker = started(domain, **files)
    now = domain.peer.get_clock().now().to_msg()

    def failure() -> RequestFailure | None:
        sensors.say_joints(["a"], [0.5], now)
        answer = asker.failed("stale_state")
        return answer if "lacks" in answer.detail else None

    detail = domain.spin_until(failure, "the fault").detail
    assert "the message lacks joint 'w'; it has a" in detail


def test_an_image_of_the_wrong_size_is_refused_and_said(domain: Domain, files, sensors: Sensors):
    sensors.silent.add("left")
    asker = started(domain, **files)

    def failure() -> RequestFailure | None:
        now = time_from_ns(domain.peer.get_clock().now().nanoseconds)
        sensors.show_left(np.zeros((8, 8, 3), np.uint8), now)
        domain.spin_for(0.05)
        answer = asker.ask()
        return answer if isinstance(answer, RequestFailure) and "px" in answer.detail else None

    answer = domain.spin_until(failure, "the fault")
    assert answer.reason == "stale_camera"
    assert "camera left: image is 8x8 px, while the robot's description says 4x6" in answer.detail


@pytest.mark.parametrize("offered", [LATCHED, EVENT], ids=["latched", "as ros2 topic pub"])
def test_the_newer_of_topic_and_parameter_is_the_instruction(
    domain: Domain, files, sensors: Sensors, offered: QoSProfile
):
    asker = started(domain, **files, instruction="first")
    topic = domain.publisher(String, "instruction", offered)
    assert asker.observed().instruction == "first"

    topic.publish(String(data="second"))
    domain.spin_until(lambda: asker.observed().instruction == "second", "the topic's")

    assert domain.set_parameter("aggregator", "instruction", "third").successful
    domain.spin_until(lambda: asker.observed().instruction == "third", "the parameter's")


def test_an_instruction_given_before_the_node_was_there(domain: Domain, files, sensors: Sensors):
    domain.peer.create_publisher(String, "instruction", LATCHED).publish(String(data="early"))
    asker = started(domain, **files)

    domain.spin_until(lambda: asker.observed().instruction == "early", "the instruction")


def test_each_stream_is_in_the_diagnostics(domain: Domain, files, sensors: Sensors):
    sensors.silent.add("hand")
    started(domain, **files)
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)

    def said() -> dict[str, DiagnosticStatus]:
        last = reports[-1].status if reports else []
        found = {status.name.removeprefix("/aggregator: "): status for status in last}
        fresh = "stream left" in found and found["stream left"].message == "is fresh"
        return found if fresh else {}

    found = domain.spin_until(said, "a fresh stream")
    assert set(found) == {"stream left", "stream joints", "stream hand", "instruction"}
    assert found["stream left"].level == DiagnosticStatus.OK
    values = {value.key: value.value for value in found["stream left"].values}
    assert 0.0 <= float(values["age_s"]) < 0.2
    assert float(values["rate_hz"]) > 0.0
    assert found["stream hand"].level == DiagnosticStatus.ERROR
    assert found["stream hand"].message == "has sent nothing yet"
    assert found["instruction"].level == DiagnosticStatus.WARN


def test_nothing_is_answered_while_inactive(domain: Domain, files, sensors: Sensors):
    node = domain.add(Aggregator, **files)
    assert node.start()
    asker = Asker(domain)
    asker.observed()

    node.trigger_deactivate()

    domain.spin_until(lambda: domain.peer.count_subscribers("observation_request") == 0, "silence")
    node.trigger_activate()
    Asker(domain).observed()


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "parameter 'robot' is required"),
        ({"robot": "nobody"}, "robots: 'nobody' is not known"),
        ({"robot": "missing.yaml"}, "missing.yaml does not exist"),
    ],
)
def test_a_bad_start_says_why(domain: Domain, capfd: pytest.CaptureFixture, parameters, text):
    assert not domain.add(Aggregator, **parameters).start()
    assert text in capfd.readouterr().err


def test_streams_are_forgotten_when_the_clock_goes_back(domain: Domain, files, sensors: Sensors):
    node = domain.add(Aggregator, **files)
    assert node.start()
    asker = Asker(domain)
    asker.observed()
    sensors.silent.update({"left", "right", "joints", "hand"})
    domain.spin_for(0.05)
    # As if the clock had shown an hour more until now.
    node._last_ns += 3600 * 1_000_000_000

    assert "has sent nothing yet" in asker.failed("stale_camera").detail


@pytest.mark.flaky(reruns=1)
def test_a_policy_that_looks_at_the_past_gets_it_but_not_that_of_another_episode(
    domain: Domain, tmp_path: Path, sensors: Sensors
):
    past = POLICY.replace("{camera: left}", "{camera: left, delta_indices: [-2, 0]}")
    asker = started(domain, **describe(tmp_path, policy=past))
    asker.observed()
    domain.spin_for(0.5)

    now, before = asker.observed().images
    assert (now.camera, before.camera) == ("left", "left@-2")
    age_ns = ns_from_time(now.stamp) - ns_from_time(before.stamp)
    # Two steps of a tenth of a second, and images come each hundredth.
    assert 150e6 < age_ns < 250e6

    asker.epoch += 1
    now, before = asker.observed().images
    assert ns_from_time(now.stamp) - ns_from_time(before.stamp) < 100e6
