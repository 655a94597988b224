# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import pickle
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from test.support.gr00t_samples import INSTRUCTION, POLICY, STAMP_NS, moves, observation, robot
from test.support.gr00t_samples import policy as policy_from
from test.support.grpc_peers import serving
from test.support.lerobot_peers import (
    CHECKPOINT,
    LEROBOT_POLICY,
    STATE,
    StockServer,
    answer_to,
)
from test.support.tcp_proxy import TcpProxy
from vla_ros.backends.lerobot_grpc import Backend, LeRobotConfig
from vla_ros.backends.registry import backend_class
from vla_ros.core.errors import (
    ActionError,
    BackendSilent,
    BackendUnavailable,
    ConfigError,
    RemotePolicyError,
    VlaRosError,
    WireFormatError,
)
from vla_ros.core.observation import ObservationRequest, Prefix
from vla_ros.wire.lerobot.actions import TimedActions, encode_actions
from vla_ros.wire.lerobot.features import LeRobotFeatures, features_from
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.observation import TimedObservation
from vla_ros.wire.lerobot.protobuf import encode_data

STEP_NS = round(1e9 / 30)
LONG_S = 10.0
LOAD = ["Ready", "SendPolicyInstructions"]
INFER = ["SendObservations", "GetActions"]
PATHS = [READY, SEND_POLICY_INSTRUCTIONS, SEND_OBSERVATIONS, GET_ACTIONS]

Connect = Callable[..., Backend]


@pytest.fixture
def backend() -> Iterator[Connect]:
    made: list[Backend] = []

    def make(port: int, text: str = LEROBOT_POLICY, **config: Any) -> Backend:
        settings = {"port": port, "timeout_s": LONG_S, **config}
        clock = itertools.count(100)
        made.append(
            Backend(
                LeRobotConfig(**settings),
                robot=robot(),
                policy=policy_from(text),
                now_ns=lambda: next(clock),
            )
        )
        return made[-1]

    yield make
    for item in made:
        item.close()


def at(step: float) -> int:
    """A stamp so many steps after the first one."""
    return STAMP_NS + round(step * STEP_NS)


def works(ours: Backend) -> None:
    np.testing.assert_allclose(ours.infer(observation()).actions, moves())


def test_the_server_is_made_ready_and_told_what_to_load(backend: Connect):
    stock = StockServer()
    with serving(stock) as server:
        info = backend(server.port).connect()

        assert server.methods == LOAD
    assert info.description == (
        f"LeRobot policy server at 127.0.0.1:{server.port}, act {CHECKPOINT}"
    )
    assert (info.prefix, info.max_batch) == ("none", 1)
    [setup] = stock.setups
    assert (setup.policy_type, setup.checkpoint, setup.device) == ("act", CHECKPOINT, "cuda")
    assert (setup.actions_per_chunk, setup.rename_map) == (16, {})
    cameras = {"front": (3, 4), "wrist": (3, 4)}
    assert features_from(setup.features) == LeRobotFeatures(STATE, cameras)


def test_the_device_may_be_another_one(backend: Connect):
    stock = StockServer()
    with serving(stock) as server:
        backend(server.port, device="mps").connect()
    assert stock.setups[0].device == "mps"


def test_an_observation_goes_out_and_its_actions_come_back(backend: Connect):
    request = ObservationRequest(request_id=7, epoch=2, stamp_ns=5, must_go=False)
    prefix = Prefix(("claw/position",), np.array([[0.5]]), 0.25, 8)
    stock = StockServer()
    with serving(stock) as server:
        ours = backend(server.port)
        ours.connect()
        chunk = ours.infer(observation(request=request), prefix)

        assert server.methods == [*LOAD, *INFER]
    [seen] = stock.seen
    assert seen.timestep == 0
    assert seen.timestamp == pytest.approx(STAMP_NS * 1e-9, abs=1e-6)
    assert seen.must_go
    assert list(seen.values) == [*STATE, "front", "wrist", "task"]
    assert [seen.values[name] for name in STATE] == [0.0, 0.125, 0.25, 0.375, 0.5, 0.75]
    np.testing.assert_array_equal(seen.values["front"], observation().images["head"])
    np.testing.assert_array_equal(seen.values["wrist"], observation().images["hand"])
    assert seen.values["task"] == INSTRUCTION
    np.testing.assert_array_equal(chunk.actions, moves())
    assert (chunk.stamp_ns, chunk.step_ns) == (STAMP_NS, STEP_NS)
    assert (chunk.request_id, chunk.epoch, chunk.timing.requested_ns) == (7, 2, 5)
    assert (chunk.timing.sent_ns, chunk.timing.received_ns) == (100, 101)


