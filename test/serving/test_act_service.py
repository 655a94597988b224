# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from test.support.act_samples import COMMANDS, IMAGES, POLICY, QPOS, ROBOT, policy, robot
from test.support.act_samples import observation as observed
from test.support.asked import answer
from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.programs import PATIENCE_S, policy_server, program
from test.support.served import served
from vla_ros.backends.act_zmq import ActConfig, Backend
from vla_ros.core.errors import BackendUnavailable, ConfigError, RemotePolicyError
from vla_ros.serving.act_service import ActService
from vla_ros.serving.asked import Client, Inference, Reset
from vla_ros.serving.sessions import MAX_SESSIONS
from vla_ros.wire.act.request import RESET, ActObservation, encode_observation

HORIZON = 4
CHUNKS = policy(POLICY.replace("horizon: 1", f"horizon: {HORIZON}"))
ASK = pickle.dumps({"qpos": QPOS, "images": IMAGES})
# What the older of two chunks counts.
OLDER = 1 / (1 + np.exp(-0.01))


def chunk(first: float) -> np.ndarray[Any, Any]:
    """(H, D) Actions that count from a number on."""
    return first + np.arange(HORIZON)[:, None] + np.zeros(len(COMMANDS))


@pytest.fixture
def backend() -> GoldenBackend:
    made = GoldenBackend(robot=robot(), policy=CHUNKS)
    made.actions = chunk(0.0)
    return made


@pytest.fixture
def service() -> ActService:
    return ActService(CHUNKS, max_bytes=10_000, now_ns=lambda: 77)


Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(service: ActService, backend: GoldenBackend) -> Ask:
    """Asks the service, and the policy at once."""

    def asked(request: bytes = ASK, client: str = "a") -> dict[str, Any]:
        reply = answer(service, backend, memoryview(request), Client("act", client))
        value: dict[str, Any] = pickle.loads(reply)
        return value

    return asked


def error(ask: Ask, request: bytes = ASK) -> str:
    reply = ask(request)
    assert (list(reply), reply["status"]) == (["status", "message"], "ERROR")
    text: str = reply["message"]
    return text


def test_an_observation_reaches_the_policy_and_its_action_the_client(
    ask: Ask, backend: GoldenBackend
):
    reply = ask()

    assert reply["status"] == "OK"
    np.testing.assert_array_equal(reply["action"], np.zeros(8, np.float32), strict=True)
    (seen,) = backend.seen
    assert (seen.stamp_ns, seen.instruction) == (77, "")
    np.testing.assert_equal(dict(seen.images), dict(observed().images))
    np.testing.assert_array_equal(seen.state, QPOS)


def test_the_chunks_of_a_clients_last_steps_are_joined(ask: Ask, backend: GoldenBackend):
    ask()
    backend.actions = chunk(10.0)
    np.testing.assert_allclose(ask()["action"], np.full(8, OLDER * 1 + (1 - OLDER) * 10), rtol=1e-6)
    assert ask(client="another")["action"][0] == 10.0


def test_a_reset_begins_anew_and_reaches_the_policy(ask: Ask, backend: GoldenBackend):
    ask()
    backend.actions = chunk(10.0)
    assert ask(RESET) == {"status": "OK"}
    assert backend.resets == 1
    assert ask()["action"][0] == 10.0


def test_a_reset_forgets_the_chunks_even_where_the_policy_fails(ask: Ask, backend: GoldenBackend):
    ask()
    backend.error = BackendUnavailable("it is not there")
    assert error(ask, RESET) == "it is not there"
    assert error(ask) == "it is not there"
    backend.error, backend.actions = None, chunk(10.0)
    assert ask()["action"][0] == 10.0


class Trap:
    def __reduce__(self) -> Any:
        return (print, ("it was executed",))


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (b"no pickle", "pickle"),
        (pickle.dumps("reset"), "a request must be 'RESET'"),
        (pickle.dumps(Trap()), "print"),
        (bytes(10_001), "at most 10000"),
        (pickle.dumps({"qpos": QPOS[:5], "images": IMAGES}), "state key"),
        (pickle.dumps({"qpos": np.append(QPOS, 1), "images": IMAGES}), "state key 'gripper'"),
        (pickle.dumps({"qpos": QPOS, "images": {}}), "video key 'rgb_main' is missing"),
        (pickle.dumps({"qpos": QPOS * np.nan, "images": IMAGES}), "finite"),
    ],
)
def test_what_cannot_be_answered_is_told(
    ask: Ask, capsys: pytest.CaptureFixture[str], request_: bytes, text: str
):
    assert text in error(ask, request_)
    assert "executed" not in capsys.readouterr().out
    assert ask()["status"] == "OK"


