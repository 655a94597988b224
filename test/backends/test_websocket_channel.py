# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from test.support.openpi_peers import serving, slowly
from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._websocket_channel import WebsocketChannel
from vla_ros.core.errors import BackendSilent, BackendUnavailable

QUICK = ChannelTimes(connect_s=5.0, drain_s=5.0, backoff_s=0.05, backoff_max_s=0.15)
MAX_BYTES = 10_000


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def echo(request: bytes) -> bytes:
    return b"re: " + request


@pytest.fixture
def channels() -> Iterator[list[WebsocketChannel]]:
    made: list[WebsocketChannel] = []
    yield made
    for channel in made:
        channel.close()


def channel_to(
    port: int, channels: list[WebsocketChannel], times: ChannelTimes = QUICK
) -> WebsocketChannel:
    channels.append(
        WebsocketChannel(
            f"ws://127.0.0.1:{port}/", times=times, max_bytes=MAX_BYTES, headers={"X-Who": "robot"}
        )
    )
    return channels[-1]


@contextmanager
def raw_server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server that does with each connection what a function says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    stream, _ = listener.accept()
                except TimeoutError:
                    continue
                with stream:
                    behave(stream)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join(5)


def shake_hands(stream: socket.socket, *after: Frame) -> ServerProtocol:
    """Answers a handshake, and sends frames after it."""
    protocol = ServerProtocol()
    stream.settimeout(5)
    while not (events := protocol.events_received()):
        protocol.receive_data(stream.recv(65536))
    protocol.send_response(protocol.accept(events[0]))
    for frame in after:
        protocol.send_frame(frame)
    stream.sendall(b"".join(protocol.data_to_send()))
    return protocol


def seconds_left(error: pytest.ExceptionInfo[BackendUnavailable]) -> float:
    found = re.search(r"the next attempt is in ([\d.]+) s", str(error.value))
    assert found, error.value
    return float(found[1])


def test_requests_are_answered(channels: list[WebsocketChannel]):
    with serving(echo, greeting=b"hello") as server:
        channel = channel_to(server.port, channels)

        assert [channel.call(b"%d" % number, soon()) for number in range(3)] == [
            b"re: 0", b"re: 1", b"re: 2",
        ]  # fmt: skip
        assert channel.open(soon()) == 1
        assert channel.greeting == b"hello"


def test_a_server_that_is_not_there_is_told_at_once(channels: list[WebsocketChannel]):
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    channel = channel_to(port, channels)
    waits = []
    for _ in range(4):
        with pytest.raises(
            BackendUnavailable, match=r"cannot be connected to: .*refused"
        ) as failed:
            channel.call(b"x", soon())
        waits.append(seconds_left(failed))
        with pytest.raises(BackendUnavailable, match="next attempt") as refused:
            channel.call(b"x", soon())
        assert seconds_left(refused) <= waits[-1]
        time.sleep(waits[-1] + 0.01)

    assert waits == [0.05, 0.1, 0.15, 0.15]


def test_a_late_answer_is_not_taken_for_another(channels: list[WebsocketChannel]):
    go = threading.Event()

    def patient(request: bytes) -> bytes:
        if request == b"slow":
            go.wait(5)
        return echo(request)

    with serving(patient) as server:
        channel = channel_to(server.port, channels)
        with pytest.raises(BackendSilent, match="gave no answer within 0"):
            channel.call(b"slow", soon(0.1))
        for _ in range(2):
            with pytest.raises(BackendSilent, match="still busy with an earlier request"):
                channel.call(b"not sent", soon(0.05))
        go.set()
        assert channel.call(b"next", soon()) == b"re: next"
        assert server.requests == [b"slow", b"next"]
        assert channel.open(soon()) == 1


