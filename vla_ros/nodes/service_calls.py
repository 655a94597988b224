# SPDX-License-Identifier: Apache-2.0
"""Calls of services from a thread that may wait for their answers, while another spins the node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.client import Client

from vla_ros.core.errors import VlaRosError
from vla_ros.ros.lifecycle import LifecycleBase

SERVICE_S = 60.0
_ANSWER_S = 5.0
# How long it may take until a cancellation is noticed.
_CANCEL_S = 0.2

Call = Callable[[Any], Any]


class EpisodeFailed(VlaRosError):  # noqa: N818 - the name is what happened
    """An episode could not be run at all."""


class ServiceCalls:
    """Makes callables of services whose answers say whether they succeeded.

    Attributes:
        cancelled: Set by whoever wants all waiting to end.
    """

    def __init__(self, node: LifecycleBase) -> None:
        """Call for a node."""
        self.cancelled = threading.Event()
        self._node = node

    def to(self, undo: ExitStack, service: type, name: str) -> Call:
        """A callable that calls one service and waits for its answer.

        It raises EpisodeFailed where the service does not exist, does not answer, or refuses.
        """
        client = self._node.create_client(service, name)
        undo.callback(self._node.destroy_client, client)
        return lambda request: self._call(client, request)

    def _call(self, client: Client, request: Any) -> Any:
        name = client.srv_name
        deadline = time.monotonic() + SERVICE_S
        while not client.wait_for_service(_CANCEL_S):
            if self.cancelled.is_set() or time.monotonic() > deadline:
                raise EpisodeFailed(f"service {name} did not appear within {SERVICE_S:g} s")
        answered = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: answered.set())
        if not answered.wait(_ANSWER_S):
            raise EpisodeFailed(f"service {name} did not answer within {_ANSWER_S:g} s")
        answer = future.result()
        if not answer.success:
            raise EpisodeFailed(f"service {name} refused: {answer.message}")
        return answer
