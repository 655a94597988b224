# SPDX-License-Identifier: Apache-2.0
"""Which backend answers which client of a server.

A backend that remembers an episode would mix up those of two robots, so each client has one of its
own; all others share one. A client is a connection: who connects anew begins anew. Its old backend
is closed when the connection is known to be gone, or once its place is wanted. Belongs to the one
thread that owns the backends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from vla_ros.backends.base import PolicyBackend, PolicyInfo
from vla_ros.core.errors import BackendUnavailable
from vla_ros.core.policy_spec import PolicySpec

_LOG = logging.getLogger(__name__)
MAX_SESSIONS = 64
# A robot at work asks more often.
IDLE_AFTER_S = 10.0


@dataclass(slots=True)
class _Session:
    backend: PolicyBackend
    last_s: float


class Sessions:
    """The backends of a server's clients, of one policy.

    Attributes:
        policy: What all of them serve.
        shared: The backend that all clients share, or of which theirs were made.
    """

    def __init__(
        self,
        backend: PolicyBackend,
        *,
        max_sessions: int = MAX_SESSIONS,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is connected before ``connect``.

        Args:
            backend: What all clients share, or what each gets another one of; see ``per_client``.
            max_sessions: How many clients may have one of their own.
            now_s: The clock that tells who is idle.
        """
        self.policy: PolicySpec = backend.policy
        self.shared = backend
        self._max_sessions = max_sessions
        self._now_s = now_s
        # Who asked last stands last.
        self._own: dict[Hashable, _Session] = {}

    def connect(self) -> PolicyInfo:
        """Connect the shared backend, or the one that tells whether those to come can be.

        Raises:
            VlaRosError: It cannot be connected.
        """
        return self.shared.connect()

    def backend(self, client: Hashable) -> PolicyBackend:
        """The backend that answers a client, connected.

        Args:
            client: What its transport knows the connection by.

        Raises:
            BackendUnavailable: As many clients as there may be are at work.
            VlaRosError: Its backend cannot be connected.
        """
        if not self.shared.per_client:
            return self.shared
        session = self._own.pop(client, None)
        if session is None:
            self._make_room()
            session = _Session(self._connected(), 0.0)
        session.last_s = self._now_s()
        self._own[client] = session
        return session.backend

    def forget(self, client: Hashable) -> None:
        """Close the backend of a client that is gone, where it had one of its own."""
        session = self._own.pop(client, None)
        if session is not None:
            session.backend.close()

    def replace(self, backend: PolicyBackend) -> None:
        """Have another backend of the same policy answer, to which nobody is known yet.

        Args:
            backend: It, connected.
        """
        self.close()
        self.shared = backend

    def close(self) -> None:
        """Let go of all backends."""
        for session in self._own.values():
            session.backend.close()
        self._own.clear()
        self.shared.close()

    def _connected(self) -> PolicyBackend:
        made = self.shared.another()
        made.connect()
        return made

    def _make_room(self) -> None:
        """Close who is idle the longest, where there is no place left.

        Raises:
            BackendUnavailable: Nobody is idle.
        """
        if len(self._own) < self._max_sessions:
            return
        client, oldest = next(iter(self._own.items()))
        idle_s = self._now_s() - oldest.last_s
        if idle_s < IDLE_AFTER_S:
            raise BackendUnavailable(
                f"the server has {self._max_sessions} clients at work; one that asks nothing for"
                f" {IDLE_AFTER_S:g} s makes room"
            )
        _LOG.info("forgets a client that asked nothing for %g s", idle_s)
        self.forget(client)