def test_a_late_error_costs_the_connection(channels: list[WebsocketChannel]):
    go = threading.Event()

    def patient(request: bytes) -> bytes | str:
        return echo(request) if go.is_set() else str(go.wait(5))

    with serving(patient) as server:
        channel = channel_to(server.port, channels)
        with pytest.raises(BackendSilent):
            channel.call(b"slow", soon(0.1))
        go.set()
        assert channel.call(b"next", soon()) == b"re: next"
        assert channel.open(soon()) == 2


def test_an_answer_that_never_comes_costs_the_connection(channels: list[WebsocketChannel]):
    times = ChannelTimes(connect_s=5.0, drain_s=0.2, backoff_s=0.05, backoff_max_s=0.15)
    with serving(lambda request: None if request == b"lost" else echo(request)) as server:
        channel = channel_to(server.port, channels, times)
        with pytest.raises(BackendSilent):
            channel.call(b"lost", soon(0.05))
        assert channel.call(b"next", soon()) == b"re: next"
        assert channel.open(soon()) == 2


def test_what_nobody_asked_for_is_thrown_away(channels: list[WebsocketChannel]):
    got = threading.Event()

    def talk(stream: socket.socket) -> None:
        binary = [Frame(Opcode.BINARY, text) for text in (b"hello", b"news", b"more news")]
        protocol = shake_hands(stream, *binary, Frame(Opcode.PING, b"p"))
        frames: list[Frame] = []
        while not any(frame.opcode is Opcode.BINARY for frame in frames):
            protocol.receive_data(stream.recv(65536))
            frames += protocol.events_received()
        assert [frame.opcode for frame in frames] == [Opcode.PONG, Opcode.BINARY]
        protocol.send_binary(b"an", fin=False)
        protocol.send_continuation(b"", fin=False)
        protocol.send_continuation(b"swer", fin=True)
        stream.sendall(b"".join(protocol.data_to_send()))
        got.wait(5)

    with raw_server(talk) as port:
        channel = channel_to(port, channels)
        assert channel.call(b"x", soon()) == b"answer"
        assert channel.greeting == b"hello"
        got.set()


def test_texts_are_texts(channels: list[WebsocketChannel]):
    with serving(lambda _: "reset successful", greeting="é") as server:
        channel = channel_to(server.port, channels)
        for _ in range(2):
            assert channel.call(b"x", soon()) == "reset successful"
        assert channel.greeting == "é"
        assert channel.open(soon()) == 1


def test_why_a_server_hung_up_is_told(channels: list[WebsocketChannel]):
    with serving(lambda _: "wrong") as server:
        channel = channel_to(server.port, channels)
        assert channel.call(b"x", soon()) == "wrong"

    def refuse(stream: socket.socket) -> None:
        protocol = shake_hands(stream)
        protocol.send_close(1013, "come again")
        stream.sendall(b"".join(protocol.data_to_send()))

    with raw_server(refuse) as port:
        channel = channel_to(port, channels)
        with pytest.raises(
            BackendUnavailable, match=r"hung up: 1013 \(try again later\) come again"
        ):
            channel.call(b"x", soon())


def test_a_server_that_hung_up_meanwhile_is_connected_to_again(channels: list[WebsocketChannel]):
    with serving(echo) as server:
        channel = channel_to(server.port, channels)
        channel.call(b"1", soon())
        server.hang_up()
        assert channel.call(b"2", soon()) == b"re: 2"
        assert channel.open(soon()) == 2


def test_a_server_that_hangs_up_instead_of_an_answer_is_lost(channels: list[WebsocketChannel]):
    def hang_up(stream: socket.socket) -> None:
        shake_hands(stream, Frame(Opcode.BINARY, b"hello"))
        stream.recv(1)

    with raw_server(hang_up) as port:
        channel = channel_to(port, channels)
        with pytest.raises(BackendUnavailable, match=r"connection was lost|reset by peer"):
            channel.call(b"x" * 100, soon())


