# SPDX-License-Identifier: Apache-2.0
"""How patient a connection to a policy server is. One thread; seconds of ``time.monotonic``."""

from __future__ import annotations

import time
from dataclasses import dataclass

from vla_ros.core.errors import BackendUnavailable

_MAX_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class ChannelTimes:
    """How patient a channel is.

    Attributes:
        connect_s: A connection that is not made in this time has failed.
        drain_s: A late answer is waited for this long after its request before the connection is
            given up.
        backoff_s: Time to the next attempt after the first failure; it doubles with each one.
        backoff_max_s: The longest such time.
    """

    connect_s: float = 1.0
    drain_s: float = 30.0
    backoff_s: float = 0.25
    backoff_max_s: float = 4.0


class Backoff:
    """When a connection that failed may be tried again."""

    def __init__(self, address: str, times: ChannelTimes) -> None:
        """Nothing has failed yet.

        Args:
            address: Whose connection it is, for errors.
            times: How patient to be.
        """
        self._address = address
        self._times = times
        self._failures = 0
        self._failure = ""
        self._retry_at_s = 0.0

    def check(self) -> None:
        """See that a connection may be made now.

        Raises:
            BackendUnavailable: It is too early.
        """
        left_s = self._retry_at_s - time.monotonic()
        if left_s > 0:
            raise BackendUnavailable(
                f"{self._address}: {self._failure}; the next attempt is in {left_s:.2f} s"
            )

    def failed(self, text: str) -> BackendUnavailable:
        """Note a failure; what to raise for it.

        Args:
            text: What failed.
        """
        wait_s = min(
            self._times.backoff_s * 2 ** min(self._failures, _MAX_DOUBLINGS),
            self._times.backoff_max_s,
        )
        self._failures += 1
        self._failure = text
        self._retry_at_s = time.monotonic() + wait_s
        return BackendUnavailable(f"{self._address}: {text}; the next attempt is in {wait_s:.2f} s")

    def worked(self) -> None:
        """Note that the other side answered."""
        self._failures = 0
