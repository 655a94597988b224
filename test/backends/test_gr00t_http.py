# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.gr00t_samples import (
    INSTRUCTION,
    NAMES,
    PAST_POLICY,
    POLICY,
    STAMP_NS,
    moves,
    observation,
    past_observation,
    policy,
    robot,
)
from test.support.http_peers import Answer, Asked, answering, nvidia, running, told
from vla_ros.backends.gr00t_http import Backend, HttpConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    WireFormatError,
)
from vla_ros.core.observation import Observation, ObservationRequest, Prefix
from vla_ros.wire.gr00t.http import MSGPACK

Make = Callable[..., Backend]
HEALTHY = told(200, {"status": "healthy"})


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[Backend] = []

    def backend(port: int, text: str = POLICY, **config: Any) -> Backend:
        settings = {"port": port, "timeout_s": 10.0, "backoff_s": 0.01, **config}
        clock = itertools.count(100)
        made.append(
            Backend(
                HttpConfig(**settings),
                robot=robot(),
                policy=policy(text),
                now_ns=lambda: next(clock),
            )
        )
        return made[-1]

    yield backend
    for item in made:
        item.close()


def test_nvidias_server_is_spoken_with_as_it_wants(make: Make):
    with answering(nvidia) as peer:
        ours = make(peer.port)
        info = ours.connect()
        chunk = ours.infer(observation())

    assert info.description == (
        f"GR00T HTTP server at http://127.0.0.1:{peer.port}, model GR00T, application/json"
    )
    np.testing.assert_array_equal(chunk.actions, moves())
    assert (chunk.names, chunk.stamp_ns) == (NAMES, STAMP_NS)
    assert (chunk.timing.sent_ns, chunk.timing.received_ns) == (101, 102)
    assert peer.paths == ["/health", "/act"]
    assert len({asked.client for asked in peer.asked}) == 1


def test_nvidias_server_knows_no_reset_and_is_not_blamed_for_it(make: Make):
    with answering(nvidia) as peer:
        ours = make(peer.port)
        ours.reset()
        np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
    assert peer.paths == ["/health", "/reset", "/act"]


def test_nvidias_errors_arrive_in_its_own_words(make: Make):
    with answering(nvidia) as peer:
        other = POLICY.replace("video: {front", "video: {side")
        with pytest.raises(
            RemotePolicyError, match=r"says: 500: Internal server error: 'video\.fro"
        ):
            make(peer.port, other).infer(observation())
        with pytest.raises(RemotePolicyError, match="says: 422: list"):
            make(peer.port, encoding="msgpack").infer(observation())
        missing = POLICY.replace("action: {single_arm: ", "action: {other_arm: ")
        with pytest.raises(ActionError, match="'other_arm' is missing; the answer has gripper"):
            make(peer.port, missing).infer(observation())


@pytest.mark.parametrize(("encoding", "spoken"), [("json", "json"), ("auto", "msgpack")])
def test_our_server_sees_what_was_shown(make: Make, encoding: str, spoken: str):
    backend = GoldenBackend()
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=STAMP_NS, must_go=False)
    prefix = Prefix(NAMES, np.ones((3, 6)), 0.25, 8)
    with running(backend) as server:
        ours = make(server.port, encoding=encoding)
        assert ours.connect().description.endswith(f"six_joints_policy, application/{spoken}")
        chunk = ours.infer(observation(request=request), prefix)

    np.testing.assert_array_equal(chunk.actions, moves())
    assert (chunk.request_id, chunk.epoch) == (7, 2)
    (seen,), (told_prefix,) = backend.seen, backend.prefixes
    assert (seen.stamp_ns, seen.instruction, seen.request) == (STAMP_NS, INSTRUCTION, request)
    assert seen.state_names == NAMES
    np.testing.assert_array_equal(seen.state, observation().state)
    for camera, image in observation().images.items():
        np.testing.assert_array_equal(seen.images[camera], image)
    assert told_prefix is not None
    np.testing.assert_array_equal(told_prefix.actions, np.ones((3, 6)))


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_a_policy_may_look_at_the_past(make: Make, encoding: str):
    backend = GoldenBackend(policy=policy(PAST_POLICY))
    with running(backend) as server:
        make(server.port, PAST_POLICY, encoding=encoding).infer(past_observation())
    for name, image in past_observation().images.items():
        np.testing.assert_array_equal(backend.seen[0].images[name], image)


def test_an_episode_is_the_clients_own_and_a_reset_reaches_it(make: Make):
    first = OwnBackend()
    with running(first) as server:
        a, b = make(server.port), make(server.port)
        for _ in range(2):
            a.infer(observation())
            b.reset()
        a.connect()
        a.infer(observation())
    assert [len(one.seen) for one in first.family] == [0, 2, 0, 1]
    assert [one.resets for one in first.family] == [0, 0, 2, 0]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_who_does_not_know_the_token_is_told(make: Make, token: str):
    with running(GoldenBackend(), api_token="secret") as server:
        with pytest.raises(RemotePolicyError, match=r"401: Unauthorized.*api_token is missing or"):
            make(server.port, api_token=token).connect()
        np.testing.assert_array_equal(
            make(server.port, api_token="secret").infer(observation()).actions, moves()
        )


