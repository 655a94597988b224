# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from test.support.golden_backend import GoldenBackend, OwnBackend
from test.support.gr00t_samples import moves, observation, policy, robot
from test.support.lerobot_client import Client, answered, setup, shown
from test.support.lerobot_peers import CHECKPOINT, LEROBOT_POLICY, STATE
from test.support.running_front import RunningFront
from vla_ros.backends.base import PolicyInfo
from vla_ros.backends.lerobot_grpc import Backend, LeRobotConfig
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.errors import ActionError, BackendUnavailable, ConfigError
from vla_ros.core.observation import Observation, Prefix
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.serving import grpc_front
from vla_ros.serving.grpc_front import GrpcFront
from vla_ros.serving.lerobot_service import MAX_CLIENTS, LeRobotService
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.sessions import Sessions
from vla_ros.wire.lerobot.methods import GET_ACTIONS, READY, STILL_THERE
from vla_ros.wire.lerobot.protobuf import encode_data, observation_parts

MAX_BYTES = 6_000_000
LONG_S = 10.0
Code = grpc.StatusCode


class Slow(GoldenBackend):
    """Thinks until it is told to answer, and notes which thread asked."""

    def __init__(self) -> None:
        super().__init__(policy=policy(LEROBOT_POLICY))
        self.go = threading.Event()
        self.thinking = threading.Event()
        self.threads: set[int] = set()
        self.closed = False

    def connect(self) -> PolicyInfo:
        self.threads.add(threading.get_ident())
        return super().connect()

    def infer(self, observation: Observation, prefix: Prefix | None = None) -> ActionChunk:
        self.threads.add(threading.get_ident())
        self.thinking.set()
        assert self.go.wait(LONG_S)
        return super().infer(observation, prefix)

    def close(self) -> None:
        self.threads.add(threading.get_ident())
        self.closed = True


class Running(RunningFront):
    """One with a service over a backend."""

    def __init__(self, backend: GoldenBackend, *, ready: bool = True, **options: Any) -> None:
        worker = PolicyWorker(Sessions(backend), **options)
        super().__init__(front(worker, policy_=backend.policy), worker, ready=ready)


def front(
    worker: PolicyWorker, *, policy_: PolicySpec, host: str = "127.0.0.1", port: int = 0
) -> GrpcFront:
    service = LeRobotService(policy_, max_bytes=MAX_BYTES)
    return GrpcFront(service, worker, host=host, port=port, max_bytes=MAX_BYTES)


Run = Callable[..., Running]
Connect = Callable[[Running], Client]


@pytest.fixture
def run() -> Iterator[Run]:
    started: list[Running] = []

    def start(backend: GoldenBackend | None = None, **options: Any) -> Running:
        started.append(Running(backend or golden(), **options))
        return started[-1]

    yield start
    for item in started:
        item.stop()


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[Client] = []

    def to(running: Running) -> Client:
        made.append(Client(running.front.address))
        return made[-1]

    yield to
    for client in made:
        client.close()


@pytest.fixture(autouse=True)
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_front, "_ACTIONS_WAIT_S", 0.3)


def golden() -> GoldenBackend:
    return GoldenBackend(policy=policy(LEROBOT_POLICY))


def refused(call: Callable[[], object], code: grpc.StatusCode, text: str) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as error:
        call()
    assert (error.value.code(), text in error.value.details()) == (code, True), error.value
    return error.value


def works(client: Client, timestep: int = 0) -> None:
    np.testing.assert_array_equal(client.first(timestep, must_go=True), moves()[0])


def test_a_client_is_served_as_lerobots_own(run: Run, connect: Connect):
    backend = golden()
    client = connect(run(backend))
    client.ready()
    client.set_up()
    for timestep in (0, 8, 16):
        client.send(timestep)
        answer = client.actions()
        assert answer is not None
        np.testing.assert_array_equal(answer.actions, moves())
        np.testing.assert_array_equal(answer.timesteps, timestep + np.arange(16))
    assert backend.resets == 1
    assert len(backend.seen) == 3


def test_each_connection_has_an_episode_of_its_own(run: Run, connect: Connect):
    first = OwnBackend(policy=policy(LEROBOT_POLICY))
    running = run(first)
    a, b = connect(running), connect(running)
    for client in (a, b):
        client.ready()
    for timestep in range(3):
        works(a, timestep)
    b.ready()
    works(connect(running))
    running.stop()

    assert [len(one.seen) for one in first.family] == [0, 3, 0, 1]
    assert [one.resets for one in first.family] == [0, 1, 2, 0]
    assert [(one.connects, one.closes) for one in first.family] == [(1, 1)] * 4


