# SPDX-License-Identifier: Apache-2.0
"""A bell that a signal handler may ring, and that a thread waits for as for a socket."""

from __future__ import annotations

import contextlib
import select
import socket


class Wake:
    """Rung by any thread or signal handler; waited for by one thread.

    Attributes:
        ring_fd: Whatever is written here rings. For ``signal.set_wakeup_fd``: Python runs a handler
            only when the main thread is awake, so a handler that rings needs it.
    """

    def __init__(self) -> None:
        """Not rung yet."""
        self._rings, self._hears = socket.socketpair()
        self._rings.settimeout(0.0)
        self._hears.settimeout(0.0)
        self.ring_fd = self._rings.fileno()

    def fileno(self) -> int:
        """What to poll: readable once it rang."""
        return self._hears.fileno()

    def ring(self) -> None:
        """Wake whoever waits."""
        # A full socket wakes as well, and after the end there is nobody to be woken.
        with contextlib.suppress(OSError):
            self._rings.send(b"\0")

    def clear(self) -> None:
        """Forget that it rang."""
        with contextlib.suppress(BlockingIOError):
            self._hears.recv(4096)

    def wait(self, timeout_s: float | None) -> None:
        """Wait until it rings, at most so long (None: however long), and clear it."""
        select.select([self._hears], [], [], timeout_s)
        self.clear()

    def close(self) -> None:
        """Let go of the sockets."""
        self._rings.close()
        self._hears.close()
