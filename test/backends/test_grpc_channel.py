# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from test.support.grpc_peers import serving
from test.support.tcp_proxy import TcpProxy
from vla_ros.backends._grpc_channel import GrpcChannel, Late
from vla_ros.core.errors import BackendSilent, BackendUnavailable, RemotePolicyError
from vla_ros.wire.lerobot.methods import READY, SEND_OBSERVATIONS, STILL_THERE

LONG_S = 10.0
MAX_BYTES = 8_000_000

Connect = Callable[..., GrpcChannel]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[GrpcChannel] = []

    def to(port: int, **options: Any) -> GrpcChannel:
        settings = {"connect_s": 0.3, "max_bytes": MAX_BYTES, **options}
        made.append(GrpcChannel(f"127.0.0.1:{port}", **settings))
        return made[-1]

    yield to
    for channel in made:
        channel.close()


def ask(channel: GrpcChannel, *, wait_s: float = LONG_S, patience_s: float = LONG_S) -> bytes:
    return channel.call(READY, b"x", deadline_s=time.monotonic() + wait_s, patience_s=patience_s)


def soon() -> float:
    return time.monotonic() + LONG_S


def test_requests_are_answered(connect: Connect):
    with serving(lambda method, message, _: repr((method, message)).encode()) as server:
        channel = connect(server.port)
        assert ask(channel) == repr((READY, b"x")).encode()
        parts = channel.stream(SEND_OBSERVATIONS, iter([b"a", b"b"]), deadline_s=soon())
        assert parts == repr((SEND_OBSERVATIONS, [b"a", b"b"])).encode()
        assert channel.drain(soon()) is None
        assert channel.connection == 1


def test_long_answers_are_taken_up_to_the_limit(connect: Connect):
    answer = bytes(MAX_BYTES)
    with serving(lambda *_: answer) as server:
        assert ask(connect(server.port)) == answer
        with pytest.raises(RemotePolicyError, match=r"Ready: RESOURCE_EXHAUSTED: .*larger"):
            ask(connect(server.port, max_bytes=MAX_BYTES - 1))


@pytest.mark.parametrize("still_there", [True, False])
def test_a_server_that_has_no_time_keeps_its_connection_where_it_says_so(
    connect: Connect, still_there: bool
):
    def refuse(*arguments: Any) -> bytes:
        if still_there:
            arguments[2].set_trailing_metadata((STILL_THERE,))
        arguments[2].abort(grpc.StatusCode.UNAVAILABLE, "too much to do")
        raise AssertionError

    with serving(refuse) as server:
        channel = connect(server.port)
        with pytest.raises(BackendUnavailable, match="too much to do"):
            ask(channel)
        assert channel.connection == (1 if still_there else 2)


def test_the_servers_own_words_are_passed_on(connect: Connect):
    def refuse(*arguments: Any) -> bytes:
        arguments[2].abort(grpc.StatusCode.PERMISSION_DENIED, "not you")
        raise AssertionError

    with serving(refuse) as server:
        channel = connect(server.port)
        for _ in range(2):
            with pytest.raises(RemotePolicyError, match="Ready: PERMISSION_DENIED: not you"):
                ask(channel)
        assert channel.connection == 1


def test_nobody_there_is_found_out_at_once(connect: Connect, free_port: int):
    channel = connect(free_port)
    started_s = time.monotonic()
    with pytest.raises(BackendUnavailable, match=rf"^127\.0\.0\.1:{free_port}: .*refused") as found:
        ask(channel)
    assert not isinstance(found.value, BackendSilent)
    with pytest.raises(BackendUnavailable, match="refused"):
        channel.stream(SEND_OBSERVATIONS, [b"a"], deadline_s=soon())
    assert time.monotonic() - started_s < 2.0


def test_who_comes_later_is_found_at_once(connect: Connect, free_port: int):
    channel = connect(free_port)
    for _ in range(5):
        with pytest.raises(BackendUnavailable):
            ask(channel)
    with serving(lambda *_: b"up", port=free_port):
        started_s = time.monotonic()
        assert ask(channel) == b"up"
        assert time.monotonic() - started_s < 1.0
        assert channel.connection == 6


def test_who_does_not_speak_grpc_is_found_out(connect: Connect):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        channel = connect(mute.getsockname()[1])
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match=r"^127\.0\.0\.1:"):
            ask(channel)
        assert time.monotonic() - started_s < 3.0


