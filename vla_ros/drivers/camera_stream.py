# SPDX-License-Identifier: Apache-2.0
"""Reads a camera in a thread of its own, and opens it anew when it is gone or falls silent.

``start``, ``stop`` and ``state`` belong to whoever owns the stream, in any thread; images are
handed over in the stream's own thread. A read that blocks keeps nobody waiting but that thread,
which is left behind if it does not come back in time, and lets go of the camera when it does.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.usb_camera import Frame

_LOG = logging.getLogger(__name__)
_JOIN_S = 1.0
# Between two attempts to open a camera: doubled each time, up to the second.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
# After a read that came back with nothing; a camera that is gone comes back at once.
_NOTHING_PAUSE_S = 0.02


class Camera(Protocol):
    """A camera that is open, as ``UsbCamera`` is."""

    corrupt: int
    compresses: bool
    fps: float

    def read(self) -> Frame | None:
        """The next image, or None if none came."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """How a stream does.

    Attributes:
        problem: Why there are no images; empty while there are.
        opened: How often the camera was opened.
        frames: Images that came.
        corrupt: Images that were not whole.
        compresses: Whether the camera compresses them itself.
        fps: Images per second that it promises [Hz]; 0: it does not say.
    """

    problem: str = "no image has come yet"
    opened: int = 0
    frames: int = 0
    corrupt: int = 0
    compresses: bool = False
    fps: float = 0.0


class CameraStream:
    """A camera's images, for as long as they are wanted."""

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        on_frame: Callable[[Frame], None],
        *,
        silence_s: float,
        guard: AbstractContextManager[object],
    ) -> None:
        """Prepare; ``start`` opens the camera.

        Args:
            open_camera: Opens it; raises DeviceError where it cannot.
            on_frame: Takes each image.
            silence_s: A camera from which nothing whole came for so long is opened anew.
            guard: A context in which the thread runs, told of an exception that ends it.
        """
        self._open_camera = open_camera
        self._on_frame = on_frame
        self._silence_s = silence_s
        self._guard = guard
        self._state = StreamState()
        self._tried = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)

    @property
    def state(self) -> StreamState:
        """How it does now."""
        return self._state

    def start(self, timeout_s: float) -> None:
        """Open the camera; what happens to it from then on is dealt with.

        Raises:
            DeviceError: It cannot be opened, or not in this time. Then ``stop``.
        """
        self._thread.start()
        if not self._tried.wait(timeout_s):
            raise DeviceError(f"the camera was not open after {timeout_s:g} s")
        if not self._state.opened:
            raise DeviceError(self._state.problem)

    def stop(self) -> None:
        """Read no more; no image is handed over after this."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            _LOG.warning("the camera does not answer; its thread is left behind")

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        with self._guard:
            while not self._stop.is_set():
                before = self._state.frames
                try:
                    with contextlib.closing(self._open_camera()) as camera:
                        self._opened(camera)
                        self._read(camera)
                except DeviceError as error:
                    self._lost(str(error))
                came = self._state.frames > before
                pause_s = _FIRST_PAUSE_S if came else min(2.0 * pause_s, _LONGEST_PAUSE_S)
                self._stop.wait(pause_s)

    def _read(self, camera: Camera) -> None:
        """Hand over images until it shall end, or until there are none any more."""
        corrupt = self._state.corrupt
        heard_s = time.monotonic()
        while not self._stop.is_set():
            frame = camera.read()
            if self._stop.is_set():
                return
            if frame is not None:
                heard_s = time.monotonic()
                self._came(corrupt + camera.corrupt)
                self._on_frame(frame)
            elif time.monotonic() - heard_s > self._silence_s:
                raise DeviceError(f"the camera has sent nothing whole for {self._silence_s:g} s")
            else:
                self._state = replace(self._state, corrupt=corrupt + camera.corrupt)
                self._stop.wait(_NOTHING_PAUSE_S)

    def _opened(self, camera: Camera) -> None:
        self._state = replace(
            self._state,
            opened=self._state.opened + 1,
            compresses=camera.compresses,
            fps=camera.fps,
        )
        self._tried.set()

    def _came(self, corrupt: int) -> None:
        """An image came."""
        if self._state.problem and self._state.frames:
            _LOG.info("the camera is there again")
        self._state = replace(
            self._state, problem="", frames=self._state.frames + 1, corrupt=corrupt
        )

    def _lost(self, problem: str) -> None:
        """There are no images, for a reason that is told once."""
        if self._state.problem != problem and self._state.opened:
            _LOG.warning(problem)
        self._state = replace(self._state, problem=problem)
        self._tried.set()
