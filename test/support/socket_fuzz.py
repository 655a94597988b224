# SPDX-License-Identifier: Apache-2.0
"""Feeds random and changed requests to a running server, as fast as its protocol allows.

Each sender sends all messages, sees that each is answered (or, where its protocol wants it so, that
the server hangs up), and gives how many were accepted.
"""

from __future__ import annotations

import random
import re
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import grpc
import zmq

from test.support.fuzz import mutated
from test.support.golden_server import GOLDEN as GR00T_GOLDEN
from test.support.gr00t_samples import observation, policy
from test.support.lerobot_client import setup, shown
from test.support.protocols import POLICY
from vla_ros.core.policy_io import policy_input
from vla_ros.wire.act.request import RESET, ActObservation
from vla_ros.wire.act.request import encode_observation as encode_act
from vla_ros.wire.gr00t import http
from vla_ros.wire.gr00t.observation import encode_observation as encode_gr00t
from vla_ros.wire.lerobot.methods import (
    GET_ACTIONS,
    READY,
    SEND_OBSERVATIONS,
    SEND_POLICY_INSTRUCTIONS,
)
from vla_ros.wire.lerobot.protobuf import observation_parts
from vla_ros.wire.openpi.request import encode_observation as encode_openpi
from vla_ros.wire.openpi.request import encode_reset

PATIENCE_S = 20.0
GIVEN = policy_input(policy(POLICY), observation())

Accepted = int
Sender = Callable[[int, int, int], Accepted]


def _changed(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """Messages made of others, and now and then one as it was, which keeps the policy busy."""
    rng = random.Random(-seed)
    for data in mutated(seeds, count, seed):
        yield rng.choice(seeds) if rng.random() < 0.1 else data


def over_gr00t_zmq(port: int, count: int, seed: int) -> Accepted:
    """Requests of all three wires, some of them in several parts."""
    seeds = [path.read_bytes() for path in sorted(GR00T_GOLDEN.glob("*/*_request.msgpack"))]
    return _over_zmq(port, _changed(seeds, count, seed), b"\x81\xa5error")


def over_act(port: int, count: int, seed: int) -> Accepted:
    """Pickles."""
    seen = ActObservation(GIVEN.state_vector.astype("float32"), GIVEN.video)
    return _over_zmq(port, _changed([encode_act(seen), RESET], count, seed), b"ERROR")


def _over_zmq(port: int, messages: Iterator[bytes], refused: bytes) -> Accepted:
    rng, accepted = random.Random(1), 0
    with zmq.Context() as context:
        clients = [context.socket(zmq.DEALER) for _ in range(8)]
        for client in clients:
            client.linger = 0
            client.rcvtimeo = round(PATIENCE_S * 1000)
            client.connect(f"tcp://127.0.0.1:{port}")
        while group := list(islice(messages, 32 * len(clients))):
            for index, data in enumerate(group):
                cut = rng.randrange(len(data) + 1) if rng.random() < 0.1 else 0
                parts = [data[:cut], data[cut:]] if cut else [data]
                clients[index % len(clients)].send_multipart([b"name", b"", *parts])
            for index in range(len(group)):
                # Exactly one reply for each request.
                name, empty, reply = clients[index % len(clients)].recv_multipart()
                assert (name, empty) == (b"name", b"")
                accepted += refused not in reply[:64]
        for client in clients:
            assert not client.poll(0)
            client.close()
    return accepted


_TREE = http.ActRequest(encode_gr00t(GIVEN, http.ARRANGEMENT), {"stamp_ns": 5, "request_id": 7})
_HEAD = (
    "{} HTTP/1.1\r\nHost: robot\r\nContent-Type: {}\r\nContent-Length: {}\r\nX: y\r\n\r\n"
)  # fmt: skip
_PATHS = (
    "POST /reset",
    "GET /health",
    "GET /metrics",
    "POST /reload",
    "GET /act",
    "GET /%00",
)


def over_gr00t_http(port: int, count: int, seed: int) -> Accepted:
    """Bodies over connections that stay; one of ten messages is changed from its head on."""
    rng, whole = random.Random(seed), count // 10
    seeds = {kind: http.encode_act(_TREE, kind) for kind in (http.JSON, http.MSGPACK)}
    bodies = _changed(list(seeds.values()), count - whole, seed)
    clients = [_connected(port) for _ in range(4)]
    replies = [client.makefile("rb") for client in clients]
    statuses: Counter[int] = Counter()
    while group := list(islice(bodies, 16 * len(clients))):
        for index, body in enumerate(group):
            path = rng.choice(_PATHS) if rng.random() < 0.1 else "POST /act"
            kind = rng.choice((*seeds, *seeds, "text/plain", ""))
            head = _HEAD.format(path, kind, len(body)).encode()
            clients[index % len(clients)].sendall(head + body)
        statuses.update(_http_status(replies[index % len(clients)]) for index in range(len(group)))
    for client, reply in zip(clients, replies, strict=True):
        reply.close()
        client.close()
    for head in _changed(_whole_requests(seeds), whole, seed):
        found = re.match(rb"HTTP/1.1 (\d{3}) ", _last_words(port, head))
        statuses[int(found[1]) if found else 0] += 1
    assert not statuses.keys() - {0, 200, 400, 403, 404, 405, 411, 413, 414, 431, 501, 503, 505}
    return statuses[200]


def _whole_requests(bodies: dict[str, bytes]) -> list[bytes]:
    return [
        *(
            _HEAD.format("POST /act", kind, len(body)).encode() + body
            for kind, body in bodies.items()
        ),
        *(_HEAD.format(path, http.JSON, 0).encode() for path in _PATHS),
        _HEAD.format("PUT /act", http.JSON, 0).encode(),
        b"POST /act HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    ]


def _http_status(reply: Any) -> int:
    """Reads one reply."""
    status, length = reply.readline().split(b" ", 2)[1], 0
    while (line := reply.readline()) != b"\r\n":
        name, _, value = line.partition(b":")
        length = int(value) if name == b"Content-Length" else length
    assert len(reply.read(length)) == length
    return int(status)


_REFUSALS = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    # Something newer of the same client came.
    grpc.StatusCode.UNAVAILABLE,
)


def over_lerobot(port: int, count: int, seed: int) -> Accepted:
    """Setups and observations, whose actions are asked for once they are accepted."""
    rng, accepted = random.Random(seed), 0
    [part] = observation_parts(shown(must_go=True))
    setups, parts = _changed([setup()], count, seed), _changed([part], count, seed + 1)
    channels = [
        grpc.insecure_channel(f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)])
        for _ in range(5)
    ]
    calls = {
        (channel, method): kind(method)
        for channel in channels
        for method, kind in (
            (READY, channel.unary_unary),
            (SEND_POLICY_INSTRUCTIONS, channel.unary_unary),
            (SEND_OBSERVATIONS, channel.stream_unary),
            (GET_ACTIONS, channel.unary_unary),
        )
    }
    under_way: deque[tuple[grpc.Channel, str, Any]] = deque()
    # Of two that ask for actions one would wait for long.
    asking: set[grpc.Channel] = set()

    def begin(channel: grpc.Channel, method: str, message: Any) -> None:
        # An older call may have taken the observation whose actions are asked for.
        timeout_s = 0.2 if method == GET_ACTIONS else PATIENCE_S
        call = calls[channel, method].future(message, timeout=timeout_s)
        under_way.append((channel, method, call))

    for index in range(count):
        channel, chance = channels[index % len(channels)], rng.random()
        if chance < 0.002:
            begin(channel, READY, next(parts))
        elif chance < 0.5:
            begin(channel, SEND_POLICY_INSTRUCTIONS, next(setups))
        else:
            begin(channel, SEND_OBSERVATIONS, iter([next(parts)] * rng.choice((1, 1, 1, 2))))
        while len(under_way) > (2 * len(channels) if index < count - 1 else 0):
            channel, method, call = under_way.popleft()
            error = call.exception()
            gave_up = method == GET_ACTIONS and call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert error is None or call.code() in _REFUSALS or gave_up, error
            accepted += error is None
            if method == GET_ACTIONS:
                asking.remove(channel)
            elif method == SEND_OBSERVATIONS and error is None and channel not in asking:
                asking.add(channel)
                begin(channel, GET_ACTIONS, b"")
    for channel in channels:
        channel.close()
    return accepted


