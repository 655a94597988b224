# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np
import pytest

from test.support.gr00t_samples import NAMES, STAMP_NS, observation, robot
from test.support.openpi_peers import serving
from test.support.openpi_samples import ACTIONS, POLICY, TIMING_MS, golden, policy
from vla_ros.backends.openpi_websocket import Backend, OpenpiConfig
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.wire.openpi.reply import encode_answer

Connect = Callable[..., Backend]
TRACEBACK = "Traceback (most recent call last):\n  ...\nKeyError: 'observation/image'\n"


@pytest.fixture
def backend() -> Iterator[Connect]:
    made: list[Backend] = []

    def make(port: int, text: str = POLICY, **config: Any) -> Backend:
        settings = {"port": port, "timeout_s": 10.0, "backoff_s": 0.01, **config}
        clock = itertools.count(100)
        made.append(
            Backend(
                OpenpiConfig(**settings),
                robot=robot(),
                policy=policy(text),
                now_ns=lambda: next(clock),
            )
        )
        return made[-1]

    yield make
    for item in made:
        item.close()


def right(_: bytes) -> bytes:
    return golden("answer")


def told(request: bytes | str) -> dict[str, Any]:
    """What a request says beside the observation."""
    assert isinstance(request, bytes)
    tree = msgpack.unpackb(request)
    return {key: tree[key] for key in ("endpoint", "session_id") if key in tree}


def test_the_policy_fits_its_robot():
    policy().check_against(robot())


def test_an_observation_is_sent_as_openpi_client_does(backend: Connect):
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=False)
    with serving(right) as server:
        ours = backend(server.port, api_key="secret")
        info = ours.connect()
        chunks = [ours.infer(observation(request=request)) for _ in range(3)]

        assert info.description == f"openpi policy server at ws://127.0.0.1:{server.port}/"
        assert (info.prefix, info.max_batch) == ("none", 1)
        assert server.requests == [golden("request")] * 3
        assert server.keys == ["Api-Key secret"]
    for chunk in chunks:
        np.testing.assert_array_equal(chunk.actions, ACTIONS)
        assert (chunk.stamp_ns, chunk.step_ns, chunk.names) == (STAMP_NS, 66_666_667, NAMES)
        assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (7, 2, 5)
        assert chunk.timing.received_ns == chunk.timing.sent_ns + 1
        assert chunk.timing.inference_ns == 12_500_000


@pytest.mark.parametrize("name", ["answer_odd", "answer_array", "answer_by_key"])
def test_answers_of_every_form_are_taken(backend: Connect, name: str):
    with serving(lambda _: golden(name)) as server:
        np.testing.assert_array_equal(backend(server.port).infer(observation()).actions, ACTIONS)


def test_actions_are_in_the_policys_units(backend: Connect):
    with serving(right) as server:
        ours = backend(server.port, POLICY.replace("unit: rad", "unit: degree"))
        np.testing.assert_allclose(ours.infer(observation()).actions, np.deg2rad(ACTIONS))
        sent = msgpack.unpackb(server.requests[0])["observation/gripper_position"]
    np.testing.assert_allclose(np.frombuffer(sent[b"data"], np.float32), [np.rad2deg(0.75)])


def test_a_prefix_is_not_sent(backend: Connect):
    prefix = Prefix(NAMES[:1], np.array([[0.5]]), 0.25, 1)
    with serving(right) as server:
        backend(server.port).infer(observation(), prefix)
        assert server.requests == [golden("request")]


def test_a_reset_is_a_new_connection(backend: Connect):
    with serving(right) as server:
        ours = backend(server.port)
        ours.connect()
        ours.infer(observation())
        ours.reset()
        ours.infer(observation())

        assert len(server.keys) == 2
        assert server.requests == [golden("request")] * 2


@pytest.mark.parametrize("done", [golden("reset_done"), "reset successful"])
def test_a_reset_reaches_a_server_that_has_an_endpoint_for_it(backend: Connect, done: bytes | str):
    def answer(request: bytes) -> bytes | str:
        return done if told(request)["endpoint"] == "reset" else golden("answer_array")

    with serving(answer) as server:
        ours = backend(server.port, episodes="endpoint", path="/v1/realtime/robot/openpi")
        ours.connect()
        ours.infer(observation())
        for _ in range(2):
            ours.reset()
            ours.infer(observation())

        said = [told(request) for request in server.requests]
        assert server.paths == ["/v1/realtime/robot/openpi"]
    assert [each["endpoint"] for each in said] == ["infer", *["reset", "infer"] * 2]
    first, *later = [each["session_id"] for each in said]
    assert later[0] == later[1] != later[2] == later[3]
    assert len({first, *later}) == 3


def test_a_server_with_another_policy_is_refused(backend: Connect):
    with serving(right) as server:
        ours = backend(server.port, POLICY.replace("horizon: 5", "horizon: 9"))
        for call in (ours.connect, ours.connect, lambda: ours.infer(observation())):
            with pytest.raises(ConfigError, match="action_horizon is 9; the server at ws://127"):
                call()
        assert server.requests == []


