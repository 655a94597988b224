# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from test.support.zmq_peers import serving
from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.core.errors import BackendUnavailable, WireFormatError

QUICK = ChannelTimes(connect_s=5.0, drain_s=5.0, backoff_s=0.05, backoff_max_s=0.15)


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def echo(request: bytes) -> bytes:
    return b"re: " + request


@pytest.fixture
def channels() -> Iterator[list[ZmqChannel]]:
    made: list[ZmqChannel] = []
    yield made
    for channel in made:
        channel.close()


def channel_to(
    port: int, channels: list[ZmqChannel], times: ChannelTimes = QUICK, max_bytes: int = 10_000
) -> ZmqChannel:
    channels.append(ZmqChannel(f"tcp://127.0.0.1:{port}", times=times, max_bytes=max_bytes))
    return channels[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def seconds_left(error: pytest.ExceptionInfo[BackendUnavailable]) -> float:
    found = re.search(r"the next attempt is in ([\d.]+) s", str(error.value))
    assert found, error.value
    return float(found[1])


def test_requests_are_answered(channels: list[ZmqChannel]):
    with serving(echo) as server:
        channel = channel_to(server.port, channels)

        assert [channel.call(b"%d" % number, soon()) for number in range(3)] == [
            b"re: 0", b"re: 1", b"re: 2",
        ]  # fmt: skip
        assert channel.open(soon()) == 1


def test_a_request_may_have_parts(channels: list[ZmqChannel]):
    with serving(lambda *parts: b" ".join(parts)) as server:
        channel = channel_to(server.port, channels)
        large = bytes(100_000)

        answer = channel.call(b"one", soon(), rest=[memoryview(b"two"), memoryview(b"3")])
        assert answer == b"one two 3"
        assert channel.call(b"x", soon(), rest=[memoryview(large)][:0]) == b"x"


def test_a_server_that_is_not_there_is_told_at_once(channels: list[ZmqChannel]):
    channel = channel_to(free_port(), channels)
    started_s = time.monotonic()

    with pytest.raises(BackendUnavailable, match=r"tcp://127.0.0.1:\d+: nobody listens there"):
        channel.call(b"x", soon())

    assert time.monotonic() - started_s < QUICK.connect_s


def test_attempts_get_rarer_and_in_between_nothing_is_tried(channels: list[ZmqChannel]):
    times = ChannelTimes(backoff_s=0.05, backoff_max_s=0.15)
    channel = channel_to(free_port(), channels, times)
    waits = []
    for _ in range(4):
        with pytest.raises(BackendUnavailable, match="nobody listens") as failed:
            channel.call(b"x", soon())
        waits.append(seconds_left(failed))
        with pytest.raises(BackendUnavailable, match="nobody listens") as refused:
            channel.call(b"x", soon())
        assert seconds_left(refused) <= waits[-1]
        time.sleep(waits[-1] + 0.01)

    assert waits == [0.05, 0.1, 0.15, 0.15]


def test_a_server_that_comes_late_is_found(channels: list[ZmqChannel]):
    port = free_port()
    channel = channel_to(port, channels)
    with pytest.raises(BackendUnavailable):
        channel.call(b"x", soon())
    with serving(echo, port=port):
        time.sleep(QUICK.backoff_s)

        assert channel.call(b"y", soon()) == b"re: y"
        assert channel.open(soon()) == 2


def test_a_late_answer_is_not_taken_for_the_next_one(channels: list[ZmqChannel]):
    go = threading.Event()

    def slow(request: bytes) -> bytes:
        go.wait(10)
        return echo(request)

    with serving(slow) as server:
        channel = channel_to(server.port, channels)
        with pytest.raises(BackendUnavailable, match=r"gave no answer within 0\.\d+ s"):
            channel.call(b"first", soon(0.1))
        with pytest.raises(BackendUnavailable, match="still busy with an earlier request"):
            channel.call(b"second", soon(0.05))
        assert server.requests == [b"first"]
        go.set()

        assert channel.call(b"third", soon()) == b"re: third"
        assert server.requests == [b"first", b"third"]
        assert channel.open(soon()) == 1


def test_an_answer_that_never_comes_is_given_up(channels: list[ZmqChannel]):
    with serving(lambda request: None if request == b"first" else echo(request)) as server:
        channel = channel_to(server.port, channels, ChannelTimes(drain_s=0.2))
        with pytest.raises(BackendUnavailable, match="gave no answer"):
            channel.call(b"first", soon(0.1))

        assert channel.call(b"second", soon()) == b"re: second"
        assert channel.open(soon()) == 2


def test_a_server_that_dies_is_noticed_while_it_is_waited_for(channels: list[ZmqChannel]):
    asked = threading.Event()

    def silent(request: bytes) -> None:
        asked.set()

    started_s = time.monotonic()
    with serving(silent) as server:
        channel = channel_to(server.port, channels)
        ending = threading.Thread(target=lambda: (asked.wait(10), server.end()))
        ending.start()
        with pytest.raises(BackendUnavailable, match="the connection was lost; the next attempt"):
            channel.call(b"x", soon())
        ending.join()

    assert time.monotonic() - started_s < 5.0


def test_a_server_that_was_started_again_is_used_at_once(channels: list[ZmqChannel]):
    port = free_port()
    with serving(echo, port=port):
        channel = channel_to(port, channels)
        channel.call(b"x", soon())
    with serving(echo, port=port):
        assert channel.call(b"y", soon()) == b"re: y"
        assert channel.open(soon()) == 2


def test_an_answer_just_before_the_end_is_taken(channels: list[ZmqChannel]):
    port = free_port()
    for _ in range(20):
        with serving(echo, port=port):
            channel = channel_to(port, channels)
            assert channel.call(b"x", soon()) == b"re: x"
        with pytest.raises(BackendUnavailable):
            channel.call(b"x", soon())


def test_messages_that_nobody_asked_for_are_ignored(channels: list[ZmqChannel]):
    def noisy(request: bytes) -> list[list[bytes]]:
        name = (1).to_bytes(8, "big")
        return [[b"stale", b"", b"old"], [b"odd"], [name, b"", b"new"]]

    with serving(noisy) as server:
        assert channel_to(server.port, channels).call(b"x", soon()) == b"new"


@pytest.mark.parametrize(("parts", "count"), [([], 0), ([b"a", b"b"], 2)])
def test_an_answer_has_one_part(channels: list[ZmqChannel], parts: list[bytes], count: int):
    name = (1).to_bytes(8, "big")
    text = f"the answer has {count} parts, expected 1"
    with (
        serving(lambda _: [[name, b"", *parts]]) as server,
        pytest.raises(WireFormatError, match=text),
    ):
        channel_to(server.port, channels).call(b"x", soon())


def test_an_answer_beyond_the_limit_loses_the_connection(channels: list[ZmqChannel]):
    with (
        serving(lambda _: bytes(101)) as server,
        pytest.raises(BackendUnavailable, match="the connection was lost"),
    ):
        channel_to(server.port, channels, max_bytes=100).call(b"x", soon())


def test_an_address_that_cannot_be_is_named(channels: list[ZmqChannel]):
    channels.append(ZmqChannel("tcp://no port", times=QUICK, max_bytes=1))

    with pytest.raises(BackendUnavailable, match="tcp://no port: cannot be connected to: "):
        channels[0].call(b"x", soon())


@pytest.fixture
def mute() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_a_server_that_says_nothing_is_not_waited_for_longer(
    channels: list[ZmqChannel], mute: socket.socket
):
    channel = channel_to(mute.getsockname()[1], channels, ChannelTimes(connect_s=0.2))

    with pytest.raises(BackendUnavailable, match="is not connected yet"):
        channel.call(b"x", soon(0.05))
    with pytest.raises(BackendUnavailable, match="the connection was not made in time"):
        channel.call(b"x", soon())


@pytest.mark.parametrize(
    "greeting",
    [
        b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"BOGUS".ljust(20, b"\0") + bytes(32),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
    ids=["ZMTP", "HTTP"],
)
def test_a_server_of_another_protocol_is_told(
    channels: list[ZmqChannel], mute: socket.socket, greeting: bytes
):
    done = threading.Event()

    def greet() -> None:
        connection, _ = mute.accept()
        with connection:
            connection.sendall(greeting)
            done.wait(10)

    greeting_thread = threading.Thread(target=greet)
    greeting_thread.start()
    channel = channel_to(mute.getsockname()[1], channels)
    # To ZeroMQ, the answer of an HTTP server is the beginning of its oldest protocol.
    with pytest.raises(BackendUnavailable, match=r"does not speak ZeroMQ|gave no answer"):
        channel.call(b"x", soon(0.5))
    channel.close()
    done.set()
    greeting_thread.join()


def test_a_closed_channel_connects_anew(channels: list[ZmqChannel]):
    with serving(echo) as server:
        channel = channel_to(server.port, channels)
        channel.call(b"x", soon())
        channel.close()
        channel.close()

        assert channel.call(b"y", soon()) == b"re: y"
        assert channel.open(soon()) == 2
