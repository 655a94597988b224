# SPDX-License-Identifier: Apache-2.0
"""A server's front that runs in a thread of its own, before a worker that runs too."""

from __future__ import annotations

import threading
from typing import Any

from vla_ros.serving.policy_worker import PolicyWorker

_LONG_S = 10.0


class RunningFront:
    """Runs both until it is stopped.

    Attributes:
        front: What runs.
        worker: What does what is asked of it.
        ended: Whether the backend let go in time; None while it runs.
    """

    def __init__(self, front: Any, worker: PolicyWorker, *, ready: bool = True) -> None:
        """Start both.

        Args:
            front: It, listening.
            worker: It, not started.
            ready: Whether to wait until the policy is connected.
        """
        self.front = front
        self.worker = worker
        self.ended: bool | None = None
        connected = worker.start()
        if ready:
            connected.result(_LONG_S)
        self._thread = threading.Thread(target=front.run)
        self._thread.start()

    def stop(self) -> None:
        """End both in a server's order, and wait for it."""
        ended = self.worker.end()
        self.ended = ended if self.ended is None else self.ended
        self.front.stop()
        self.join()

    def join(self) -> None:
        """Wait for the front's end."""
        self._thread.join(_LONG_S)
        assert not self._thread.is_alive()
