# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from test.support.act_peers import PlainActServer
from test.support.act_samples import (
    ACTION,
    COMMANDS,
    IMAGES,
    POLICY,
    QPOS,
    STAMP_NS,
    observation,
    policy,
    robot,
)
from test.support.zmq_peers import serving
from vla_ros.backends.act_zmq import ActConfig, Backend
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.wire.act.reply import DONE
from vla_ros.wire.act.request import RESET

Connect = Callable[..., Backend]


@pytest.fixture
def backend() -> Iterator[Connect]:
    made: list[Backend] = []

    def make(port: int, text: str = POLICY, **config: Any) -> Backend:
        settings = {"port": port, "uncommanded": 8, "timeout_s": 10.0, "backoff_s": 0.01, **config}
        clock = itertools.count(100)
        made.append(
            Backend(
                ActConfig(**settings),
                robot=robot(),
                policy=policy(text),
                now_ns=lambda: next(clock),
            )
        )
        return made[-1]

    yield make
    for item in made:
        item.close()


def actions(step: int) -> np.ndarray:
    return ACTION[None, :8].astype(np.float64) + step


def test_the_policy_fits_its_robot():
    policy().check_against(robot())


def test_each_observation_is_answered_with_one_action(backend: Connect):
    answer = PlainActServer()
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=False)
    with serving(answer) as server:
        ours = backend(server.port)
        info = ours.connect()
        chunks = [ours.infer(observation(request=request)) for _ in range(3)]

    assert info.description == f"ACT policy server at tcp://127.0.0.1:{server.port}"
    assert (info.prefix, info.max_batch) == ("none", 1)
    for step, chunk in enumerate(chunks):
        np.testing.assert_array_equal(chunk.actions, actions(step))
        assert chunk.names == COMMANDS
        assert (chunk.stamp_ns, chunk.step_ns, chunk.horizon) == (STAMP_NS, 50_000_000, 1)
        assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (7, 2, 5)
        assert chunk.timing.received_ns == chunk.timing.sent_ns + 1
    assert answer.resets == 1
    for seen in answer.seen:
        np.testing.assert_equal(seen, {"qpos": QPOS, "images": IMAGES})
        assert seen["qpos"].dtype == np.float32


def test_state_and_actions_are_in_the_policys_units_and_order(backend: Connect):
    text = (
        POLICY.replace("unit: rad", "unit: degree")
        .replace("scale: [1, 1, 1]", "scale: [1, 1, 1000]")
        .replace("offset: [0, 0, 0]", "offset: [0, 0, 7]")
    )
    answer = PlainActServer()
    with serving(answer) as server:
        chunk = backend(server.port, text).infer(observation())

    expected = np.concatenate((QPOS[:9], np.rad2deg(QPOS[9:])))
    expected[2] = QPOS[2] * 1000 + 7
    np.testing.assert_allclose(answer.seen[0]["qpos"], expected, rtol=1e-6)
    np.testing.assert_allclose(chunk.actions, np.deg2rad(actions(0)))


def test_a_prefix_is_not_sent(backend: Connect):
    answer = PlainActServer()
    prefix = Prefix(COMMANDS[:1], np.array([[0.5]]), 0.25, 1)
    with serving(answer) as server:
        backend(server.port).infer(observation(), prefix)

    assert set(answer.seen[0]) == {"qpos", "images"}


def test_a_reset_reaches_the_server(backend: Connect):
    answer = PlainActServer()
    with serving(answer) as server:
        ours = backend(server.port)
        ours.connect()
        for _ in range(2):
            ours.infer(observation())
            ours.reset()
        np.testing.assert_array_equal(ours.infer(observation()).actions, actions(0))

    assert answer.resets == 3
    assert server.requests[0] == RESET


def test_a_reset_that_failed_is_owed(backend: Connect):
    answer = PlainActServer()
    replies = [DONE, b"nonsense"]

    def once_wrong(request: bytes) -> bytes:
        right = answer(request)
        return replies.pop(0) if request == RESET and replies else right

    with serving(once_wrong) as server:
        ours = backend(server.port)
        ours.infer(observation())
        with pytest.raises(WireFormatError, match=r"instruction .* is refused"):
            ours.reset()
        np.testing.assert_array_equal(ours.infer(observation()).actions, actions(0))

    assert answer.resets == 3