_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: robot\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


_TEXT, _BINARY = 1, 2


def over_openpi(port: int, count: int, seed: int) -> Accepted:
    """A connection for each message, as the server hangs up on a wrong one."""
    rng, accepted = random.Random(seed), 0
    seeds = [encode_openpi(GIVEN), encode_openpi(GIVEN, session_id="a"), encode_reset("a")]
    payloads = _changed(seeds, count, seed)
    frames = _changed([_UPGRADE + _frame(_BINARY, each) for each in seeds], count, seed)
    under_way: deque[socket.socket] = deque()
    for index in range(count):
        client, wrong = _connected(port), rng.random() < 0.1
        message = _frame(_TEXT if rng.random() < 0.1 else _BINARY, next(payloads))
        with suppress(OSError):
            client.sendall(next(frames) if wrong else _UPGRADE + message)
            if wrong:
                # Else the rest of a frame would be waited for.
                client.shutdown(socket.SHUT_WR)
        under_way.append(client)
        while len(under_way) > (32 if index < count - 1 else 0):
            kinds = list(islice(_frames(under_way.popleft()), 2))
            accepted += kinds == [_BINARY, _BINARY]
    return accepted


def _frames(client: socket.socket) -> Iterator[int]:
    """The kinds of the frames that come until the server hangs up, or nobody wants more."""
    with client, client.makefile("rb") as stream, suppress(ConnectionError):
        while stream.readline().strip():
            pass
        while len(head := stream.read(2)) == 2:
            length = head[1]
            if length > 125:
                length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
            stream.read(length)
            yield head[0] & 0xF


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame of a client, masked with zeros."""
    length = len(payload)
    if length < 126:
        size = bytes([0x80 | length])
    elif length < 1 << 16:
        size = struct.pack("!BH", 0x80 | 126, length)
    else:
        size = struct.pack("!BQ", 0x80 | 127, length)
    return bytes([0x80 | kind]) + size + bytes(4) + payload


def noise(port: int, count: int, seed: int) -> None:
    """Connections that speak no protocol at all, most of which vanish."""
    rng = random.Random(seed)
    for data in _changed([_UPGRADE, b"\xff\0\0\0\0\0\0\0\x01\x7f\x03\0NULL"], count, seed):
        client = _connected(port)
        with suppress(OSError):
            client.sendall(data)
        if rng.random() < 0.5:
            client.close()
        else:
            with suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            _read_all(client)


def _connected(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), PATIENCE_S)
    # No port of ours is kept for a while after the end.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return client


def _last_words(port: int, data: bytes) -> bytes:
    client = _connected(port)
    with suppress(OSError):
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
    return _read_all(client)


def _read_all(client: socket.socket) -> bytes:
    """What comes until the other side hangs up, which it must in time."""
    words = b""
    with client, suppress(OSError):
        while data := client.recv(65536):
            words += data
    return words


SENDERS: dict[str, Sender] = {
    "gr00t": over_gr00t_zmq,
    "gr00t_http": over_gr00t_http,
    "lerobot": over_lerobot,
    "act": over_act,
    "openpi": over_openpi,
}
