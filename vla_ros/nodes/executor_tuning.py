# SPDX-License-Identifier: Apache-2.0
"""The executor's ``~/tune``: watch for a while, then say which settings fit.

The service answers when the time is over; everything else goes on meanwhile. One thread: the one
that spins the node.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rclpy.task import Future
from std_srvs.srv import Trigger

from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.policy_spec import PolicySpec
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.tuning import Tuner, in_words
from vla_ros.ros.lifecycle import LifecycleBase


class TuneService:
    """Measures while it is asked to."""

    def __init__(
        self,
        node: LifecycleBase,
        undo: contextlib.ExitStack,
        robot: RobotSpec,
        policy: PolicySpec,
        *,
        params: Callable[[], ExecutorParams],
        duration_s: float,
    ) -> None:
        """Offer the service.

        Args:
            node: Offers it.
            undo: Takes how it is undone.
            robot: The body.
            policy: The checkpoint.
            params: The parameters in force.
            duration_s: How long to watch.
        """
        self._node = node
        self._robot = robot
        self._policy = policy
        self._params = params
        self._duration_s = duration_s
        self._tuner: Tuner | None = None
        self._over: Future = Future()
        node.serve(undo, Trigger, "~/tune", self._tune)
        undo.callback(self._end)

    def see(self, chunk: ActionChunk, now_ns: int, *, planned: NDArray[np.float64] | None) -> None:
        """A chunk came; ``planned`` is what was going to be executed now, (d,), or None."""
        if self._tuner is not None:
            self._tuner.see(chunk, now_ns, planned=planned)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    async def _tune(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._tuner is not None:
            response.message = "somebody else has it measure already; wait for that"
            return response
        tuner = self._tuner = Tuner(self._robot, self._policy)
        self._over = Future()
        self._node.get_logger().info(f"measuring for {self._duration_s:g} s")
        with contextlib.ExitStack() as undo:
            self._node.every(undo, self._duration_s, self._end)
            await self._over
        self._tuner = None
        advice = tuner.advise(self._params())
        name = self._node.get_fully_qualified_name()
        response.success = bool(advice)
        response.message = in_words(tuner.measured(), advice, name)
        self._node.get_logger().info(response.message)
        return response
