# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from test.support.http_peers import Answer, Asked, answering
from vla_ros.backends._http_channel import HttpAnswer, HttpChannel
from vla_ros.backends._patience import ChannelTimes
from vla_ros.core.errors import BackendSilent, BackendUnavailable, WireFormatError

QUICK = ChannelTimes(connect_s=5.0, drain_s=5.0, backoff_s=0.05, backoff_max_s=0.15)

Make = Callable[..., HttpChannel]


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def echo(asked: Asked) -> Answer:
    return 200, b"re: " + asked.body, {"Content-Type": "text/x"}


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[HttpChannel] = []

    def channel(port: int, times: ChannelTimes = QUICK, max_bytes: int = 10_000) -> HttpChannel:
        made.append(HttpChannel("127.0.0.1", port, times=times, max_bytes=max_bytes))
        return made[-1]

    yield channel
    for item in made:
        item.close()


def post(channel: HttpChannel, body: bytes = b"x", *, deadline_s: float | None = None) -> bytes:
    answer = channel.call("POST", "/p", deadline_s=deadline_s or soon(), body=body, headers={})
    return answer.body


@contextmanager
def raw(*replies: bytes, go: threading.Event | None = None) -> Iterator[int]:
    """The port of a server that takes one connection, and answers each request with raw bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                for reply in replies:
                    request = b""
                    while not request.endswith(b"\r\n\r\nx"):
                        request += connection.recv(65536)
                    connection.sendall(reply)
                if go is not None:
                    go.wait(10)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            if go is not None:
                go.set()
            thread.join(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_requests_are_answered_over_one_connection(make: Make):
    with answering(echo) as peer:
        channel = make(peer.port)
        for number in range(3):
            answer = channel.call(
                "POST", "/x", deadline_s=soon(), body=b"%d" % number, headers={"A": "b"}
            )
            assert answer == HttpAnswer(200, "text/x", b"re: %d" % number)
        assert channel.call("GET", "/y", deadline_s=soon(), headers={}).body == b"re: "
        assert channel.open(soon()) == 1

    assert peer.paths == ["/x", "/x", "/x", "/y"]
    assert [asked.headers.get("a") for asked in peer.asked] == ["b", "b", "b", None]
    assert len({asked.client for asked in peer.asked}) == 1


def test_statuses_are_answers(make: Make):
    with answering(lambda _: (503, b"busy", {})) as peer:
        answer = make(peer.port).call("GET", "/", deadline_s=soon(), headers={})
    assert answer == HttpAnswer(503, "", b"busy")


def test_an_answer_in_chunks_is_read(make: Make):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with raw(head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", head + b"1\r\nf\r\n0\r\n\r\n") as port:
        channel = make(port)
        assert [post(channel), post(channel)] == [b"abcde", b"f"]


def test_an_answer_without_a_length_ends_with_the_connection(make: Make):
    with raw(b"HTTP/1.0 200 OK\r\n\r\nall of it") as port:
        assert post(make(port)) == b"all of it"


def test_an_environments_proxy_is_not_asked(make: Make, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(echo) as peer:
        assert post(make(peer.port)) == b"re: x"


def test_a_server_that_is_not_there_is_told_at_once_and_tried_ever_more_rarely(make: Make):
    channel = make(free_port())
    started_s, waits = time.monotonic(), []
    for _ in range(3):
        with pytest.raises(
            BackendUnavailable, match=r"cannot be connected to: .*refused"
        ) as failed:
            post(channel)
        found = re.search(r"the next attempt is in ([\d.]+) s", str(failed.value))
        assert found
        waits.append(float(found[1]))
        with pytest.raises(BackendUnavailable, match="refused; the next attempt is in"):
            channel.open(soon())
        time.sleep(waits[-1] + 0.01)
    assert waits == [0.05, 0.1, 0.15]
    assert time.monotonic() - started_s < QUICK.connect_s


def test_a_host_that_does_not_exist_is_told():
    channel = HttpChannel("no host", 1, times=QUICK, max_bytes=1)
    with pytest.raises(BackendUnavailable, match="http://no host:1: cannot be connected to"):
        channel.open(soon())
    assert HttpChannel("::1", 7, times=QUICK, max_bytes=1).address == "http://[::1]:7"


def test_a_server_that_comes_late_is_found(make: Make):
    port = free_port()
    channel = make(port)
    with pytest.raises(BackendUnavailable):
        post(channel)
    with answering(echo, port=port):
        time.sleep(QUICK.backoff_s)
        assert post(channel) == b"re: x"
        assert channel.open(soon()) == 1


def test_a_late_answer_is_not_taken_for_the_next_one(make: Make):
    go = threading.Event()

    def slow(asked: Asked) -> Answer:
        go.wait(10)
        return echo(asked)

    with answering(slow) as peer:
        channel = make(peer.port)
        with pytest.raises(BackendSilent, match=r"gave no answer within 0\.\d+ s"):
            post(channel, b"first", deadline_s=soon(0.1))
        with pytest.raises(BackendSilent, match="still busy with an earlier request"):
            post(channel, b"second", deadline_s=soon(0.05))
        assert [asked.body for asked in peer.asked] == [b"first"]
        go.set()
        assert post(channel, b"third") == b"re: third"
        assert channel.open(soon()) == 1
    assert [asked.body for asked in peer.asked] == [b"first", b"third"]


def test_an_answer_that_never_comes_is_given_up(make: Make):
    go = threading.Event()

    def slow(asked: Asked) -> Answer:
        if asked.body == b"first":
            go.wait(10)
        return echo(asked)

    with answering(slow) as peer:
        channel = make(peer.port, ChannelTimes(drain_s=0.2))
        with pytest.raises(BackendSilent):
            post(channel, b"first", deadline_s=soon(0.1))
        assert post(channel, b"second") == b"re: second"
        assert channel.open(soon()) == 2
        go.set()


def test_a_connection_that_was_closed_meanwhile_is_made_anew_without_a_failure(make: Make):
    with answering(echo, idle_s=0.05) as peer:
        channel = make(peer.port)
        for _ in range(3):
            assert post(channel) == b"re: x"
            time.sleep(0.2)
        assert channel.open(soon()) == 4
    with answering(lambda asked: (*echo(asked)[:2], {"Connection": "close"})) as peer:
        channel = make(peer.port)
        assert [post(channel) for _ in range(3)] == [b"re: x"] * 3


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "the connection was lost: Remote end closed"),
        (b"SSH-2.0-OpenSSH\r\n", "the connection was lost: SSH-2.0-OpenSSH"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "was lost: IncompleteRead"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
            "was lost: IncompleteRead",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc",
            "was lost: IncompleteRead",
        ),
    ],
)
def test_a_lost_connection_is_told(make: Make, reply: bytes, text: str):
    with raw(reply) as port:
        channel = make(port)
        with pytest.raises(BackendUnavailable, match=text):
            post(channel)


def test_a_server_that_ends_in_the_middle_and_comes_back_is_found_again(make: Make):
    with answering(lambda _: None) as peer:
        channel = make(peer.port)
        with pytest.raises(BackendUnavailable, match="the connection was lost"):
            post(channel)
    with answering(echo, port=peer.port):
        time.sleep(QUICK.backoff_s)
        assert post(channel) == b"re: x"


def test_an_answer_that_stops_in_the_middle_is_not_waited_for(make: Make):
    go = threading.Event()
    with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", go=go) as port:
        channel = make(port)
        started_s = time.monotonic()
        with pytest.raises(BackendSilent, match="stopped in the middle of its answer"):
            post(channel, deadline_s=soon(0.2))
        assert time.monotonic() - started_s < 1.0


def test_an_answer_beyond_the_limit_is_refused(make: Make):
    with answering(lambda asked: (200, bytes(len(asked.body)), {})) as peer:
        channel = make(peer.port, max_bytes=1000)
        assert len(post(channel, bytes(1000))) == 1000
        with pytest.raises(WireFormatError, match="more than the 1000 bytes that are allowed"):
            post(channel, bytes(1001))
        assert len(post(channel, bytes(10))) == 10


def test_a_request_that_the_network_does_not_take_ends_in_time(make: Make):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        channel = make(listening.getsockname()[1])
        started_s = time.monotonic()
        with pytest.raises(BackendUnavailable, match="the request cannot be sent: timed out"):
            post(channel, bytes(50_000_000), deadline_s=soon(0.3))
        assert time.monotonic() - started_s < 2.0


def test_closing_twice_does_nothing(make: Make):
    with answering(echo) as peer:
        channel = make(peer.port)
        channel.close()
        post(channel)
        channel.close()
        channel.close()
        assert post(channel) == b"re: x"
        assert channel.open(soon()) == 2
