# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Iterator

import pytest
import zmq

from test.support.pictures import picture
from vla_ros.core.errors import ConfigError, DeviceError
from vla_ros.drivers.image_server import ImageServer, LegacyImageServer
from vla_ros.drivers.jpeg import jpeg_size
from vla_ros.drivers.teleimager import ImageSource


class Client:
    """What upstream's client does, with sockets of its own."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        self.undo = undo
        self.context: zmq.Context[zmq.Socket[bytes]] = undo.enter_context(zmq.Context())

    def ask(self, port: int, request: bytes = b"GET_DATA") -> dict[str, object]:
        with self.context.socket(zmq.REQ) as asking:
            asking.linger = 0
            asking.connect(f"tcp://127.0.0.1:{port}")
            asking.send(request)
            assert asking.poll(5000)
            answer: dict[str, object] = json.loads(asking.recv())
            return answer

    def subscribe(self, port: int) -> zmq.Socket[bytes]:
        listening = self.undo.enter_context(self.context.socket(zmq.SUB))
        listening.linger = 0
        listening.subscribe(b"")
        listening.connect(f"tcp://127.0.0.1:{port}")
        return listening


@pytest.fixture
def client() -> Iterator[Client]:
    with contextlib.ExitStack() as undo:
        yield Client(undo)


def source(name: str, port: int = 0) -> ImageSource:
    return ImageSource(name, port, 48, 64, binocular=False, fps=30.0)


def first_of(
    server: ImageServer | LegacyImageServer,
    listening: zmq.Socket[bytes],
    *images: tuple[str, bytes],
) -> bytes:
    """What arrives; a subscription is known to the server a moment after it was made."""
    end_s = time.monotonic() + 5.0
    while time.monotonic() < end_s:
        for name, jpeg in images:
            server.publish(name, jpeg)
        if listening.poll(50):
            return listening.recv()
    raise AssertionError("nothing came")


def test_each_source_has_a_port_that_the_configuration_tells(client: Client):
    server = ImageServer([source("one"), source("two")], config_port=0)
    with contextlib.closing(server):
        told = client.ask(server.config_port)
        assert {name: entry["zmq_port"] for name, entry in told.items()} == {
            made.name: made.port for made in server.sources
        }
        # Upstream does not look at what it is asked.
        assert client.ask(server.config_port, b"anything") == told

        one, two = (client.subscribe(made.port) for made in server.sources)
        assert first_of(server, one, ("one", picture(1))) == picture(1)
        assert first_of(server, two, ("two", picture(2))) == picture(2)
        assert not one.poll(0) or one.recv() == picture(1)
        with pytest.raises(KeyError):
            server.publish("three", picture(3))


def test_a_slow_subscriber_gets_the_newest_image(client: Client):
    server = ImageServer([source("one")], config_port=0)
    with contextlib.closing(server):
        slow = client.subscribe(server.sources[0].port)
        slow.rcvhwm = 1
        first_of(server, slow, ("one", picture(0)))
        # More than what fits into the buffers of a connection.
        large = b"\xff\xd8\xff" + bytes(1_000_000)
        for number in range(100):
            server.publish("one", large + bytes([number]))

        numbers = []
        while slow.poll(500):
            numbers.append(slow.recv()[-1])

    assert numbers[-1] == 99
    assert len(numbers) < 60


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"serve images at tcp://\*:{taken}.*in use"):
            ImageServer([source("one")], config_port=taken)
        with pytest.raises(ConfigError, match="in use"):
            ImageServer([source("one", taken)], config_port=0)
        with pytest.raises(ConfigError, match="in use"):
            LegacyImageServer(["one"], port=taken)


def test_a_server_that_closed_leaves_its_ports_to_another():
    first = ImageServer([source("one")], config_port=0)
    first.close()
    first.close()

    again = ImageServer(first.sources, config_port=first.config_port)
    again.close()
    assert again.sources == first.sources


def test_every_port_that_is_given_is_shifted_for_another_robot():
    free = ImageServer([source("one")], config_port=0)
    legacy = LegacyImageServer(["one"], port=0)
    free.close()
    legacy.close()

    shifted = ImageServer(
        [source("one", free.sources[0].port - 10)],
        config_port=free.config_port - 10,
        port_offset=10,
        interface="127.0.0.1",
    )
    shifted_legacy = LegacyImageServer(["one"], port=legacy.port - 10, port_offset=10)
    shifted.close()
    shifted_legacy.close()

    assert (shifted.sources[0].port, shifted.config_port) == (
        free.sources[0].port,
        free.config_port,
    )
    assert shifted_legacy.port == legacy.port


@pytest.mark.parametrize("header", [False, True])
def test_the_legacy_server_sends_all_images_side_by_side(client: Client, header: bool):
    server = LegacyImageServer(["one", "two"], port=0, header=header)
    with contextlib.closing(server):
        listening = client.subscribe(server.port)
        server.publish("two", picture(9))
        data = first_of(server, listening, ("one", picture(1)), ("two", picture(2)))

        if header:
            time_s, number = struct.unpack("dI", data[:12])
            assert time_s == pytest.approx(time.time(), abs=10.0)
            assert number >= 0
            data = data[12:]
        assert jpeg_size(data) == (48, 128)
        with pytest.raises(KeyError):
            server.publish("three", picture(3))
        with pytest.raises(DeviceError, match=r"\[24, 48\] px"):
            server.publish("two", picture(2, height=24))
