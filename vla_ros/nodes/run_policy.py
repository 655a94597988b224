# SPDX-License-Identifier: Apache-2.0
"""The executor's action ``~/run_policy``: move until it is done, too late, or somebody stops it.

It lives in the executor's process, so whoever may stop the arm is never gone. Where the reason to
stop is heard, there the arm is stopped; a coroutine has nothing to do but to tell the client, who
hears of the end when the arm is at rest. One thread: the one that spins the node.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse, ServerGoalHandle
from rclpy.duration import Duration
from rclpy.exceptions import InvalidTopicNameException
from rclpy.expand_topic_name import expand_topic_name
from rclpy.task import Future
from rclpy.validate_full_topic_name import validate_full_topic_name
from std_msgs.msg import Bool, String
from vla_ros_msgs.action import RunPolicy

from vla_ros.core.executor_status import ExecutorStatus
from vla_ros.core.hold_reasons import STOPPED
from vla_ros.nodes.executor_loop import ControlLoop
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT, LATCHED

_FEEDBACK_EVERY_S = 0.2
# Subscribers acknowledge an instruction within milliseconds; one that is gone never does.
_INSTRUCTED_S = 0.1
# A timer cannot count much further.
_LONGEST_S = 1e9


@dataclass(slots=True)
class _Run:
    """A goal under way; ``over`` is done with its result."""

    goal: ServerGoalHandle
    over: Future
    undo: contextlib.ExitStack
    before: ExecutorStatus
    began_s: float

    @property
    def duration_s(self) -> float:
        return time.monotonic() - self.began_s


class RunPolicyServer:
    """Takes one goal at a time."""

    def __init__(
        self,
        node: LifecycleBase,
        undo: contextlib.ExitStack,
        loop: ControlLoop,
        *,
        status: Callable[[], ExecutorStatus],
    ) -> None:
        """Offer the action.

        Args:
            node: Offers it.
            undo: Takes how it is undone.
            loop: Moves and stops the arm.
            status: The executor now.
        """
        self._node = node
        self._loop = loop
        self._status = status
        self._run: _Run | None = None
        self._instructions = node.publisher(undo, String, "instruction", LATCHED)
        server = ActionServer(
            node,
            RunPolicy,
            "~/run_policy",
            self._answer,
            goal_callback=self._consider,
            handle_accepted_callback=self._begin,
            cancel_callback=self._cancel,
        )
        undo.callback(server.destroy)

    def stopped(self, why: str) -> None:
        """Somebody has stopped the arm; a goal that runs is over."""
        self._end(RunPolicy.Result.STOPPED, why)

    def _consider(self, goal: RunPolicy.Goal) -> GoalResponse:
        objection = self._objection(goal)
        if not objection:
            return GoalResponse.ACCEPT
        self._node.get_logger().warning(f"run_policy: the goal is rejected: {objection}")
        return GoalResponse.REJECT

    def _objection(self, goal: RunPolicy.Goal) -> str:
        """Why a goal cannot be run; empty if it can."""
        if not self._loop.running:
            return "the executor is not active"
        if self._run is not None:
            return f"another one has been running for {self._run.duration_s:.1f} s; cancel it first"
        if not 0.0 <= goal.time_limit_s <= _LONGEST_S:
            return f"time_limit_s must be 0 (none) to {_LONGEST_S:g}, found {goal.time_limit_s:g}"
        if goal.success_topic:
            try:
                _check_topic(self._node, goal.success_topic)
            except (ValueError, InvalidTopicNameException) as error:
                return f"success_topic {goal.success_topic!r} is not the name of a topic: {error}"
        return ""

    def _begin(self, handle: ServerGoalHandle) -> None:
        goal = handle.request
        undo = contextlib.ExitStack()
        node, topic = self._node, goal.success_topic
        if topic:
            node.subscribe(undo, Bool, topic, partial(self._hear, topic), EVENT)
        if goal.time_limit_s > 0.0:
            why = f"it was not done within {goal.time_limit_s:g} s"
            over = partial(self._halt, RunPolicy.Result.TIME_LIMIT, why)
            node.every(undo, goal.time_limit_s, over)
        node.every(undo, _FEEDBACK_EVERY_S, self._look)
        self._instruct(goal.instruction)
        self._run = _Run(handle, Future(), undo, self._status(), time.monotonic())
        # Whatever an older instruction has led to is of an older epoch.
        self._loop.reset()
        self._loop.start()
        node.get_logger().info(f"run_policy: begins, instruction {goal.instruction!r}")
        handle.execute()

    def _instruct(self, instruction: str) -> None:
        """Say what to do, and let it be heard before the next observation is asked for."""
        if not instruction:
            return
        self._instructions.publish(String(data=instruction))
        if not self._instructions.wait_for_all_acked(Duration(seconds=_INSTRUCTED_S)):
            self._node.get_logger().warning(
                f"run_policy: a subscriber of {self._instructions.topic_name} has not acknowledged"
                f" the instruction within {_INSTRUCTED_S:g} s"
            )

    def _hear(self, topic: str, done: Bool) -> None:
        if done.data:
            self._halt(RunPolicy.Result.SUCCEEDED, f"{topic} says that it is done")

    def _cancel(self, _: ServerGoalHandle) -> CancelResponse:
        self._halt(RunPolicy.Result.CANCELED, "a client canceled it")
        return CancelResponse.ACCEPT

    def _look(self) -> None:
        """Tell the client how it goes, and see whether the arm was stopped."""
        status, run = self._status(), self._run
        if run is None:
            return
        if status.mode == "stopped":
            self.stopped(": ".join(word for word in (status.hold_reason, status.detail) if word))
            return
        run.goal.publish_feedback(
            RunPolicy.Feedback(
                executed_steps=status.executed_steps - run.before.executed_steps,
                remaining_steps=status.remaining_steps,
                latency_ms_p50=1e3 * status.latency_p50_s,
                latency_ms_p95=1e3 * status.latency_p95_s,
                state=status.state,
            )
        )

    def _halt(self, outcome: str, why: str) -> None:
        """Stop the arm, and end the goal."""
        self._loop.come_to_rest(STOPPED)
        self._end(outcome, why)

    def _end(self, outcome: str, why: str) -> None:
        run = self._run
        if run is None or run.over.done():
            return
        run.undo.close()
        status = self._status()
        self._node.get_logger().info(f"run_policy: {outcome}: {why}")
        run.over.set_result(
            RunPolicy.Result(
                success=outcome == RunPolicy.Result.SUCCEEDED,
                outcome=outcome,
                detail=why,
                duration_s=run.duration_s,
                executed_steps=status.executed_steps - run.before.executed_steps,
                observations=status.observations_requested - run.before.observations_requested,
                starved_ticks=status.starved_ticks - run.before.starved_ticks,
            )
        )

    async def _answer(self, goal: ServerGoalHandle) -> RunPolicy.Result:
        """The result, when the goal is over."""
        run = self._run
        if run is None:
            raise RuntimeError("a goal is executed while it runs")
        result: RunPolicy.Result = await run.over
        self._run = None
        ends = {RunPolicy.Result.SUCCEEDED: goal.succeed, RunPolicy.Result.CANCELED: goal.canceled}
        ends.get(result.outcome, goal.abort)()
        return result


def _check_topic(node: LifecycleBase, topic: str) -> None:
    """Refuse what cannot be subscribed to."""
    validate_full_topic_name(expand_topic_name(topic, node.get_name(), node.get_namespace()))