def test_a_server_that_dies_during_a_call_is_noticed(connect: Connect):
    thinking, go = threading.Event(), threading.Event()

    def think(*_: Any) -> bytes:
        thinking.set()
        assert go.wait(LONG_S)
        return b""

    with serving(think) as server, TcpProxy(server.port) as network:
        channel = connect(network.port)

        def cut() -> None:
            assert thinking.wait(LONG_S)
            network.cut()

        cutting = threading.Thread(target=cut)
        cutting.start()
        with pytest.raises(BackendUnavailable, match="127"):
            ask(channel)
        cutting.join()
        assert channel.connection == 2
        go.set()
        network.mend()
        assert ask(channel) == b""


def test_a_call_that_is_given_up_is_drained(connect: Connect):
    go = threading.Event()

    def think(method: str, *_: Any) -> bytes:
        assert go.wait(LONG_S)
        return b"late"

    with serving(think) as server:
        channel = connect(server.port)
        started_s = time.monotonic()
        with pytest.raises(BackendSilent, match=r"gave no answer to Ready within 0\.[12]\d s"):
            ask(channel, wait_s=0.2)
        for _ in range(2):
            with pytest.raises(BackendSilent, match="is still busy with an earlier Ready"):
                channel.drain(time.monotonic() + 0.05)
        assert time.monotonic() - started_s < 2.0
        go.set()
        assert channel.drain(soon()) == Late(READY, reply=b"late")
        assert channel.drain(soon()) is None
        assert ask(channel) == b"late"
        assert channel.connection == 1
        assert server.most == 1


def test_a_call_whose_own_time_is_over_ends_the_connection(connect: Connect):
    go = threading.Event()
    with serving(lambda *_: b"x" if go.wait(LONG_S) else b"") as server:
        channel = connect(server.port)
        with pytest.raises(BackendSilent, match="gave no answer to Ready"):
            ask(channel, patience_s=0.2)
        assert channel.connection == 2
        assert channel.drain(soon()) is None

        with pytest.raises(BackendSilent, match="gave no answer to Ready"):
            ask(channel, wait_s=0.1, patience_s=0.4)
        late = channel.drain(soon())
        assert late is not None
        assert isinstance(late.error, BackendSilent)
        assert channel.connection == 3
        go.set()
        assert ask(channel) == b"x"


def test_the_failure_of_a_call_that_was_given_up_is_kept(connect: Connect):
    go = threading.Event()

    def fail(*arguments: Any) -> bytes:
        assert go.wait(LONG_S)
        raise ValueError("no such checkpoint")

    with serving(fail) as server:
        channel = connect(server.port)
        with pytest.raises(BackendSilent):
            ask(channel, wait_s=0.1)
        go.set()
        late = channel.drain(soon())
    assert late is not None
    assert isinstance(late.error, RemotePolicyError)
    assert "UNKNOWN: Exception calling application: no such checkpoint" in str(late.error)


def test_a_stream_that_is_not_taken_ends_in_time(connect: Connect):
    with serving(lambda *_: b"") as server, TcpProxy(server.port) as network:
        channel = connect(network.port)
        ask(channel)
        network.swallow()
        started_s = time.monotonic()
        with pytest.raises(
            BackendSilent, match=r"no answer to SendObservations within 0\.[23]\d s"
        ):
            channel.stream(
                SEND_OBSERVATIONS, (bytes(1 << 20) for _ in range(20)), deadline_s=started_s + 0.3
            )
        assert time.monotonic() - started_s < 1.0
        # A slow network does not mean another server.
        assert channel.connection == 1
        network.mend()
        assert ask(channel) == b""


def test_a_deadline_that_is_over_sends_nothing(connect: Connect):
    with serving(lambda *_: b"") as server:
        channel = connect(server.port)
        with pytest.raises(BackendSilent):
            channel.stream(SEND_OBSERVATIONS, [b"a"], deadline_s=time.monotonic() - 1.0)
        with pytest.raises(BackendSilent):
            channel.call(READY, b"", deadline_s=time.monotonic() - 1.0, patience_s=LONG_S)


def test_closing_may_be_repeated_and_is_not_the_end(connect: Connect):
    go = threading.Event()
    with serving(lambda *_: b"x" if go.wait(LONG_S) else b"") as server:
        channel = connect(server.port)
        channel.close()
        with pytest.raises(BackendSilent):
            ask(channel, wait_s=0.1)
        channel.close()
        channel.close()
        assert channel.drain(soon()) is None
        go.set()
        assert ask(channel) == b"x"
        assert channel.connection == 4


def test_a_proxy_for_the_web_is_not_asked(connect: Connect, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with serving(lambda *_: b"direct") as server:
        assert ask(connect(server.port)) == b"direct"


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
