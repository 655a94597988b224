# SPDX-License-Identifier: Apache-2.0
"""Robots that ask a server over ZeroMQ, all in one thread, each on a connection of its own.

What they send is encoded before the clock runs; every answer is decoded and compared with its
robot's joints. One thread asks for 64 robots with a tenth of a core.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import zmq

from benchmarks.serving.facts import TOLERANCE_RAD, observations
from vla_ros.core.policy_io import policy_input
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.wire.gr00t.message import GET_ACTION, Request, decode_reply, encode_request
from vla_ros.wire.gr00t.observation import encode_observation
from vla_ros.wire.gr00t.wires import Arrangement, Gr00tWire, Layout

_ARRANGEMENT = Arrangement(Gr00tWire.B, Layout.NESTED)


@dataclass(frozen=True, slots=True)
class Load:
    """What robots ask.

    Attributes:
        robots: How many.
        size: (H, W) of their two images [px].
        period_s: How often each asks, at moments of its own; a late answer makes it ask at once.
            0: each asks as soon as it has its answer.
    """

    robots: int
    size: tuple[int, int]
    period_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What became of it.

    Attributes:
        rate_hz: Answers per second.
        waits_s: (N,) From each request to its answer; those that had none at the end stand for what
            they had waited by then, if that is longer than any other.
        busy: The robots' own share of a core.
    """

    rate_hz: float
    waits_s: np.ndarray
    busy: float


class Robots:
    """Robots that are connected."""

    def __init__(self, policy: PolicySpec, load: Load, address: str) -> None:
        """Connect.

        Args:
            policy: What they ask.
            load: How.
            address: Where.
        """
        self._load = load
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._poller = zmq.Poller()
        seen = observations(policy, load.robots, load.size)
        self._joints = [float(one.state[0]) for one in seen]
        self._requests = []
        for one in seen:
            tree = encode_observation(policy_input(policy, one), _ARRANGEMENT)
            options = {"runs_out_in_s": load.period_s} if load.period_s else {}
            data = {"observation": tree, "options": options}
            self._requests.append(zmq.Frame(encode_request(Request(GET_ACTION, data))))
        self._sockets = []
        for _ in range(load.robots):
            socket = self._context.socket(zmq.DEALER)
            socket.connect(address)
            self._poller.register(socket, zmq.POLLIN)
            self._sockets.append(socket)
        self._numbers = {socket: number for number, socket in enumerate(self._sockets)}
        # When each robot was to ask, and asked, what it has no answer to.
        self._due_s: dict[int, float] = {}
        self._asked_s: dict[int, float] = {}
        self._waits: list[tuple[float, float]] = []

    def run(self, warm_up_s: float, seconds: float) -> Outcome:
        """Ask, wait and ask again; what is asked in the warm-up does not count."""
        begun_s = time.monotonic()
        count, period_s = self._load.robots, self._load.period_s
        due = [(begun_s + number * period_s / count, number) for number in range(count)]
        counted_s, until_s = begun_s + warm_up_s, begun_s + warm_up_s + seconds
        used_s = time.process_time()
        while (now_s := time.monotonic()) < until_s:
            while due and due[0][0] <= now_s:
                due_s, number = heapq.heappop(due)
                self._due_s[number] = due_s
                self._ask(number, now_s)
            next_s = min(due[0][0] if due else until_s, until_s)
            for number in self._answered(max(0.0, next_s - now_s)):
                asked_s, now_s = self._asked_s.pop(number), time.monotonic()
                self._waits.append((asked_s, now_s - asked_s))
                heapq.heappush(due, (max(self._due_s[number] + period_s, now_s), number))
        busy = (time.process_time() - used_s) / (warm_up_s + seconds)
        return self._outcome(counted_s, until_s, busy)

    def close(self) -> None:
        """Disconnect."""
        self._context.destroy(linger=0)

    def _ask(self, number: int, now_s: float) -> None:
        self._sockets[number].send_multipart([b"", self._requests[number]], copy=False)
        self._asked_s[number] = now_s

    def _answered(self, timeout_s: float) -> Sequence[int]:
        """Who has an answer."""
        ready = self._poller.poll(timeout_s * 1000)
        numbers = [self._numbers[socket] for socket, _ in ready]
        for number in numbers:
            actions, _ = decode_reply(self._sockets[number].recv_multipart()[1])
            apart = np.abs(actions["arm"] - self._joints[number]).max()
            if apart > 1.01 * TOLERANCE_RAD:
                raise RuntimeError(f"robot {number} got an answer {apart} rad from its joints")
        return numbers

    def _outcome(self, counted_s: float, until_s: float, busy: float) -> Outcome:
        in_time = [asked_s + wait_s >= counted_s for asked_s, wait_s in self._waits]
        waits = [wait_s for asked_s, wait_s in self._waits if asked_s >= counted_s]
        longest_s = max(waits, default=0.0)
        open_s = [until_s - asked_s for asked_s in self._asked_s.values()]
        waits += [wait_s for wait_s in open_s if wait_s > longest_s]
        return Outcome(sum(in_time) / (until_s - counted_s), np.array(waits), busy)
