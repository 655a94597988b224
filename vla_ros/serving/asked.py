# SPDX-License-Identifier: Apache-2.0
"""What a client's request asks of the policy, whichever protocol it came in.

Immutable values; any thread may make them. What is called in them is called by the one thread that
owns the backends.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.observation import Observation, Prefix

R = TypeVar("R")


class Client(NamedTuple):
    """Who asks: a connection. Who connects anew is another client.

    Attributes:
        protocol: What is spoken there.
        name: What its front knows the connection by.
    """

    protocol: str
    name: Hashable


@dataclass(frozen=True, slots=True, eq=False)
class Inference(Generic[R]):
    """The client wants a chunk.

    Attributes:
        observation: What its robot sees.
        answer: Makes the reply of the chunk; it may raise ``VlaRosError``.
        prefix: Actions that are committed already.
        runs_out_in_s: For how long from now the robot has something to execute; None: not told.
        wanted: Whether the client still waits, where that is known; asked when its turn comes.
    """

    observation: Observation
    answer: Callable[[ActionChunk], R]
    prefix: Prefix | None = None
    runs_out_in_s: float | None = None
    wanted: Callable[[], bool] = lambda: True


@dataclass(frozen=True, slots=True, eq=False)
class Reset(Generic[R]):
    """The client begins an episode.

    Attributes:
        done: Makes the reply, once the policy forgot the one before.
    """

    done: Callable[[], R]


Asked = Inference[R] | Reset[R]
