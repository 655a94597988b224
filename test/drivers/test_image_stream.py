# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from test.support.image_feeder import Feeder, source, unused_port
from test.support.pictures import picture
from test.support.zmq_peers import serving
from vla_ros.drivers.image_server import ImageServer, LegacyImageServer
from vla_ros.drivers.image_stream import LEGACY_SOURCE, ImageHost, ImageStream, StreamedImage
from vla_ros.drivers.teleimager import encode_config

SILENCE_S = 0.4


class Owner:
    """Whoever owns the stream under test, and keeps what it gets."""

    def __init__(self, host: ImageHost, *wanted: str) -> None:
        self.got: list[StreamedImage] = []
        self.news = threading.Condition()
        self.stream = ImageStream(
            host,
            wanted,
            self._take,
            silence_s=SILENCE_S,
            guard=contextlib.nullcontext(),
        )
        self.stream.start()

    def _take(self, image: StreamedImage) -> None:
        with self.news:
            self.got.append(image)
            self.news.notify_all()

    def newest(self) -> dict[str, bytes]:
        with self.news:
            return {image.source: image.data for image in self.got}

    def until(self, condition: Callable[[], Any]) -> None:
        end_s = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < end_s, (self.stream.state, self.newest().keys())
            with self.news:
                self.news.wait(0.02)

    def forget(self) -> None:
        with self.news:
            self.got.clear()


@pytest.fixture
def undo() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as made:
        yield made


def feeding(undo: contextlib.ExitStack, config_port: int = 0, **images: bytes) -> Feeder:
    server = ImageServer([source(name) for name in images], config_port=config_port)
    made = Feeder(server, **images)
    undo.callback(made.end)
    return made


def owning(undo: contextlib.ExitStack, *wanted: str, **host: Any) -> Owner:
    made = Owner(ImageHost("127.0.0.1", **host), *wanted)
    undo.callback(made.stream.stop)
    return made


def test_images_come_as_they_were_sent_with_the_time_of_receipt(undo: contextlib.ExitStack):
    feeder = feeding(undo, one=picture(1), two=picture(2), three=picture(3))
    assert isinstance(feeder.server, ImageServer)
    begun_ns = time.monotonic_ns()
    owner = owning(undo, "one", "three", config_port=feeder.server.config_port)

    owner.until(lambda: len(owner.newest()) == 2)

    assert owner.newest() == {"one": picture(1), "three": picture(3)}
    assert all(begun_ns < image.received_ns <= time.monotonic_ns() for image in owner.got)
    assert owner.stream.state.protocol == "teleimager"
    assert owner.stream.state.problem == ""
    assert set(owner.stream.state.sources) == {"one", "two", "three"}
    assert owner.stream.state.searches == 1