def test_the_policys_errors_arrive(make: Make):
    backend = GoldenBackend()
    with running(backend) as server:
        ours = make(server.port)
        backend.error = RemotePolicyError("the camera policy is asleep")
        for ask in (lambda: ours.infer(observation()), ours.reset):
            with pytest.raises(RemotePolicyError, match="500: the camera policy is asleep"):
                ask()
        backend.error = None
        ours.infer(observation())


class Slow(GoldenBackend):
    """Thinks until it is told to answer."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        assert self.go.wait(10)
        return super().infer(observation, prefix)


def test_an_answer_that_is_late_is_told_in_time_and_not_taken_for_the_next(make: Make):
    backend = Slow()
    with running(backend) as server:
        ours = make(server.port, timeout_s=0.3)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(BackendSilent, match="gave no answer"):
            ours.infer(observation())
        with pytest.raises(BackendSilent, match="still busy with an earlier request"):
            ours.infer(observation(stamp_ns=STAMP_NS + 1))
        assert time.monotonic() - started_s < 1.5
        backend.go.set()
        assert ours.infer(observation(stamp_ns=STAMP_NS + 2)).stamp_ns == STAMP_NS + 2
    assert [seen.stamp_ns for seen in backend.seen] == [STAMP_NS, STAMP_NS + 2]


def test_a_server_that_is_restarted_is_found_and_asked_anew_what_it_reads(make: Make):
    with running(GoldenBackend()) as server:
        ours = make(server.port, backoff_max_s=0.05)
        assert ours.connect().description.endswith(MSGPACK)
        ours.infer(observation())
    with pytest.raises(BackendUnavailable):
        ours.infer(observation())
    with answering(nvidia, port=server.port) as peer:
        time.sleep(0.1)
        np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
    assert peer.paths == ["/health", "/act"]


def test_closing_twice_does_nothing(make: Make):
    with answering(nvidia) as peer:
        ours = make(peer.port)
        ours.close()
        ours.connect()
        ours.close()
        ours.close()
        ours.infer(observation())
    assert peer.paths == ["/health", "/health", "/act"]


def by_path(**answers: Answer) -> Callable[[Asked], Answer]:
    return lambda asked: answers.get(asked.path[1:], HEALTHY)


@pytest.mark.parametrize(
    ("health", "kind", "text"),
    [
        (told(200, [1]), WireFormatError, "/health must give a map, found list"),
        ((200, b"hello", {}), WireFormatError, "message is not JSON"),
        (told(404, {"detail": "Not Found"}), RemotePolicyError, "says: 404: Not Found"),
        (told(503, {"detail": "loading"}), BackendUnavailable, "says: 503: loading"),
    ],
)
def test_what_is_no_gr00t_server_is_told(make: Make, health: Answer, kind: Any, text: str):
    with answering(by_path(health=health)) as peer, pytest.raises(kind, match=text):
        make(peer.port).connect()


@pytest.mark.parametrize("types", [None, "application/msgpack", [], ["text/plain"]])
def test_what_knows_no_msgpack_gets_json(make: Make, types: Any):
    health = told(200, {"content_types": types})
    with answering(by_path(health=health)) as peer:
        assert make(peer.port).connect().description.endswith("model GR00T, application/json")


def arm(value: Any) -> Answer:
    return told(200, {"action.single_arm": value, "action.gripper": moves()[:, 5:].tolist()})


def test_actions_may_come_as_lists(make: Make):
    with answering(by_path(act=arm(moves()[:, :5].tolist()))) as peer:
        np.testing.assert_array_equal(make(peer.port).infer(observation()).actions, moves())


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (arm(moves()[:8, :5].tolist()), ActionError, r"must be \(16, 5\) numbers .*found \(8, 5\)"),
        (arm("x"), WireFormatError, "'single_arm' must be"),
        (arm([[float("nan")] * 5] * 16), ActionError, "must be finite"),
        (told(200, [1]), WireFormatError, "the actions must be a map; found list"),
        ((200, b"\x93", {}), WireFormatError, "message is not JSON"),
        ((200, b"\x93", {"Content-Type": MSGPACK}), WireFormatError, "message is not msgpack"),
    ],
)
def test_an_answer_that_is_none_is_refused(make: Make, answer: Answer, kind: Any, text: str):
    with answering(by_path(act=answer)) as peer:
        ours = make(peer.port)
        with pytest.raises(kind, match=text):
            ours.infer(observation())


def test_an_observation_that_lacks_something_is_not_sent(make: Make):
    with answering(nvidia) as peer:
        with pytest.raises(ConfigError, match="camera head is not in the observation"):
            make(peer.port).infer(observation(images={}))
        assert peer.paths == []
