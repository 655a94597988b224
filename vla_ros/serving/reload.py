# SPDX-License-Identifier: Apache-2.0
"""Loads a policy anew while the old one serves on.

The new one takes over between two inferences. The files are read again, so that they may name
another checkpoint; what clients know of the policy must stay. ``request`` may be called from
anywhere, signal handlers included; the rest by the thread that runs the server.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

from vla_ros.backends.base import PolicyBackend
from vla_ros.core.errors import ConfigError, VlaRosError
from vla_ros.core.policy_spec import KeyMap, PolicySpec
from vla_ros.serving.policy_calls import call_policy
from vla_ros.serving.policy_worker import PolicyWorker
from vla_ros.serving.turns import Watcher

_LOG = logging.getLogger(__name__)


class Reloader:
    """Reloads on request, one time after the other, in a thread of its own.

    Attributes:
        outcome: What became of the last reload, for people; empty: there was none.
    """

    def __init__(
        self,
        make: Callable[[], PolicyBackend],
        worker: PolicyWorker,
        policy: PolicySpec,
        watcher: Watcher,
    ) -> None:
        """Wait for requests.

        Args:
            make: Reads the files, and makes a backend of them; it may raise ``VlaRosError``.
            worker: Whose backend is replaced.
            policy: What clients know.
            watcher: Who is told of each reload.
        """
        self.outcome = ""
        self._make = make
        self._worker = worker
        self._policy = policy
        self._watcher = watcher
        # A signal handler may interrupt another one's put, and no other queue allows that.
        self._wanted: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="reload", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Have the policy loaded anew, soon."""
        self._wanted.put(self._reload)

    def close(self) -> None:
        """Take no more requests; a reload that is under way is left behind."""
        self._wanted.put(None)

    def _run(self) -> None:
        while (work := self._wanted.get()) is not None:
            work()

    def _reload(self) -> None:
        self.outcome = "loading"
        _LOG.info("loading the policy anew")
        try:
            self.outcome = f"done: {self._replace()}"
        except VlaRosError as error:
            self.outcome = f"failed, the policy from before serves: {error}"
            self._watcher.reloaded(ok=False)
        else:
            self._watcher.reloaded(ok=True)
        _LOG.info("loading the policy anew: %s", self.outcome)

    def _replace(self) -> str:
        backend = self._make()
        if _known(backend.policy) != _known(self._policy):
            raise ConfigError(
                f"{backend.policy.source}: keys, units, rate and horizon must be those that the"
                " clients were told; for others start another server"
            )
        try:
            info = call_policy(backend.connect)
        except VlaRosError:
            backend.close()
            raise
        self._worker.replace(backend, info)
        return info.description


def _known(policy: PolicySpec) -> tuple[Any, ...]:
    """What a client may know of a policy."""
    names = policy.lerobot and (policy.lerobot.state, policy.lerobot.action)
    return (
        policy.name, policy.rate_hz, policy.horizon, policy.instruction_key, dict(policy.video),
        policy.video_deltas, _keys(policy.state), _keys(policy.action), names,
    )  # fmt: skip


def _keys(maps: Mapping[str, KeyMap]) -> list[Any]:
    return [
        (key, mapping.interfaces, mapping.scale.tolist(), mapping.offset.tolist())
        for key, mapping in maps.items()
    ]
