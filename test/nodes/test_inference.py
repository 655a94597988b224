# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from vla_ros_msgs.msg import ActionChunk, Observation, RequestFailure

from test.core.helpers import POLICY
from test.nodes.puppet import Strings, puppet_class
from test.nodes.stage import describe
from test.nodes.test_inference_worker import observation
from test.ros.harness import Domain
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.nodes import inference
from vla_ros.nodes.inference import Inference
from vla_ros.ros.diagnostics import TOPIC
from vla_ros.ros.qos import EVENT, NEWEST
from vla_ros.ros.ring_messages import chunk_from_message


@pytest.fixture
def strings(monkeypatch: pytest.MonkeyPatch) -> Strings:
    """The backend of every inference node in this test is a puppet on these."""
    strings = Strings()
    monkeypatch.setattr(inference, "backend_class", lambda name: puppet_class(strings))
    return strings


class Client:
    """Shows observations and collects the answers."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.chunks = domain.collect(ActionChunk, "action_chunk", EVENT)
        self.failures = domain.collect(RequestFailure, "request_failure", EVENT)
        self._observations = domain.publisher(Observation, "observation", NEWEST)
        self._id = 0

    def show(self) -> ActionChunk | RequestFailure:
        """The one answer to one observation."""
        self._id += 1
        self._observations.publish(observation(self._id))

        def answers() -> list[ActionChunk | RequestFailure]:
            found = (*self.chunks, *self.failures)
            return [answer for answer in found if answer.request_id == self._id]

        [answer] = self._domain.spin_until(answers, "an answer")
        return answer


def started(domain: Domain, **parameters) -> Client:
    assert domain.add(Inference, **parameters).start()
    return Client(domain)


def test_an_observation_becomes_a_chunk(domain: Domain, files, strings: Strings):
    client = started(domain, **files)

    message = client.show()

    chunk = chunk_from_message(message)
    assert message.policy == "two_joint_policy"
    assert (chunk.names, chunk.horizon) == (("a/position", "g/position"), 10)
    np.testing.assert_allclose(chunk.actions[0], [0.1, 0.0])
    assert chunk.timing.requested_ns == 1000
    assert 0 < chunk.timing.sent_ns <= chunk.timing.received_ns
    assert message.inference_s >= 0.0


def test_the_policys_own_backend_is_used(domain: Domain, files):
    client = started(domain, **files)

    np.testing.assert_allclose(chunk_from_message(client.show()).actions, [[0.1, 0.0]] * 10)


def test_a_failure_shows_the_servers_own_text(domain: Domain, files, strings: Strings):
    client = started(domain, **files)
    strings.infer_errors.append(RemotePolicyError("CUDA out of memory"))

    failure = client.show()

    assert isinstance(failure, RequestFailure)
    assert (failure.reason, failure.detail) == ("policy_error", "CUDA out of memory")
    assert isinstance(client.show(), ActionChunk)


def test_configure_does_not_wait_for_an_absent_server_which_is_used_when_it_comes(
    domain: Domain, files, strings: Strings
):
    strings.connect_errors += [BackendUnavailable("nobody at here:5555")] * 2
    client = started(domain, **files)

    failure = client.show()
    assert isinstance(failure, RequestFailure)
    assert (failure.reason, failure.detail) == ("server_unavailable", "nobody at here:5555")

    domain.spin_until(lambda: isinstance(client.show(), ActionChunk), "a chunk")


def test_configure_fails_on_a_policy_that_does_not_fit(
    domain: Domain, files, strings: Strings, capfd: pytest.CaptureFixture
):
    strings.connect_errors.append(ConfigError("the server's horizon is 16, expected 10"))

    assert not domain.add(Inference, **files).start()

    assert "the server's horizon is 16, expected 10" in capfd.readouterr().err
    assert strings.calls[-1] == "close"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"backend": "telepathy"}, "backend 'telepathy' does not exist"),
        ({"policy": "nothing"}, "policies: 'nothing' is not known"),
    ],
)
def test_a_bad_start_says_why(domain: Domain, files, capfd, parameters, text):
    assert not domain.add(Inference, **{**files, **parameters}).start()
    assert text in capfd.readouterr().err


def test_a_policy_that_does_not_fit_the_robot_is_refused(domain: Domain, tmp_path, capfd):
    files = describe(tmp_path, policy=POLICY.replace("camera: left", "camera: back"))

    assert not domain.add(Inference, **files).start()
    assert "camera back is not in robot two_joint" in capfd.readouterr().err


def test_the_backends_parameters_are_the_nodes(domain: Domain, files, strings: Strings):
    parameters = {**files, "backend.host": "there", "backend.timeout_s": 2}
    client = started(domain, **parameters)
    assert strings.calls == ["connect there"]
    assert domain.get_parameter("inference", "backend.timeout_s") == 2.0

    refused = domain.set_parameter("inference", "backend.timeout_s", 0.0)
    assert not refused.successful
    assert domain.set_parameter("inference", "backend.host", "elsewhere").successful
    domain.spin_until(lambda: "connect elsewhere" in strings.calls, "the new connection")
    assert isinstance(client.show(), ActionChunk)


def test_diagnostics_say_whether_the_policy_is_reached(domain: Domain, files, strings: Strings):
    client = started(domain, **files)
    reports = domain.collect(DiagnosticArray, TOPIC, EVENT)

    def said(text: str) -> DiagnosticStatus | None:
        last = reports[-1].status if reports else []
        return next((status for status in last if text in status.message), None)

    status = domain.spin_until(lambda: said("connected: a puppet"), "the connection")
    assert (status.name, status.level) == ("/inference: policy", DiagnosticStatus.OK)
    assert "server" not in {value.key for value in status.values}
    strings.in_use = "b:5555"
    domain.spin_until(
        lambda: any(it.value == "b:5555" for it in said("connected").values), "the server in use"
    )

    strings.infer_errors.append(BackendUnavailable("silence"))
    strings.connect_errors += [BackendUnavailable("gone")] * 100
    client.show()
    status = domain.spin_until(lambda: said("server_unavailable: gone"), "the trouble")
    assert status.level == DiagnosticStatus.ERROR
    assert {value.key: value.value for value in status.values}["failures"] == "1"


def test_the_servers_can_be_changed_while_it_runs(domain: Domain, files):
    backend = {"backend": "gr00t_http", "backend.port": 1, "backend.backoff_max_s": 0.1}
    client = started(domain, **files, **backend)
    assert domain.get_parameter("inference", "backend.addresses") == []

    refused = domain.set_parameter("inference", "backend.addresses", ["127.0.0.1"])
    assert not refused.successful
    assert "'addresses' must be HOST:PORT" in refused.reason

    servers = ["127.0.0.1:2", "127.0.0.1:3"]
    assert domain.set_parameter("inference", "backend.addresses", servers).successful
    failure = domain.spin_until(
        lambda: (it := client.show()) and all(each in it.detail for each in servers) and it,
        "both named",
    )
    assert failure.reason == "server_unavailable"


def test_cleaning_up_closes_the_backend_and_all_can_begin_again(
    domain: Domain, files, strings: Strings
):
    node = domain.add(Inference, **files)
    assert node.start()
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert strings.calls[-1] == "close"

    assert node.start()
    assert isinstance(Client(domain).show(), ActionChunk)


def test_a_mistake_in_a_backend_ends_the_process(
    domain: Domain, files, strings: Strings, capfd: pytest.CaptureFixture
):
    node = domain.add(Inference, **files)
    assert node.start()
    observations = domain.publisher(Observation, "observation", NEWEST)
    strings.infer_errors.append(ZeroDivisionError("a mistake"))
    observations.publish(observation(1))

    domain.spin_until(node.exit_code.done, "the end")

    assert node.exit_code.result() == 1
    assert "ZeroDivisionError: a mistake" in capfd.readouterr().err