def test_a_server_that_was_started_again_is_found(channels: list[WebsocketChannel]):
    with serving(echo) as server:
        channel = channel_to(server.port, channels)
        channel.call(b"1", soon())
    with pytest.raises(BackendUnavailable, match="cannot be connected to"):
        channel.call(b"2", soon())
    with serving(echo, port=server.port):
        time.sleep(0.06)
        assert channel.call(b"3", soon()) == b"re: 3"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno such", "HTTP 404 Not Found: no s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "it refused, with HTTP 200 OK"),
        (b"\x80\x03N.", "it does not speak WebSocket: "),
        (b"", "it does not speak WebSocket: "),
    ],
)
def test_what_is_no_websocket_is_told(channels: list[WebsocketChannel], said: bytes, text: str):
    def talk(stream: socket.socket) -> None:
        stream.recv(65536)
        stream.sendall(said)

    with raw_server(talk) as port, pytest.raises(BackendUnavailable, match=text) as error:
        channel_to(port, channels).call(b"x", soon())
    assert seconds_left(error) == 0.05


def test_a_server_that_says_nothing_is_given_up_in_time(channels: list[WebsocketChannel]):
    times = ChannelTimes(connect_s=0.3, backoff_s=0.05, backoff_max_s=0.15)
    with serving(echo, greeting=None) as server:
        channel = channel_to(server.port, channels, times)
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="is not connected yet"):
            channel.open(soon(0.05))
        with pytest.raises(BackendUnavailable, match="it said nothing in time"):
            channel.open(soon())
        assert 0.3 <= time.monotonic() - started_s < 3.0
        assert len(server.keys) == 1


def test_a_greeting_may_come_late(channels: list[WebsocketChannel]):
    """A server that infers for another greets nobody; the connection is kept for the next call."""
    with serving(slowly(echo, 0.4)) as server:
        other, channel = (channel_to(server.port, channels) for _ in range(2))
        thread = threading.Thread(target=other.call, args=(b"other", soon()))
        thread.start()
        while not server.requests:
            time.sleep(0.01)
        with pytest.raises(BackendUnavailable, match="is not connected yet"):
            channel.open(soon(0.05))
        assert channel.open(soon()) == 1
        thread.join()
        assert len(server.keys) == 2


def test_a_request_that_is_not_taken_is_given_up_in_time(channels: list[WebsocketChannel]):
    done = threading.Event()

    def deaf(stream: socket.socket) -> None:
        shake_hands(stream, Frame(Opcode.BINARY, b"hello"))
        done.wait(10)

    with raw_server(deaf) as port:
        channel = channel_to(port, channels)
        channel.open(soon())
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="the request cannot be sent: timed out"):
            channel.call(bytes(64 * 1024 * 1024), soon(0.3))
        assert time.monotonic() - started_s < 3.0
        done.set()


def test_a_long_answer_loses_the_connection(channels: list[WebsocketChannel]):
    with serving(lambda request: bytes(MAX_BYTES + len(request))) as server:
        channel = channel_to(server.port, channels)
        assert channel.call(b"", soon()) == bytes(MAX_BYTES)
        with pytest.raises(BackendUnavailable, match=r"no message that is allowed: 1009 \(message"):
            channel.call(b"x", soon())


def test_what_the_client_says_beside_is_heard(channels: list[WebsocketChannel]):
    with serving(echo) as server:
        channels.append(
            WebsocketChannel(
                f"ws://127.0.0.1:{server.port}/a/b?c=d",
                times=QUICK,
                max_bytes=MAX_BYTES,
                headers={"Authorization": "Api-Key secret"},
            )
        )
        channels[-1].open(soon())
        assert server.keys == ["Api-Key secret"]
        assert server.paths == ["/a/b?c=d"]


def test_closing_is_heard_and_may_be_done_twice(channels: list[WebsocketChannel]):
    with serving(echo) as server:
        channel = channel_to(server.port, channels)
        channel.close()
        channel.open(soon())
        channel.close()
        channel.close()
        until_s = soon(5)
        while not server.closed and time.monotonic() < until_s:
            time.sleep(0.01)
        assert server.closed == [1000]
        assert channel.call(b"x", soon()) == b"re: x"