def test_who_shows_nothing_gets_nothing_after_a_while(run: Run, connect: Connect):
    client = connect(run())
    started_s = time.monotonic()
    assert client.actions() is None
    assert 0.3 <= time.monotonic() - started_s < 2.0
    works(client)
    # A step that was answered is not answered again.
    client.send(0)
    assert client.actions() is None


def test_actions_that_are_waited_for_come_with_the_observation(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grpc_front, "_ACTIONS_WAIT_S", LONG_S)
    client = connect(run())
    waiting = client.begin(GET_ACTIONS, b"")
    client.send(3)
    answer = answered(waiting.result(LONG_S))
    assert answer is not None
    assert answer.timesteps[0] == 3


def test_only_the_newest_observation_is_answered(run: Run, connect: Connect):
    backend = golden()
    client = connect(run(backend))
    for timestep in range(5):
        client.send(timestep)
    answer = client.actions()
    assert answer is not None
    assert answer.timesteps[0] == 4
    assert client.actions() is None
    assert len(backend.seen) == 1


def test_an_observation_of_many_parts_arrives(run: Run, connect: Connect):
    image = np.random.default_rng(2).integers(0, 256, (1000, 1500, 3), dtype=np.uint8)
    backend = golden()
    client = connect(run(backend))
    parts = list(observation_parts(shown(front=image)))
    assert len(parts) == 3
    client.stream(parts)
    assert client.actions() is not None
    np.testing.assert_array_equal(backend.seen[0].images["head"], image)


def test_clients_have_sessions_of_their_own(run: Run, connect: Connect):
    running = run()
    first, second = connect(running), connect(running)
    for client, state, count in ((first, STATE, 16), (second, tuple(reversed(STATE)), 4)):
        client.ready()
        client.set_up(setup(state, count=count))
    first.send(10)
    second.send(20)
    answers = [client.actions() for client in (second, first)]
    assert [answer.timesteps[0] for answer in answers if answer] == [20, 10]
    assert [len(answer.actions) for answer in answers if answer] == [4, 16]
    np.testing.assert_array_equal(answers[0].actions[0], moves()[0][::-1])
    np.testing.assert_array_equal(answers[1].actions[0], moves()[0])
    # Somebody else's beginning takes nothing away.
    first.send(11)
    second.ready()
    answer = first.actions()
    assert answer is not None
    assert answer.timesteps[0] == 11


