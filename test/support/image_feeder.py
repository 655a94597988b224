# SPDX-License-Identifier: Apache-2.0
"""An image server that shows what it is told."""

from __future__ import annotations

import threading

from vla_ros.drivers.image_server import ImageServer, LegacyImageServer
from vla_ros.drivers.teleimager import ImageSource


class Feeder:
    """Publishes what it is told, over and over, in a thread of its own."""

    def __init__(self, server: ImageServer | LegacyImageServer, **images: bytes) -> None:
        self.server = server
        self.images = dict(images)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            for name, jpeg in list(self.images.items()):
                self.server.publish(name, jpeg)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self.server.close()


def source(name: str, port: int = 0) -> ImageSource:
    return ImageSource(name, port, 48, 64, binocular=False, fps=30.0)


def unused_port() -> int:
    server = LegacyImageServer(["none"], port=0)
    server.close()
    return server.port