def test_units_and_order_of_the_policy_are_kept(backend: Connect):
    text = LEROBOT_POLICY.replace(
        "action: {single_arm: {interfaces: [joint_0/position, joint_1/position, joint_2/position,"
        " joint_3/position, joint_4/position], unit: rad}, gripper: {interfaces: [claw/position],"
        " unit: rad}}",
        "action: {gripper: {interfaces: [claw/position], unit: affine, scale: [10], offset: [1]},"
        " single_arm: {interfaces: [joint_4/position, joint_3/position, joint_2/position,"
        " joint_1/position, joint_0/position], unit: degree}}",
    )
    assert text != LEROBOT_POLICY
    sent = np.tile(np.float32([6, 90, 0, 0, 0, 180]), (16, 1))
    with serving(StockServer(lambda seen: answer_to(seen, sent))) as server:
        chunk = backend(server.port, text).infer(observation())
    assert chunk.names == (
        "claw/position",
        *(f"joint_{index}/position" for index in range(4, -1, -1)),
    )
    np.testing.assert_allclose(chunk.actions[3], [0.5, np.pi / 2, 0, 0, 0, np.pi])


def test_images_of_several_parts_arrive_whole(backend: Connect):
    images = {
        name: np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        for name in ("head", "hand")
    }
    stock = StockServer()
    with serving(stock) as server:
        backend(server.port).infer(observation(images=images))
    np.testing.assert_array_equal(stock.seen[0].values["front"], images["head"])
    np.testing.assert_array_equal(stock.seen[0].values["wrist"], images["hand"])


def test_observations_are_labelled_with_the_step_to_come(backend: Connect):
    stock = StockServer()
    with serving(stock) as server:
        ours = backend(server.port)
        for step in (0, 3, 7.4, 7.6, 8.2, 2, 30):
            ours.infer(observation(stamp_ns=at(step)))
        # Two observations of one step, or a clock that went back: no label comes twice.
        assert [seen.timestep for seen in stock.seen] == [0, 3, 7, 8, 9, 10, 30]

        ours.reset()
        ours.infer(observation(stamp_ns=at(100)))
        ours.infer(observation(stamp_ns=at(101)))
        assert [seen.timestep for seen in stock.seen[-2:]] == [0, 1]
        assert server.methods == [*LOAD, *INFER * 7, "Ready", *INFER * 2]
        assert all(seen.must_go for seen in stock.seen)


def test_answers_to_older_observations_are_passed_over(backend: Connect):
    old = [TimedObservation(1.0, step, {}, True) for step in (3, 4)]
    answers = [answer_to(old[0]), answer_to(old[1])]
    stock = StockServer()

    def answer(method: str, *rest: Any) -> bytes:
        if method == GET_ACTIONS and answers:
            return answers.pop()
        return stock(method, *rest)

    with serving(answer) as server:
        ours = backend(server.port)
        ours.connect()
        works(ours)
        assert server.methods == [*LOAD, "SendObservations", *["GetActions"] * 3]


def test_who_gives_nothing_but_older_answers_is_silent(backend: Connect):
    stock, fine = StockServer(), threading.Event()

    def answer(method: str, *rest: Any) -> bytes:
        if method == GET_ACTIONS and not fine.is_set():
            return answer_to(TimedObservation(1.0, 99, {}, True))
        return stock(method, *rest)

    with serving(answer) as server:
        ours = backend(server.port, timeout_s=0.3)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(
            BackendSilent, match=r"gave (actions for other|no answer to GetActions)"
        ):
            ours.infer(observation())
        assert time.monotonic() - started_s < 1.0
        fine.set()
        works(ours)


def test_nothing_at_all_is_an_error_of_the_policy(backend: Connect):
    stock = StockServer(lambda _: None)
    with serving(stock) as server:
        ours = backend(server.port)
        ours.connect()
        with pytest.raises(RemotePolicyError, match=r"answered with nothing: .* its log says why"):
            ours.infer(observation())
        stock.act = answer_to
        works(ours)


def actions(values: np.ndarray, steps: list[int] | None = None) -> bytes:
    """A message with actions for the first observation."""
    count = len(values)
    given = np.arange(count) if steps is None else np.array(steps)
    return encode_data(encode_actions(TimedActions(np.zeros(count), given, values)))


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("import sys; sys.hacked = True",))


