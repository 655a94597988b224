# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import numpy as np
import pytest

from test.support.asked import CLIENT
from test.support.golden_server import GoldenServer, golden
from test.support.gr00t_samples import policy
from test.support.zmq_peers import Server, serving
from vla_ros.backends._gr00t_client import Gr00tClient
from vla_ros.backends._patience import ChannelTimes
from vla_ros.backends._zmq_channel import ZmqChannel
from vla_ros.core.errors import BackendUnavailable, RemotePolicyError, WireFormatError
from vla_ros.serving.gr00t_service import Gr00tService
from vla_ros.wire.gr00t.capabilities import Capabilities
from vla_ros.wire.gr00t.message import decode_request, encode_error
from vla_ros.wire.gr00t.wires import Gr00tWire

wires = pytest.mark.parametrize("wire", list(Gr00tWire))


def soon() -> float:
    return time.monotonic() + 10.0


@contextmanager
def asking(
    answer: Callable[..., bytes | None], token: str | None = None, *, drain_s: float = 30.0
) -> Iterator[tuple[Gr00tClient, Server]]:
    with serving(answer) as server:
        address = f"tcp://127.0.0.1:{server.port}"
        channel = ZmqChannel(address, times=ChannelTimes(drain_s=drain_s), max_bytes=10**6)
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
        modality, told, is_ours = client.get_modality_config(soon())

        assert told is wire
        assert not is_ours
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


def test_a_request_may_have_parts():
    image = np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)
    seen = []

    def answer(request: bytes, *rest: bytes) -> bytes:
        seen.append(decode_request(request, rest))
        return golden(Gr00tWire.B, "get_action_reply")

    with asking(answer) as (client, _):
        client.get_action({"image": image}, Gr00tWire.B, soon(), in_parts=True)

    np.testing.assert_array_equal(seen[0].data["image"], image)


@wires
def test_large_requests_share_their_memory_as_long_as_they_are_answered(wire: Gr00tWire):
    images = [np.full((200, 200, 3), shade, np.uint8) for shade in range(5)]
    seen = []

    def answer(request: bytes) -> bytes | None:
        shade = int(decode_request(request).data["image"].max())
        assert (decode_request(request).data["image"] == shade).all()
        seen.append(shade)
        return None if shade == 2 else golden(wire, "get_action_reply")

    with asking(answer, drain_s=0.2) as (client, server):
        for image in images[:2]:
            client.get_action({"image": image}, wire, soon())
        with pytest.raises(BackendUnavailable, match="gave no answer"):
            client.get_action({"image": images[2]}, wire, time.monotonic() + 0.05)
        for image in images[3:]:
            client.get_action({"image": image}, wire, soon())
        assert seen == list(range(5))
        assert len(set(map(len, server.requests))) == 1


def test_a_server_of_ours_is_known_and_asked_more():
    ours = Gr00tService(policy(), ipc="ipc:///there")
    asked = []

    def answer(request: bytes, *rest: bytes) -> Any:
        asked.append((decode_request(request, rest), len(rest)))
        return ours.begin(request, CLIENT, [memoryview(part) for part in rest])

    with asking(answer) as (client, _):
        assert client.get_modality_config(soon())[2]
        assert client.get_capabilities(soon()) == Capabilities(
            jpeg=True, multipart=True, ipc="ipc:///there"
        )
        assert 0.0 < client.measure_link(100_000, soon()) < 10.0

    assert [(request.endpoint, count) for request, count in asked] == [
        ("get_modality_config", 0), ("get_capabilities", 0), ("measure_link", 1),
    ]  # fmt: skip
    assert asked[2][0].data["bytes"].nbytes == 100_000


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