def test_a_request_of_several_parts_is_refused(service: ActService):
    reply = service.begin(ASK, Client("act", 1), [memoryview(b"x")])
    assert isinstance(reply, bytes)
    assert pickle.loads(reply)["message"] == "a request has one part; found 2"


def test_a_policy_that_sees_the_past_is_refused():
    past = re.sub(r"(camera: \w+)", r"\1, delta_indices: [-5, 0]", POLICY)
    with pytest.raises(ConfigError, match=r"newest images alone; found \[-5, 0\]"):
        ActService(policy(past))


def test_clients_that_are_long_gone_are_forgotten(ask: Ask, backend: GoldenBackend):
    ask(client="first")
    for index in range(2 * MAX_SESSIONS):
        ask(client=f"{index}")
    backend.actions = chunk(10.0)
    assert ask(client="first")["action"][0] == 10.0
    assert ask(client="5")["action"][0] < 10.0


def client_of(port: int, **options: Any) -> Backend:
    settings = {"port": port, "timeout_s": 5.0, "backoff_s": 0.01, **options}
    return Backend(ActConfig(**settings), robot=robot(), policy=policy())


def test_our_own_client_is_served_by_what_it_expects(backend: GoldenBackend):
    """The contract: connect, infer, reset, the error's text, a restart, close twice."""
    with served(backend, "--protocol", "act") as port:
        ours = client_of(port)
        assert "ACT policy server" in ours.connect().description
        assert backend.resets == 1
        assert ours.infer(observed()).actions.shape == (1, 8)
        ours.reset()
        assert backend.resets == 2
        backend.error = BackendUnavailable("the model is away")
        with pytest.raises(RemotePolicyError, match="the model is away"):
            ours.infer(observed())
        backend.error = None
    with pytest.raises(BackendUnavailable):
        client_of(port, timeout_s=0.2).infer(observed())
    with served(backend, "--protocol", "act", "--port", str(port)):
        assert ours.connect()
        assert ours.infer(observed()).horizon == 1
        ours.close()
        ours.close()


def test_a_client_waits_no_longer_than_its_deadline(backend: GoldenBackend):
    options = ("--protocol", "act", "--latency-ms", "400")
    with served(backend, *options) as port:
        ours = client_of(port, timeout_s=0.1)
        ours.connect()
        with pytest.raises(BackendUnavailable, match="no answer within"):
            ours.infer(observed())
        ours.close()


def test_each_client_has_a_policy_of_its_own_where_it_remembers():
    first = OwnBackend(policy=policy(), robot=robot())
    first.actions = chunk(0.0)[:1]
    with served(first, "--protocol", "act") as port:
        clients = [client_of(port), client_of(port)]
        for client in clients:
            client.connect()
        for client in clients:
            client.close()
    assert [each.resets for each in first.family] == [0, 1, 1]


def test_what_is_asked_tells_when_the_robot_runs_out(service: ActService):
    begun = service.begin(ASK, Client("act", 1))
    assert isinstance(begun, Inference)
    assert begun.runs_out_in_s == pytest.approx(1 / CHUNKS.rate_hz)
    assert isinstance(service.begin(RESET, Client("act", 1)), Reset)


def test_what_was_asked_before_a_reset_does_not_reach_into_the_next_episode(
    ask: Ask, service: ActService, backend: GoldenBackend
):
    late = service.begin(ASK, Client("act", "a"))
    assert isinstance(late, Inference)
    ask(RESET)
    late.answer(backend.infer(late.observation))
    backend.actions = chunk(10.0)
    assert ask()["action"][0] == 10.0


def test_the_documents_own_client_is_answered(tmp_path: Path):
    (tmp_path / "robot.yaml").write_text(
        ROBOT.replace("height: 2, width: 3", "height: 480, width: 640")
    )
    (tmp_path / "policy.yaml").write_text(POLICY.replace("horizon: 1", "horizon: 16"))
    facts = ("--robot", str(tmp_path / "robot.yaml"), "--policy", str(tmp_path / "policy.yaml"))
    with policy_server(*facts, "--protocol", "act", "--backend", "hold") as (server, port):
        theirs = str(Path(__file__).parents[1] / "support/act_client.py")
        with program([theirs, str(port)]) as client:
            client.wait_for(r"\{'status': 'OK'\}")
            client.wait_for(r"Action: \[0\.  1\.  2\.  3\.  4\.  5\.  6\.  0\.5\]")
            assert client.process.wait(PATIENCE_S) == 0
        with program([theirs, str(port)]) as client:
            client.wait_for("Action: ")
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0


def test_our_own_encoding_is_read_too(ask: Ask):
    assert ask(encode_observation(ActObservation(QPOS, IMAGES)))["status"] == "OK"
