# SPDX-License-Identifier: Apache-2.0
"""Whether the policy of a server can be had, as its inferences show. Any thread may call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from vla_ros.backends.base import PolicyInfo
from vla_ros.core.errors import VlaRosError
from vla_ros.serving.policy_calls import Answer

PolicyState = Literal["loading", "ready", "failed"]
# So many inferences in a row that fail are the policy's fault, not that of the observations. Who is
# kept away by that asks nothing any more, so it is forgotten after a while.
_FAILURES = 3
_FAILED_S = 5.0


class PolicyHealth:
    """Loading until the policy is connected, and failed while it gives nothing but errors."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        """Nothing is known yet."""
        self._now_s = now_s
        self._lock = threading.Lock()
        self._info: PolicyInfo | None = None
        self._failure: VlaRosError | None = None
        self._failures = 0
        self._failed_s = 0.0

    @property
    def state(self) -> PolicyState:
        """What it can do now."""
        with self._lock:
            if self._info is None:
                return "loading" if self._failure is None else "failed"
            lately = self._now_s() - self._failed_s < _FAILED_S
            return "failed" if self._failures >= _FAILURES and lately else "ready"

    @property
    def detail(self) -> str:
        """In words: what serves, or what fails."""
        with self._lock:
            if self._failure is not None:
                return str(self._failure)
            return "" if self._info is None else self._info.description

    def connected(self, info: PolicyInfo) -> None:
        """It can be had, perhaps anew."""
        with self._lock:
            self._info, self._failure, self._failures = info, None, 0

    def refused(self, error: VlaRosError) -> None:
        """It cannot be had."""
        with self._lock:
            self._failure = error

    def inferred(self, answers: Sequence[Answer]) -> None:
        """It gave these, one after the other."""
        with self._lock:
            for answer in answers:
                failed = isinstance(answer, VlaRosError)
                self._failures = self._failures + 1 if failed else 0
                self._failure = answer if isinstance(answer, VlaRosError) else None
            if self._failure is not None:
                self._failed_s = self._now_s()