def test_many_clients_at_once_get_their_own_answers(run: Run, connect: Connect):
    running = run()
    failures: list[BaseException] = []

    def drive(index: int) -> None:
        client = connect(running)
        try:
            client.ready()
            client.set_up()
            for turn in range(10):
                works(client, 1000 * index + turn)
        except BaseException as error:  # noqa: BLE001 - the test raises it
            failures.append(error)

    threads = [threading.Thread(target=drive, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG_S)
    assert failures == []


class Evil:
    def __reduce__(self) -> Any:
        return (exec, ("import sys; sys.hacked = True",))


def test_garbage_is_refused_in_words_and_hurts_nobody(run: Run, connect: Connect):
    running = run()
    good, bad = connect(running), connect(running)
    good.ready()
    good.set_up()
    good.send(1)
    evil = pickle.dumps(Evil())
    big = observation_parts(bytes(MAX_BYTES + 1))
    for call, text in (
        (lambda: bad.set_up(b"\xff\xff"), "protobuf"),
        (lambda: bad.set_up(encode_data(evil)), "exec"),
        (lambda: bad.set_up(setup(STATE[:3])), "joint_3.pos, joint_4.pos, claw.pos is missing"),
        (lambda: bad.stream([b"\xff\xff"]), "protobuf"),
        (lambda: bad.stream(observation_parts(evil)), "exec"),
        (lambda: bad.stream(observation_parts(shown()[:-20])), ""),
        (lambda: bad.stream([]), "ended without a part END"),
        (lambda: bad.stream(list(observation_parts(bytes(5_000_000)))[:1]), "without a part END"),
        (lambda: bad.stream(list(observation_parts(bytes(5_000_000)))[1:]), "without a part BEGIN"),
        (lambda: bad.stream(big), "6000000 are allowed"),
        (lambda: bad.send(**{"claw.pos": float("nan")}), "claw/position is nan"),
        (lambda: bad.send(front="x"), "video key 'front' is missing"),
    ):
        refused(call, Code.INVALID_ARGUMENT, text)
    assert not hasattr(sys, "hacked")
    assert bad.actions() is None
    answer = good.actions()
    assert answer is not None
    assert answer.timesteps[0] == 1
    works(bad)


def test_a_part_beyond_grpcs_own_limit_is_refused(run: Run, connect: Connect):
    client = connect(run())
    refused(lambda: client.stream([bytes(5_000_000)]), Code.RESOURCE_EXHAUSTED, "larger than max")
    works(client)


def test_other_checkpoints_are_not_served(run: Run, connect: Connect):
    client = connect(run())
    client.ready()
    text = f"checkpoint 'someone/else' is not served here, but {CHECKPOINT}"
    refused(lambda: client.set_up(setup(checkpoint="someone/else")), Code.PERMISSION_DENIED, text)
    client.set_up()
    works(client)


def test_what_there_is_not_is_said(run: Run, connect: Connect):
    client = connect(run())
    refused(lambda: client.call("/transport.AsyncInference/Kill", b""), Code.UNIMPLEMENTED, "")
    refused(lambda: client.call("/other.Service/Ready", b""), Code.UNIMPLEMENTED, "")


def test_so_many_clients_are_served_and_no_more(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    running = run()
    clients = [connect(running) for _ in range(MAX_CLIENTS)]
    for client in clients:
        client.ready()
    late = connect(running)
    for call in (late.ready, late.set_up, late.send, late.actions):
        refused(call, Code.RESOURCE_EXHAUSTED, f"the server has {MAX_CLIENTS} clients")
    works(clients[0])

    monkeypatch.setattr("vla_ros.serving.lerobot_service.FORGOTTEN_AFTER_S", 0.2)
    assert eventually(lambda: admitted(late))


def admitted(client: Client) -> bool:
    try:
        client.ready()
    except grpc.RpcError:
        return False
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def test_who_sends_one_observation_for_ever_is_cut_off(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(grpc_front, "_STREAM_S", 0.2)
    monkeypatch.setattr(grpc_front, "_SWEEP_S", 0.1)
    client, done = connect(run()), threading.Event()

    def drip() -> Iterator[bytes]:
        yield next(observation_parts(bytes(5_000_000)))
        done.wait(LONG_S)

    started_s = time.monotonic()
    with pytest.raises(grpc.RpcError) as error:
        client.stream(drip())
    assert error.value.code() in (Code.CANCELLED, Code.INVALID_ARGUMENT)
    assert time.monotonic() - started_s < 2.0
    done.set()
    works(client)


def test_who_keeps_many_calls_open_leaves_room_for_others(run: Run, connect: Connect):
    running = run()
    greedy, other = connect(running), connect(running)
    calls = [greedy.begin(GET_ACTIONS, b"") for _ in range(200)]
    started_s = time.monotonic()
    for timestep in range(5):
        works(other, timestep)
    assert time.monotonic() - started_s < 2.0
    codes = [call.code() for call in calls]
    assert set(codes) <= {Code.OK, Code.RESOURCE_EXHAUSTED}
    assert codes.count(Code.RESOURCE_EXHAUSTED) > 100
    works(greedy)


def test_one_thread_owns_the_backend(run: Run, connect: Connect):
    backend = Slow()
    backend.go.set()
    running = run(backend)
    for _ in range(3):
        works(connect(running))
    running.stop()

    assert len(backend.threads) == 1
    assert backend.closed
    assert running.ended


def test_others_are_answered_while_the_policy_thinks(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend)
    first, second = connect(running), connect(running)
    first.send(1)
    waiting = first.begin(GET_ACTIONS, b"")
    assert backend.thinking.wait(LONG_S)
    second.set_up()
    second.send(2)
    first.send(5)
    assert not waiting.done()
    backend.go.set()
    for client, message, step in ((first, waiting.result(LONG_S), 1), (first, None, 5)):
        answer = answered(message) if message else client.actions()
        assert answer is not None
        assert answer.timesteps[0] == step


def test_what_the_policy_fails_with_is_told(
    run: Run, connect: Connect, caplog: pytest.LogCaptureFixture
):
    backend = golden()
    client = connect(run(backend))
    for error, code, text in (
        (BackendUnavailable("nobody listens there"), Code.UNAVAILABLE, "nobody listens there"),
        (ActionError("a bad chunk"), Code.INTERNAL, "a bad chunk"),
        (ZeroDivisionError("a bug"), Code.INTERNAL, "the policy failed: ZeroDivisionError: a bug"),
        (ActionError("long " * 5000), Code.INTERNAL, "long long"),
    ):
        backend.error = error
        client.send(must_go=True)
        refused(client.actions, code, text)
        refused(client.ready, code, text)
    assert "Traceback" in caplog.text
    backend.error = None
    works(client)


def test_who_asks_too_much_is_told(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend, max_waiting=2)
    clients = [connect(running) for _ in range(4)]
    for client in clients:
        client.send(must_go=True)
    waiting = [clients[0].begin(GET_ACTIONS, b"")]
    assert backend.thinking.wait(LONG_S)
    waiting += [client.begin(GET_ACTIONS, b"") for client in clients[1:3]]
    waiting += [client.begin(READY, b"") for client in clients[1:3]]
    # A reset takes the place of its client's observation.
    assert eventually(lambda: len(running.worker._resets) == 2)
    refused(connect(running).ready, Code.UNAVAILABLE, "the server is overloaded: 2 resets")
    waiting += [clients[1].begin(GET_ACTIONS, b""), clients[2].begin(GET_ACTIONS, b"")]
    backend.go.set()
    for call in waiting[3:5]:
        call.result(LONG_S)


def test_observations_that_too_many_clients_show_are_refused(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend, max_waiting=1)
    clients = [connect(running) for _ in range(3)]
    for client in clients:
        client.send(must_go=True)
    waiting = [clients[0].begin(GET_ACTIONS, b"")]
    assert backend.thinking.wait(LONG_S)
    waiting += [clients[1].begin(GET_ACTIONS, b"")]
    assert eventually(lambda: len(running.worker._queue) == 1)
    text = "the server is overloaded: 1 clients are waiting"
    error = refused(clients[2].actions, Code.UNAVAILABLE, text)
    assert STILL_THERE in map(tuple, error.trailing_metadata())
    backend.go.set()
    for call in waiting:
        assert answered(call.result(LONG_S)) is not None


def test_a_newer_observation_takes_the_place_of_one_that_waits(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend)
    first, other = connect(running), connect(running)
    other.send(must_go=True)
    thinking = other.begin(GET_ACTIONS, b"")
    assert backend.thinking.wait(LONG_S)
    first.send(1)
    older = first.begin(GET_ACTIONS, b"")
    assert eventually(lambda: len(running.worker._queue) == 1)
    first.send(2)
    newer = first.begin(GET_ACTIONS, b"")
    error = older.exception(LONG_S)
    assert isinstance(error, grpc.RpcError)
    assert error.code() is Code.UNAVAILABLE
    assert "something newer of the same client" in error.details()
    backend.go.set()
    assert answered(thinking.result(LONG_S)) is not None
    answer = answered(newer.result(LONG_S))
    assert answer is not None
    assert answer.timesteps[0] == 2


def test_what_its_client_no_longer_waits_for_is_not_inferred(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend)
    first, leaving = connect(running), connect(running)
    first.send(1)
    waiting = first.begin(GET_ACTIONS, b"")
    assert backend.thinking.wait(LONG_S)
    leaving.send(2)
    left = leaving.begin(GET_ACTIONS, b"")
    assert eventually(lambda: len(running.worker._queue) == 1)
    (asked,) = [place.item.asked for place in running.worker._queue._places.values()]
    assert asked.wanted()
    left.cancel()
    leaving.close()
    assert eventually(lambda: not asked.wanted())
    backend.go.set()
    assert answered(waiting.result(LONG_S)) is not None
    works(first, 3)
    assert len(backend.seen) == 2


def test_who_is_silent_is_forgotten_and_who_waits_is_not(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("vla_ros.serving.lerobot_service.FORGOTTEN_AFTER_S", 0.2)
    monkeypatch.setattr(grpc_front, "_SWEEP_S", 0.05)
    first = OwnBackend(policy=policy(LEROBOT_POLICY))
    client = connect(run(first))
    works(client)
    assert eventually(lambda: [one.closes for one in first.family] == [0, 1])

    backend = Slow()
    patient = connect(run(backend))
    patient.send(must_go=True)
    waiting = patient.begin(GET_ACTIONS, b"")
    assert backend.thinking.wait(LONG_S)
    time.sleep(0.4)  # longer than anybody may be silent
    backend.go.set()
    assert answered(waiting.result(LONG_S)) is not None


def test_actions_are_delayed_and_nothing_else(run: Run, connect: Connect):
    client = connect(run(delay_s=lambda: 0.3))
    started_s = time.monotonic()
    client.ready()
    client.set_up()
    client.send()
    sent_s = time.monotonic()
    assert client.actions() is not None
    assert sent_s - started_s < 0.3 <= time.monotonic() - sent_s


def test_a_delay_does_not_hold_up_the_end(run: Run, connect: Connect):
    delayed = threading.Event()
    running = run(delay_s=lambda: delayed.set() or 60.0)
    client = connect(running)
    client.send()
    waiting = client.begin(GET_ACTIONS, b"")
    assert delayed.wait(LONG_S)
    started_s = time.monotonic()
    running.stop()
    assert time.monotonic() - started_s < 1.0
    assert running.ended
    assert answered(waiting.result(LONG_S)) is not None


def test_the_end_waits_for_no_client(run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(grpc_front, "_ACTIONS_WAIT_S", LONG_S)
    running = run()
    client, dripping = connect(running), threading.Event()

    def drip() -> Iterator[bytes]:
        yield next(observation_parts(bytes(5_000_000)))
        dripping.set()
        threading.Event().wait(1.0)

    calls = [client.begin(GET_ACTIONS, b"") for _ in range(2)]
    sending = threading.Thread(target=lambda: refused_somehow(client, drip()))
    sending.start()
    assert dripping.wait(LONG_S)
    started_s = time.monotonic()
    running.stop()
    assert time.monotonic() - started_s < 1.0
    assert running.ended
    for call in calls:
        assert call.exception(LONG_S) is None or call.code() in (Code.UNAVAILABLE, Code.CANCELLED)
    sending.join(LONG_S)


def refused_somehow(client: Client, parts: Iterator[bytes]) -> None:
    with pytest.raises(grpc.RpcError):
        client.stream(parts)


def test_a_call_that_hangs_is_left_behind(run: Run, connect: Connect):
    backend = Slow()
    running = run(backend)
    client = connect(running)
    client.send()
    waiting = client.begin(GET_ACTIONS, b"")
    assert backend.thinking.wait(LONG_S)
    started_s = time.monotonic()
    running.stop()

    assert time.monotonic() - started_s < 1.0
    assert running.ended is False
    error = waiting.exception(LONG_S)
    assert isinstance(error, grpc.RpcError)
    assert error.code() is Code.UNAVAILABLE
    backend.go.set()


def test_calls_end_with_the_server_where_the_backend_cannot_be_connected(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    backend = golden()

    def refuse() -> PolicyInfo:
        raise BackendUnavailable("the model is not there")

    monkeypatch.setattr(backend, "connect", refuse)
    running = run(backend, ready=False)
    client = connect(running)
    waiting = client.begin(READY, b"")
    assert eventually(lambda: running.worker.state == "failed")
    running.stop()
    error = waiting.exception(LONG_S)
    assert isinstance(error, grpc.RpcError)
    assert error.code() in (Code.UNAVAILABLE, Code.CANCELLED)


def test_calls_wait_for_the_backend_to_be_connected(
    run: Run, connect: Connect, monkeypatch: pytest.MonkeyPatch
):
    backend, go = golden(), threading.Event()

    def load() -> PolicyInfo:
        assert go.wait(LONG_S)
        return PolicyInfo("loaded")

    monkeypatch.setattr(backend, "connect", load)
    client = connect(run(backend, ready=False))
    client.set_up()
    client.send(2)
    waiting = client.begin(GET_ACTIONS, b"")
    assert not waiting.done()
    go.set()
    assert answered(waiting.result(LONG_S)) is not None


def test_an_address_that_is_taken_is_named(run: Run):
    port = int(run().front.address.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"cannot listen at 127\.0\.0\.1:{port}"):
        front(PolicyWorker(Sessions(golden())), policy_=golden().policy, port=port)


def test_an_address_of_ipv6_is_written_as_such():
    with pytest.raises(ConfigError, match=r"cannot listen at \[2001:db8::1\]:0"):
        front(PolicyWorker(Sessions(golden())), policy_=golden().policy, host="2001:db8::1")


def test_our_own_backend_is_served(run: Run):
    running = run()
    port = int(running.front.address.rpartition(":")[2])
    ours = Backend(
        LeRobotConfig(port=port, timeout_s=LONG_S), robot=robot(), policy=policy(LEROBOT_POLICY)
    )
    ours.connect()
    for _ in range(3):
        np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
    ours.reset()
    np.testing.assert_array_equal(ours.infer(observation()).actions, moves())
    ours.close()
