# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.camera_stream import Camera, CameraStream
from vla_ros.drivers.usb_camera import Frame

SILENCE_S = 0.15


class Scripted:
    """A camera that does one thing after the other, and the last for ever."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.corrupt = 0
        self.compresses = True
        self.fps = 30.0
        self.closed = threading.Event()
        self.hold = threading.Event()

    def read(self) -> Frame | None:
        what = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if what == "block":
            self.hold.wait(10.0)
            return frame(99)
        if isinstance(what, Exception):
            raise what
        time.sleep(0.005)
        if what == "corrupt":
            self.corrupt += 1
        return frame(what) if isinstance(what, int) else None

    def close(self) -> None:
        self.closed.set()


def frame(number: int) -> Frame:
    return Frame(np.array([number], dtype=np.uint8), time.monotonic_ns())


class Owner:
    """Whoever owns the stream under test: opens what is next, and keeps what it gets."""

    def __init__(self, *cameras: Camera | Exception) -> None:
        self.cameras = list(cameras)
        self.opened_s: list[float] = []
        self.got: list[int] = []
        self.news = threading.Condition()
        self.stream = CameraStream(
            self._open, self._take, silence_s=SILENCE_S, guard=contextlib.nullcontext()
        )

    def until(self, condition: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 5.0
        while not condition():
            assert time.monotonic() < end_s, f"it did not come: {self.stream.state}, {self.got}"
            with self.news:
                self.news.wait(0.01)

    def _open(self) -> Camera:
        self.opened_s.append(time.monotonic())
        camera = self.cameras.pop(0) if len(self.cameras) > 1 else self.cameras[0]
        if isinstance(camera, Exception):
            raise camera
        return camera

    def _take(self, frame: Frame) -> None:
        with self.news:
            self.got.append(int(frame.jpeg[0]))
            self.news.notify_all()


@pytest.fixture
def owner() -> Iterator[Callable[..., Owner]]:
    made: list[Owner] = []

    def make(*cameras: Camera | Exception) -> Owner:
        made.append(Owner(*cameras))
        return made[-1]

    yield make
    for each in made:
        for camera in each.cameras:
            if isinstance(camera, Scripted):
                camera.hold.set()
        each.stream.stop()


def test_images_are_handed_over_in_order_and_counted(owner):
    camera = Scripted(1, 2, "corrupt", 3, "corrupt", 4)
    mine = owner(camera)

    mine.stream.start(5.0)
    mine.until(lambda: len(mine.got) >= 4)
    mine.stream.stop()

    state = mine.stream.state
    assert mine.got[:4] == [1, 2, 3, 4]
    assert (state.problem, state.opened, state.corrupt, state.fps) == ("", 1, 2, 30.0)
    assert state.frames == len(mine.got)
    assert camera.closed.is_set()


def test_a_camera_that_cannot_be_opened_is_said_at_once(owner):
    mine = owner(DeviceError("camera 7 does not exist"))

    with pytest.raises(DeviceError, match="camera 7 does not exist"):
        mine.stream.start(5.0)
    assert mine.stream.state.opened == 0


def test_a_camera_that_takes_too_long_to_open_is_said_too(owner):
    blocked = threading.Event()

    def opening() -> Camera:
        blocked.wait(5.0)
        raise DeviceError("never")

    stream = CameraStream(opening, print, silence_s=1.0, guard=contextlib.nullcontext())
    with pytest.raises(DeviceError, match=r"the camera was not open after 0.05 s"):
        stream.start(0.05)
    blocked.set()
    stream.stop()


def test_a_camera_that_is_gone_is_opened_again_and_again_until_it_is_back(owner, caplog):
    caplog.set_level(logging.INFO, "vla_ros")
    away = [DeviceError("camera x does not exist")] * 3
    first = Scripted(1, DeviceError("camera x is gone"))
    mine = owner(first, *away, Scripted(2))

    mine.stream.start(5.0)
    mine.until(lambda: 2 in mine.got)

    assert first.closed.is_set()
    assert mine.stream.state.problem == ""
    assert mine.stream.state.opened == 2
    pauses_s = np.diff(mine.opened_s)
    assert (pauses_s > [0.09, 0.19, 0.39, 0.79]).all()
    assert pauses_s[3] < 1.5
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["camera x is gone", "camera x does not exist", "the camera is there again"]


def test_a_camera_that_falls_silent_is_opened_anew(owner):
    silent = Scripted(1, None)
    mine = owner(silent, Scripted(2))

    mine.stream.start(5.0)
    mine.until(lambda: "sent nothing whole for 0.15 s" in mine.stream.state.problem)
    mine.until(lambda: 2 in mine.got)

    assert silent.closed.is_set()


def test_a_camera_that_sends_only_rubbish_is_opened_anew_and_all_of_it_is_counted(owner):
    mine = owner(Scripted(1, "corrupt"), Scripted("corrupt", "corrupt", 2))

    mine.stream.start(5.0)
    mine.until(lambda: 2 in mine.got)

    assert mine.stream.state.opened == 2
    assert mine.stream.state.corrupt > 4


def test_a_blocked_read_holds_nobody_up_and_its_image_is_not_handed_over(owner, caplog):
    camera = Scripted(1, "block")
    mine = owner(camera)
    mine.stream.start(5.0)
    mine.until(lambda: mine.got == [1])

    begun_s = time.monotonic()
    mine.stream.stop()

    assert time.monotonic() - begun_s < 1.5
    assert "its thread is left behind" in caplog.text
    assert not camera.closed.is_set()
    camera.hold.set()
    assert camera.closed.wait(2.0)
    assert mine.got == [1]


def test_stopping_does_not_wait_for_the_next_attempt(owner):
    mine = owner(Scripted(1, DeviceError("gone")), DeviceError("still gone"))
    mine.stream.start(5.0)
    mine.until(lambda: len(mine.opened_s) >= 3)

    begun_s = time.monotonic()
    mine.stream.stop()

    assert time.monotonic() - begun_s < 0.5


def test_another_error_goes_to_the_guard(owner):
    seen: list[BaseException | None] = []

    class Guard(contextlib.AbstractContextManager):
        def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
            seen.append(error)
            return True

    def take(_: Frame) -> None:
        raise ZeroDivisionError

    camera = Scripted(1)
    stream = CameraStream(lambda: camera, take, silence_s=1.0, guard=Guard())
    stream.start(5.0)

    assert camera.closed.wait(2.0)
    stream.stop()
    assert [type(error) for error in seen] == [ZeroDivisionError]
