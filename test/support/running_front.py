# SPDX-License-Identifier: Apache-2.0
"""A server's front that runs in a thread of its own."""

from __future__ import annotations

import threading
from typing import Any

from vla_ros.core.errors import BackendUnavailable

_LONG_S = 10.0


class RunningFront:
    """Runs a front until it is stopped.

    Attributes:
        front: What runs.
        ended: What ``run`` returned; None while it runs, and where it failed.
        error: What it failed with.
    """

    def __init__(self, front: Any) -> None:
        self.front = front
        self.ended: bool | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.ended = self.front.run()
        except BackendUnavailable as error:
            self.error = error

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        self.front.stop()
        self.join()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(_LONG_S)
        assert not self._thread.is_alive()