def test_only_one_action_can_be_wanted(backend: Connect):
    with serving(PlainActServer()) as server:
        ours = backend(server.port, POLICY.replace("horizon: 1", "horizon: 8"))
        with pytest.raises(ConfigError, match=r"act\.yaml: horizon: must be 1, .* found 8"):
            ours.connect()
        assert server.requests == []


def test_past_images_cannot_be_shown(backend: Connect):
    text = POLICY.replace("camera: main", "camera: main, delta_indices: [-1, 0]")
    text = text.replace("camera: left", "camera: left, delta_indices: [-1, 0]")
    text = text.replace("camera: under", "camera: under, delta_indices: [-1, 0]")
    with serving(PlainActServer()) as server:
        with pytest.raises(ConfigError, match=r"delta_indices: an ACT server is .* \[-1, 0\]"):
            backend(server.port, text).connect()
        assert server.requests == []


@pytest.mark.parametrize(("values", "uncommanded"), [(8, 8), (16, 0), (16, 7), (12, 8)])
def test_an_action_of_another_length_is_refused(backend: Connect, values: int, uncommanded: int):
    with serving(PlainActServer(values)) as server:
        ours = backend(server.port, uncommanded=uncommanded)
        with pytest.raises(
            ActionError,
            match=rf"answers with {values} values; .*act\.yaml names 8, and backend\.uncommanded"
            rf" says that {uncommanded} follow",
        ):
            ours.infer(observation())


def test_a_server_of_positions_alone(backend: Connect):
    with serving(PlainActServer(8)) as server:
        chunk = backend(server.port, uncommanded=0).infer(observation())

    np.testing.assert_array_equal(chunk.actions, actions(0))


def test_the_servers_own_words_are_passed_on(backend: Connect):
    text = POLICY.replace("rgb_main:", "rgb_front:")
    with serving(PlainActServer()) as server:
        ours = backend(server.port, text)
        for _ in range(2):
            with pytest.raises(RemotePolicyError, match="server says: KeyError: 'rgb_main'"):
                ours.infer(observation())


NAN = np.full(16, np.nan)


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        ({"status": "OK", "action": NAN}, ActionError, "left_joint_1/position is nan; every"),
        ({"status": "OK"}, WireFormatError, r"action must be an array \(D,\) of numbers"),
        ({"status": "OK", "action": print}, WireFormatError, "'print' is named, which is refused"),
        ({"status": "BUSY"}, WireFormatError, "a reply must be a dict with status 'OK'"),
    ],
)
def test_a_bad_answer_makes_no_chunk(
    backend: Connect, reply: dict[str, Any], kind: type[Exception], text: str
):
    answer = PlainActServer()
    answer.instead = reply
    with serving(answer) as server:
        ours = backend(server.port)
        with pytest.raises(kind, match=text):
            ours.infer(observation())


def test_no_call_blocks_longer_than_its_time(backend: Connect):
    answer = PlainActServer()
    with serving(lambda request: answer(request) if request == RESET else None) as server:
        ours = backend(server.port, timeout_s=0.2)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(BackendSilent, match="gave no answer within"):
            ours.infer(observation())
        for call in (ours.reset, lambda: ours.infer(observation())):
            with pytest.raises(BackendSilent, match="still busy with an earlier request"):
                call()
        assert time.monotonic() - started_s < 2.0
        assert len(server.requests) == 2


def test_a_server_that_was_started_again_is_told_of_the_episode(backend: Connect):
    with serving(PlainActServer()) as server:
        ours = backend(server.port)
        ours.connect()
        ours.infer(observation())
    with pytest.raises(BackendUnavailable, match="nobody listens"):
        ours.infer(observation())
    answer = PlainActServer()
    with serving(answer, port=server.port):
        time.sleep(0.05)
        np.testing.assert_array_equal(ours.infer(observation()).actions, actions(0))

    assert answer.resets == 1


def test_a_connection_may_be_made_again_and_again(backend: Connect):
    answer = PlainActServer()
    with serving(answer) as server:
        ours = backend(server.port)
        for _ in range(2):
            ours.connect()
            ours.connect()
            ours.infer(observation())
            ours.close()
            ours.close()

    assert (answer.resets, len(answer.seen)) == (4, 2)


def test_an_observation_that_lacks_a_camera_is_not_sent(backend: Connect):
    with serving(PlainActServer()) as server:
        with pytest.raises(ConfigError, match="camera left is not in the observation"):
            backend(server.port).infer(observation(images={"main": IMAGES["rgb_main"]}))
        assert server.requests == []