NAN = moves().copy()
NAN[3, 1] = np.nan


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (actions(moves()[:8]), ActionError, r"must be \(16, 6\), for joint_0.pos, .* \(8, 6\)"),
        (actions(moves()[:, :4]), ActionError, r"must be \(16, 6\), for .* found \(16, 4\)"),
        (actions(NAN), ActionError, "action 3 of joint_1/position is nan; every action must be"),
        (actions(moves(), [0, *range(2, 17)]), WireFormatError, "of step 0 and those that follow"),
        (encode_data(pickle.dumps([])), WireFormatError, "must be a list of 1 or more"),
        (encode_data(pickle.dumps(Evil())), WireFormatError, "exec"),
        (encode_data(b"garbage"), WireFormatError, "pickle"),
        (b"\xff\xff", WireFormatError, "protobuf"),
        (actions(moves())[:500], WireFormatError, r"\d+ bytes are claimed, \d+ are there"),
    ],
)
def test_a_bad_answer_makes_no_chunk_and_the_next_is_taken(
    backend: Connect, reply: bytes, kind: Any, text: str
):
    stock = StockServer(lambda _: reply)
    with serving(stock) as server:
        ours = backend(server.port, timeout_s=1.0)
        ours.connect()
        started_s = time.monotonic()
        with pytest.raises(kind, match=text):
            ours.infer(observation())
        assert time.monotonic() - started_s < 2.0
        stock.act = answer_to
        works(ours)
    assert not hasattr(sys, "hacked")


@pytest.mark.parametrize("method", PATHS)
def test_a_server_that_hangs_is_silent_and_then_asked_on(backend: Connect, method: str):
    stock, go = StockServer(), threading.Event()
    stock.hooks[method] = lambda: go.wait(LONG_S)
    with serving(stock) as server:
        ours = backend(server.port, timeout_s=0.3)
        for _ in range(3):
            started_s = time.monotonic()
            with pytest.raises(BackendSilent):
                ours.infer(observation())
            assert time.monotonic() - started_s < 0.8
        # It is not asked again while it is busy. What is sent is cut off, and may be sent again.
        assert server.most == 1 or method == SEND_OBSERVATIONS
        go.set()
        works(ours)
        assert len(stock.setups) == 1


def test_a_server_that_is_slow_to_load_is_waited_for(backend: Connect):
    stock, go = StockServer(), threading.Event()
    stock.hooks[SEND_POLICY_INSTRUCTIONS] = lambda: go.wait(LONG_S)
    with serving(stock) as server:
        ours = backend(server.port, timeout_s=0.2)
        with pytest.raises(BackendSilent, match="no answer to SendPolicyInstructions"):
            ours.infer(observation())
        with pytest.raises(BackendSilent, match="busy with an earlier SendPolicyInstructions"):
            ours.reset()
        loading = threading.Timer(0.4, go.set)
        loading.start()
        ours.connect()
        loading.join()
        works(ours)
        assert server.methods == [*LOAD, "Ready", *INFER]


def test_a_policy_that_takes_too_long_to_load_is_given_up(backend: Connect):
    stock, go = StockServer(), threading.Event()
    stock.hooks[SEND_POLICY_INSTRUCTIONS] = lambda: go.wait(LONG_S)
    with serving(stock) as server:
        ours = backend(server.port, load_timeout_s=0.3)
        with pytest.raises(BackendSilent, match="no answer to SendPolicyInstructions"):
            ours.connect()
        go.set()
        works(ours)


def test_why_a_policy_is_not_loaded_is_passed_on(backend: Connect):
    def fail() -> None:
        raise ValueError("Policy type zebra not supported")

    stock = StockServer()
    stock.hooks[SEND_POLICY_INSTRUCTIONS] = fail
    with serving(stock) as server:
        ours = backend(server.port)
        for _ in range(2):
            with pytest.raises(RemotePolicyError, match=r"SendPolicyInstructions: .*type zebra"):
                ours.connect()
        with pytest.raises(RemotePolicyError, match="type zebra"):
            ours.infer(observation())
        del stock.hooks[SEND_POLICY_INSTRUCTIONS]
        works(ours)


def test_why_it_is_not_loaded_is_passed_on_later_too(backend: Connect):
    go = threading.Event()

    def fail() -> None:
        assert go.wait(LONG_S)
        raise ValueError("Policy type zebra not supported")

    stock = StockServer()
    stock.hooks[SEND_POLICY_INSTRUCTIONS] = fail
    with serving(stock) as server:
        ours = backend(server.port, timeout_s=0.2)
        with pytest.raises(BackendSilent):
            ours.infer(observation())
        go.set()
        with pytest.raises(RemotePolicyError, match="type zebra"):
            ours.connect()


@pytest.mark.parametrize("method", PATHS)
def test_a_server_that_dies_is_noticed_and_found_again(backend: Connect, method: str):
    stock, dead = StockServer(), threading.Event()
    with serving(stock) as server, TcpProxy(server.port) as network:

        def die() -> None:
            network.cut()
            dead.set()

        stock.hooks[method] = die
        ours = backend(network.port)
        with pytest.raises(BackendUnavailable):
            ours.infer(observation())
        assert dead.wait(LONG_S)
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="refused"):
            ours.infer(observation())
        assert time.monotonic() - started_s < 2.0
        stock.hooks.clear()
        network.mend()
        works(ours)