def test_a_server_that_comes_later_is_found_and_one_that_moved_is_found_again(
    undo: contextlib.ExitStack, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    config_port = unused_port()
    owner = owning(undo, "one", config_port=config_port, protocol="teleimager")
    owner.until(lambda: "no image server answers at" in owner.stream.state.problem)

    first = feeding(undo, config_port, one=picture(1))
    owner.until(lambda: owner.newest().get("one") == picture(1))
    assert owner.stream.state.problem == ""
    first.end()
    owner.until(lambda: "no image server answers" in owner.stream.state.problem)

    # Its images come at another port now.
    feeding(undo, config_port, one=picture(2))
    owner.until(lambda: owner.newest().get("one") == picture(2))
    assert owner.stream.state.problem == ""
    assert caplog.text.count("no image server answers") == 2


def test_one_silent_source_disturbs_no_other(undo: contextlib.ExitStack):
    feeder = feeding(undo, one=picture(1), two=picture(2))
    assert isinstance(feeder.server, ImageServer)
    owner = owning(
        undo, "one", "two", "missing", config_port=feeder.server.config_port, protocol="auto"
    )
    owner.until(lambda: len(owner.newest()) == 2)

    del feeder.images["two"]
    searches = owner.stream.state.searches
    owner.until(lambda: owner.stream.state.searches >= searches + 4)
    with owner.news:
        times_s = [image.received_ns * 1e-9 for image in owner.got if image.source == "one"]
    gaps_s = [after - before for before, after in itertools.pairwise(times_s)]
    assert max(gaps_s) < 0.3
    assert owner.stream.state.protocol == "teleimager"

    owner.forget()
    feeder.images["two"] = picture(22)
    owner.until(lambda: owner.newest().get("two") == picture(22))


def test_living_images_are_kept_although_nobody_tells_of_them_any_more(
    undo: contextlib.ExitStack,
):
    """The configuration's server is gone, and one source is silent: no reason to drop the other."""
    feeder = feeding(undo, one=picture(1), two=picture(2))
    assert isinstance(feeder.server, ImageServer)
    config_port = unused_port()
    server = feeder.server
    with serving(lambda _: encode_config(server.sources), port=config_port):
        owner = owning(undo, "one", "two", config_port=config_port)
        owner.until(lambda: len(owner.newest()) == 2)
    del feeder.images["two"]

    owner.until(lambda: "no image server answers" in owner.stream.state.problem)
    owner.forget()
    owner.until(lambda: "one" in owner.newest())
    assert owner.stream.state.protocol == "teleimager"


def test_the_legacy_protocol_is_found_out_and_left_again(undo: contextlib.ExitStack):
    legacy = Feeder(LegacyImageServer(["one", "two"], port=0), one=picture(1), two=picture(2))
    ended = undo.enter_context(contextlib.ExitStack())
    ended.callback(legacy.end)
    assert isinstance(legacy.server, LegacyImageServer)
    config_port = unused_port()
    owner = owning(undo, "one", config_port=config_port, legacy_port=legacy.server.port)
    owner.until(lambda: LEGACY_SOURCE in owner.newest())
    assert (owner.stream.state.protocol, owner.stream.state.problem) == ("legacy", "")

    ended.close()
    owner.until(lambda: "trying the legacy protocol at port" in owner.stream.state.problem)
    feeding(undo, config_port, one=picture(3))

    owner.until(lambda: owner.newest().get("one") == picture(3))
    assert owner.stream.state.protocol == "teleimager"


def test_the_legacy_protocol_is_spoken_where_it_is_demanded(undo: contextlib.ExitStack):
    legacy = Feeder(LegacyImageServer(["one"], port=0), one=picture(1))
    undo.callback(legacy.end)
    assert isinstance(legacy.server, LegacyImageServer)
    new = feeding(undo, one=picture(2))
    assert isinstance(new.server, ImageServer)
    owner = owning(
        undo,
        "one",
        config_port=new.server.config_port,
        legacy_port=legacy.server.port,
        protocol="legacy",
    )

    owner.until(lambda: LEGACY_SOURCE in owner.newest())

    assert owner.newest().keys() == {LEGACY_SOURCE}


@pytest.mark.parametrize("answer", [b"nonsense", b'{"one": {"enable_zmq": true}}'])
def test_a_server_that_answers_something_else_is_named(undo: contextlib.ExitStack, answer: bytes):
    with serving(lambda _: answer) as server:
        owner = owning(undo, "one", config_port=server.port)
        owner.until(lambda: "camera" in owner.stream.state.problem)
        begun = len(server.requests)
        time.sleep(0.2)
        # It is asked again, but not all the time.
        assert len(server.requests) <= begun + 1


def test_a_host_that_is_none_is_named(undo: contextlib.ExitStack):
    owner = Owner(ImageHost("not a host"), "one")
    undo.callback(owner.stream.stop)

    owner.until(lambda: "tcp://not a host:60000 cannot be connected" in owner.stream.state.problem)


def test_a_stream_stops_soon_whatever_it_is_doing(undo: contextlib.ExitStack):
    waiting = owning(undo, "one", config_port=unused_port())
    feeder = feeding(undo, one=picture(1))
    assert isinstance(feeder.server, ImageServer)
    busy = owning(undo, "one", config_port=feeder.server.config_port)
    busy.until(busy.newest)

    for owner in (waiting, busy):
        begun_s = time.monotonic()
        owner.stream.stop()
        assert time.monotonic() - begun_s < 0.5
        owner.forget()
    with busy.news:
        assert not busy.news.wait_for(lambda: busy.got, 0.1)


def test_an_owner_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture, undo: Any):
    feeder = feeding(undo, one=picture(1))
    assert isinstance(feeder.server, ImageServer)
    let_go, entered = threading.Event(), threading.Event()

    def hang(_: StreamedImage) -> None:
        entered.set()
        let_go.wait(10.0)

    stream = ImageStream(
        ImageHost("127.0.0.1", feeder.server.config_port),
        ["one"],
        hang,
        silence_s=SILENCE_S,
        guard=contextlib.nullcontext(),
    )
    stream.start()
    assert entered.wait(5.0)
    stream.stop()

    assert "left behind" in caplog.text
    let_go.set()
