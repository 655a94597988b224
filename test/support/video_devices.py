# SPDX-License-Identifier: Apache-2.0
"""V4L2 cameras for a process under test, made by preloading ``video_device.c``."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

HEIGHT, WIDTH = 48, 64


def jpeg(brightness: int = 100) -> bytes:
    """A JPEG file of one grey."""
    image = np.full((HEIGHT, WIDTH, 3), brightness, dtype=np.uint8)
    return cv2.imencode(".jpg", image)[1].tobytes()


class VideoDevices:
    """Cameras that exist for processes that are started with ``environment``."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("needs a C compiler")
        library = folder / "video_device.so"
        source = Path(__file__).with_name("video_device.c")
        command = [compiler, "-O1", "-shared", "-fPIC", "-o", library, source]
        subprocess.run([*command, "-ldl"], check=True, timeout=30)
        self._folder = folder / "devices"
        self._folder.mkdir()
        self.path = self._folder / "video0"
        self.environment = {"VIDEO_DEVICES": str(self._folder), "LD_PRELOAD": str(library)}
        self.show(jpeg())
        self.plug()

    def plug(self) -> None:
        """Put the camera in."""
        self.path.touch()

    def pull(self) -> None:
        """Pull the camera out."""
        self.path.unlink()

    def show(self, image: bytes) -> None:
        """What the camera sends from now on."""
        new = self._folder / "new"
        new.write_bytes(image)
        new.rename(self._folder / "image")

    def begin(self, what: str) -> None:
        """Let the camera be ``stalled``, ``uncompressed`` or ``busy``."""
        (self._folder / what).touch()

    def end(self, what: str) -> None:
        """Let it no longer be so."""
        (self._folder / what).unlink()