def test_a_server_that_was_started_anew_loads_the_policy_again(backend: Connect):
    with serving(StockServer()) as server:
        ours = backend(server.port)
        works(ours)
    with pytest.raises(BackendUnavailable):
        ours.infer(observation())
    with serving(StockServer(), port=server.port) as second:
        works(ours)
        assert second.methods == [*LOAD, *INFER]


def test_a_server_that_was_started_anew_unnoticed_loads_the_policy_again(backend: Connect):
    with serving(StockServer()) as server:
        ours = backend(server.port)
        ours.connect()
    with serving(StockServer(), port=server.port) as second:
        time.sleep(0.2)  # what loading took, ten times and more
        assert until_it_works(ours) in ([], [RemotePolicyError], [BackendUnavailable])
        assert second.methods[-4:] == [*LOAD, *INFER]


def until_it_works(ours: Backend) -> list[type[VlaRosError]]:
    """With what it failed before."""
    errors = []
    for _ in range(3):
        try:
            works(ours)
        except VlaRosError as error:
            errors.append(type(error))
        else:
            break
    return errors


def test_a_policy_that_goes_on_failing_is_not_loaded_all_the_time(backend: Connect):
    stock = StockServer(lambda _: None)
    stock.hooks[SEND_POLICY_INSTRUCTIONS] = lambda: time.sleep(0.2)
    with serving(stock) as server:
        ours = backend(server.port)
        for _ in range(5):
            with pytest.raises(RemotePolicyError, match="answered with nothing"):
                ours.infer(observation())
        assert len(stock.setups) == 1


def test_a_network_that_swallows_everything_ends_in_time(backend: Connect):
    stock = StockServer()
    with serving(stock) as server, TcpProxy(server.port) as network:
        ours = backend(network.port, timeout_s=0.3)
        ours.connect()
        network.swallow()
        for _ in range(3):
            started_s = time.monotonic()
            with pytest.raises(BackendSilent):
                ours.infer(observation())
            assert time.monotonic() - started_s < 0.8
        network.mend()
        works(ours)


def test_an_old_answer_that_never_comes_is_waited_for_so_long(backend: Connect):
    stock, go = StockServer(), threading.Event()
    stock.hooks[GET_ACTIONS] = lambda: go.wait(LONG_S)
    stock.wait_s = 0.05
    with serving(stock) as server:
        ours = backend(server.port, timeout_s=0.2, drain_timeout_s=0.5)
        for _ in range(4):
            with pytest.raises(BackendSilent):
                ours.infer(observation())
        # So long a silence may be the network's: a new connection was made.
        assert len(stock.setups) == 2
        go.set()
        # The call that nobody waits for any more may take the observation away.
        assert until_it_works(ours) in ([], [RemotePolicyError])


def test_connecting_again_loads_nothing_again(backend: Connect):
    stock = StockServer()
    with serving(stock) as server:
        ours = backend(server.port)
        ours.connect()
        ours.connect()
        assert server.methods == [*LOAD, "Ready"]
        ours.close()
        ours.close()
        ours.connect()
        assert server.methods == [*LOAD, "Ready", *LOAD]


def test_nobody_there_is_named(backend: Connect):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ours = backend(port)
    for _ in range(2):
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match=rf"127\.0\.0\.1:{port}: .*refused"):
            ours.connect()
        with pytest.raises(BackendUnavailable, match="refused"):
            ours.reset()
        assert time.monotonic() - started_s < 2.0


def test_an_address_of_ipv6_is_understood(backend: Connect):
    with pytest.raises(BackendUnavailable, match=r"^\[::1\]:1: .*(refused|unreachable|route)"):
        backend(1, host="::1").connect()


def test_an_observation_that_lacks_a_camera_is_not_sent(backend: Connect):
    with serving(StockServer()) as server:
        with pytest.raises(ConfigError, match="camera hand is not in the observation"):
            backend(server.port).infer(observation(images={"head": np.zeros((3, 4, 3), np.uint8)}))
        assert server.methods == []


def test_a_policy_that_is_none_of_lerobots_is_refused(backend: Connect):
    with pytest.raises(ConfigError, match=r"policy\.yaml: backend lerobot_grpc needs the section"):
        backend(1, POLICY)


def test_a_machine_without_grpc_is_told(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    for name in ("lerobot_grpc", "_grpc_channel"):
        monkeypatch.delitem(sys.modules, f"vla_ros.backends.{name}")
    with pytest.raises(ConfigError, match=r"backend 'lerobot_grpc' needs a Python package .*grpc"):
        backend_class("lerobot_grpc")