def test_a_server_that_says_nothing_of_its_policy_is_believed(backend: Connect):
    with serving(right, greeting=golden("metadata_odd")) as server:
        backend(server.port).connect()


def test_past_images_cannot_be_shown(backend: Connect):
    text = POLICY.replace("camera: head", "camera: head, delta_indices: [-1, 0]")
    text = text.replace("camera: hand", "camera: hand, delta_indices: [-1, 0]")
    with serving(right) as server:
        with pytest.raises(ConfigError, match=r"delta_indices: an openpi server .* \[-1, 0\]"):
            backend(server.port, text).connect()
        assert server.keys == []


def test_the_servers_own_words_are_passed_on(backend: Connect):
    answers: list[bytes | str] = [TRACEBACK, golden("answer"), golden("error"), golden("answer")]
    with serving(lambda _: answers.pop(0)) as server:
        ours = backend(server.port)
        for text in ("KeyError: 'observation/image'", "server says: Internal inference error"):
            with pytest.raises(RemotePolicyError, match=f"{text}$"):
                ours.infer(observation())
            # It hung up after that, which costs no attempt.
            np.testing.assert_array_equal(ours.infer(observation()).actions, ACTIONS)
        assert len(server.keys) == 3


@pytest.mark.parametrize("greeting", ["Robot policy not available", golden("error")])
def test_a_server_that_lets_nobody_in_is_told(backend: Connect, greeting: bytes | str):
    with (
        serving(right, greeting=greeting) as server,
        pytest.raises(
            RemotePolicyError, match=r"says: (Robot policy not|Internal inference error)"
        ),
    ):
        backend(server.port).connect()


NAN = ACTIONS.copy()
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (encode_answer(NAN, {}), ActionError, "action 3 of joint_1/position is nan; every action"),
        (encode_answer(ACTIONS[:4], {}), ActionError, r"key 'arm' .*\(5, 5\).* \(4, 5\)"),
        (encode_answer(ACTIONS[:, :4], {}), ActionError, r"key 'arm' .*\(5, 5\).* \(5, 4\)"),
        (golden("metadata"), WireFormatError, r"actions must be an array \(H, D\) of numbers"),
        (b"\xc1", WireFormatError, "not msgpack"),
    ],
)
def test_a_bad_answer_makes_no_chunk(
    backend: Connect, reply: bytes, kind: type[Exception], text: str
):
    with serving(lambda _: reply) as server:
        ours = backend(server.port)
        with pytest.raises(kind, match=text):
            ours.infer(observation())


def test_no_call_blocks_longer_than_its_time(backend: Connect):
    with serving(lambda _: None) as server:
        ours = backend(server.port, timeout_s=0.2)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(BackendSilent, match="gave no answer within"):
            ours.infer(observation())
        with pytest.raises(BackendSilent, match="still busy with an earlier request"):
            ours.infer(observation())
        assert time.monotonic() - started_s < 2.0
        assert len(server.requests) == 1


def test_a_late_answer_is_thrown_away(backend: Connect):
    go = threading.Event()

    def first_slowly(_: bytes) -> bytes:
        if not go.is_set():
            go.wait(5)
            return encode_answer(ACTIONS + 1, TIMING_MS)
        return golden("answer")

    with serving(first_slowly) as server:
        ours = backend(server.port, timeout_s=0.2)
        with pytest.raises(BackendSilent, match="gave no answer within"):
            ours.infer(observation())
        go.set()
        np.testing.assert_array_equal(ours.infer(observation()).actions, ACTIONS)


def test_a_server_that_was_started_again_is_asked_anew(backend: Connect):
    with serving(right) as server:
        ours = backend(server.port)
        ours.connect()
        ours.infer(observation())
    with pytest.raises(BackendUnavailable, match="cannot be connected to"):
        ours.infer(observation())
    with serving(right, port=server.port, greeting=golden("metadata_odd")):
        time.sleep(0.05)
        np.testing.assert_array_equal(ours.infer(observation()).actions, ACTIONS)


def test_a_connection_may_be_made_again_and_again(backend: Connect):
    with serving(right) as server:
        ours = backend(server.port)
        for _ in range(2):
            ours.connect()
            ours.connect()
            ours.infer(observation())
            ours.close()
            ours.close()
        assert len(server.keys) == 4


def test_an_observation_that_lacks_a_camera_is_not_sent(backend: Connect):
    with serving(right) as server:
        with pytest.raises(ConfigError, match="camera hand is not in the observation"):
            backend(server.port).infer(observation(images={"head": np.zeros((3, 4, 3), np.uint8)}))
        assert server.keys == []


def test_an_address_of_ipv6_stands_in_brackets(backend: Connect):
    with pytest.raises(BackendUnavailable, match=r"^ws://\[::1\]:1/x: cannot be connected to: "):
        backend(1, host="::1", path="x").connect()
