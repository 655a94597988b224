# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgpack
import numpy as np
import pytest

from test.support.golden_server import GoldenServer, golden
from test.support.zmq_peers import Server, serving
from vla_ros.backends._gr00t_client import Gr00tClient
from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, WireFormatError
from vla_ros.wire.gr00t.message import encode_error
from vla_ros.wire.gr00t.wires import Gr00tWire

wires = pytest.mark.parametrize("wire", list(Gr00tWire))


def soon() -> float:
    return time.monotonic() + 10.0


@contextmanager
def asking(
    answer: Callable[[bytes], bytes | None], token: str | None = None
) -> Iterator[tuple[Gr00tClient, Server]]:
    with serving(answer) as server:
        address = f"tcp://127.0.0.1:{server.port}"
        channel = ZmqChannel(address, times=ChannelTimes(), max_bytes=10**6)
        clock = itertools.count(100)
        yield (
            Gr00tClient(channel, api_token=token, max_bytes=800, now_ns=lambda: next(clock)),
            server,
        )
        channel.close()


@wires
def test_each_endpoint_is_asked_as_nvidias_client_asks(wire: Gr00tWire):
    with asking(GoldenServer(wire)) as (client, server):
        client.ping(soon())
        assert client.reset(soon()) == {}
        modality, told = client.get_modality_config(soon())

        assert told is wire
        assert modality["video"].modality_keys == ("front", "wrist")
        assert server.requests == [
            golden(wire, f"{name}_request") for name in ("ping", "reset", "get_modality_config")
        ]


def test_the_token_is_said():
    with asking(GoldenServer(Gr00tWire.B), token="secret") as (client, server):
        client.kill(soon())

        assert server.requests == [golden(Gr00tWire.B, "kill_request")]


@wires
def test_an_action_is_asked_for_in_the_servers_wire_and_timed(wire: Gr00tWire):
    with asking(GoldenServer(wire)) as (client, server):
        answer = client.get_action({"x": np.zeros(2, np.float32)}, wire, soon())

        assert (b"as_npy" in server.requests[0]) == wire.has_npy_arrays
        assert (answer.sent_ns, answer.received_ns) == (100, 101)
        assert isinstance(answer.value, dict if wire is Gr00tWire.A5 else list)


def test_options_of_a_reset_are_sent_and_its_info_is_given_back():
    info = {"episode_index": 3, "current_step": 0}
    with asking(GoldenServer(Gr00tWire.B, reset=msgpack.packb(info))) as (client, server):
        assert client.reset(soon(), {"episode_index": 3}) == info
        assert msgpack.unpackb(server.requests[0])["data"] == {"options": {"episode_index": 3}}


def test_a_reset_that_says_nothing_is_one():
    with asking(GoldenServer(Gr00tWire.B, reset=b"\xc0")) as (client, _):
        assert client.reset(soon()) == {}


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (encode_error("state is missing"), RemotePolicyError, "says: state is missing"),
        (encode_error(""), RemotePolicyError, "an error without a text"),
        (b"ERROR", WireFormatError, "wire T"),
        (b"\xc1", WireFormatError, "not msgpack"),
        (bytes(801), WireFormatError, "message has 801 bytes; at most 800"),
    ],
)
def test_bad_answers(reply: bytes, kind: type[Exception], text: str):
    with (
        asking(GoldenServer(Gr00tWire.B, ping=reply)) as (client, _),
        pytest.raises(kind, match=text),
    ):
        client.ping(soon())


def test_silence():
    with (
        asking(GoldenServer(Gr00tWire.B, ping=None)) as (client, _),
        pytest.raises(BackendUnavailable, match="gave no answer"),
    ):
        client.ping(time.monotonic() + 0.05)
