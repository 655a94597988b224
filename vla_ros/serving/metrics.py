# SPDX-License-Identifier: Apache-2.0
"""What a server counts, in Prometheus' form. Any thread may call."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from vla_ros.serving.policy_worker import State
from vla_ros.serving.turns import Outcome

_STATES: tuple[State, ...] = ("loading", "ready", "failed", "ending")
# From a small network in a process to a large one that many robots wait for.
_TIMES_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The numbers of one server; each has its own.

    Attributes:
        content_type: The form of what ``render`` gives.
    """

    content_type: str = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        """Nothing has been counted yet."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "vla_ros_requests",
            "What the policy was asked, by what became of it.",
            ("protocol", "outcome"),
            registry=self._registry,
        )
        self._waits = Histogram(
            "vla_ros_wait_seconds",
            "From a request of the policy to its reply.",
            registry=self._registry,
            buckets=_TIMES_S,
        )
        self._inferences = Histogram(
            "vla_ros_inference_seconds",
            "How long the policy took for a batch.",
            registry=self._registry,
            buckets=_TIMES_S,
        )
        self._sizes = Histogram(
            "vla_ros_batch_size",
            "How many observations were inferred at once.",
            registry=self._registry,
            buckets=_SIZES,
        )
        self._waiting = Gauge(
            "vla_ros_waiting", "Observations that wait for the policy.", registry=self._registry
        )
        self._clients = Gauge(
            "vla_ros_clients", "Clients that are at work.", registry=self._registry
        )
        self._state = Gauge(
            "vla_ros_state", "1 for what the server can do now.", ("state",),
            registry=self._registry,
        )  # fmt: skip
        self._reloads = Counter(
            "vla_ros_reloads",
            "How often the policy was loaded again.",
            ("outcome",),
            registry=self._registry,
        )

    def answered(self, protocol: str, outcome: Outcome, waited_s: float) -> None:
        """A request of the policy ended, after this time."""
        self._requests.labels(protocol, outcome).inc()
        self._waits.observe(waited_s)

    def batch(self, size: int, inference_s: float) -> None:
        """The policy inferred so many observations at once."""
        self._sizes.observe(size)
        self._inferences.observe(inference_s)

    def load(self, *, waiting: int, at_work: int) -> None:
        """So many observations wait now, and so many clients have asked of late."""
        self._waiting.set(waiting)
        self._clients.set(at_work)

    def reloaded(self, *, ok: bool) -> None:
        """The policy was loaded again, or could not be."""
        self._reloads.labels("ok" if ok else "failed").inc()

    def render(self, state: State) -> bytes:
        """All of them, and what the server can do now."""
        for each in _STATES:
            self._state.labels(each).set(each == state)
        return generate_latest(self._registry)
