# SPDX-License-Identifier: Apache-2.0
"""The base of all nodes: a lifecycle that fails loudly and has one way down.

A node says what it does on configure and on activate, and registers beside each thing how it is
undone. Deactivate, cleanup, shutdown, an error and a signal all run those, last made first undone.
A ``ConfigError`` makes the transition fail, with its text logged as fatal. Any other exception is
logged with its traceback, which rclpy would swallow.

Transitions run in the thread that spins the node. ``end_process`` may be called from any thread.
"""

from __future__ import annotations

import contextlib
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.task import Future
from rclpy.timer import Timer

from vla_ros.core.errors import VlaRosError
from vla_ros.core.params import param
from vla_ros.ros.parameters import NodeParameters

# How long undoing everything may take, unless a node needs longer [s].
SHUTDOWN_S = 1.8


@dataclass(frozen=True, slots=True)
class LifecycleParams:
    """What every node can be told."""

    autostart: bool = param(
        True,
        "Configure and activate without being asked; a failure ends the process.",
        read_only=True,
    )


class LifecycleBase(LifecycleNode):
    """A lifecycle node with ``configure`` and ``activate`` to be written.

    Attributes:
        parameters: Declares dataclasses as parameters.
        autostart: The parameter of that name.
        exit_code: Done when the process shall end, with the code to end with.
        shutdown_s: How long undoing everything may take; then the process is cut off. A node that
            must give something back slowly raises it.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        """Create the node, unconfigured.

        Args:
            name: The node's default name.
            **kwargs: What ``rclpy.node.Node`` takes.

        Raises:
            ConfigError: A parameter is wrong.
        """
        super().__init__(name, **kwargs)
        self.exit_code: Future = Future()
        self.shutdown_s = SHUTDOWN_S
        self.parameters = NodeParameters(self)
        self.autostart = self.parameters.declare(LifecycleParams).value.autostart
        self._configured = contextlib.ExitStack()
        self._activated = contextlib.ExitStack()
        self._end_lock = threading.Lock()

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Read parameters and make everything that is needed, without moving anything.

        Args:
            undo: Takes how each thing is undone.

        Raises:
            ConfigError: It cannot be.
        """
        raise NotImplementedError

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Begin to work.

        Args:
            undo: Takes how each thing is undone.

        Raises:
            ConfigError: It cannot be.
        """
        raise NotImplementedError

    def start(self) -> bool:
        """Configure and activate; whether both succeeded."""
        success = TransitionCallbackReturn.SUCCESS
        return self.trigger_configure() == success and self.trigger_activate() == success

    def end_process(self, code: int) -> None:
        """Let the process end soon. The first caller's code counts. Any thread may call."""
        with self._end_lock:
            if not self.exit_code.done():
                self.exit_code.set_result(code)

    def fall_silent(self) -> bool:
        """Deactivate; whether the node was active."""
        if self._state_machine.current_state[1] != "active":
            return False
        self.trigger_deactivate()
        return True

    def tear_down(self) -> None:
        """Deactivate and clean up, in whatever state the node is."""
        if self._state_machine.current_state[1] != "finalized":
            self.trigger_shutdown()

    def destroy_node(self) -> None:
        """Destroy the node now.

        rclpy leaves its state machine, and with it the node, to the garbage collector, which comes
        after the context is gone and then crashes.
        """
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def fatal(self, what: str) -> FatalGuard:
        """A context for a thread's main function: an exception ends the process, and is logged."""
        return FatalGuard(self, what)

    def publisher(
        self, undo: contextlib.ExitStack, message: type, topic: str, qos: QoSProfile
    ) -> Publisher:
        """A publisher that is undone."""
        publisher = self.create_publisher(message, topic, qos)
        undo.callback(self.destroy_publisher, publisher)
        return publisher

    def subscribe(
        self,
        undo: contextlib.ExitStack,
        message: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
    ) -> None:
        """A subscription that is undone."""
        undo.callback(
            self.destroy_subscription, self.create_subscription(message, topic, callback, qos)
        )

    def serve(
        self,
        undo: contextlib.ExitStack,
        service: type,
        name: str,
        callback: Callable[[Any, Any], Any],
    ) -> None:
        """A service that is undone.

        A callback that awaits something holds up nothing else: it is in a group of its own.
        """
        own = ReentrantCallbackGroup()
        made = self.create_service(service, name, callback, callback_group=own)
        undo.callback(self.destroy_service, made)

    def every(
        self, undo: contextlib.ExitStack, period_s: float, callback: Callable[[], None]
    ) -> Timer:
        """A timer that is undone, on the steady clock: it also runs while ROS time stands still."""
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(period_s, callback, clock=steady)
        undo.callback(self.destroy_timer, timer)
        return timer

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``configure``; called by rclpy."""
        return self._enter(self.configure, self._configured)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``activate``; called by rclpy."""
        return self._enter(self.activate, self._activated)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo ``activate``; called by rclpy."""
        return self._leave(self._activated)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo ``configure``; called by rclpy."""
        return self._leave(self._configured)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo everything and end the process; called by rclpy."""
        self.end_process(0)
        return self._leave(self._activated, self._configured)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Undo everything; called by rclpy after a transition raised."""
        return self._leave(self._activated, self._configured)

    def _enter(
        self, work: Callable[[contextlib.ExitStack], None], undo: contextlib.ExitStack
    ) -> TransitionCallbackReturn:
        with _Logged(self):
            try:
                work(undo)
            except VlaRosError as error:
                self.get_logger().fatal(str(error))
                undo.close()
                return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _leave(self, *stacks: contextlib.ExitStack) -> TransitionCallbackReturn:
        with _Logged(self), contextlib.ExitStack() as both:
            for stack in reversed(stacks):
                both.callback(stack.close)
        return TransitionCallbackReturn.SUCCESS


class _Logged:
    """Logs the traceback of an exception that passes through."""

    def __init__(self, node: LifecycleBase) -> None:
        self._node = node

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        if error is not None:
            text = "".join(traceback.format_exception(kind, error, trace))
            self._node.get_logger().fatal(text)
        return None


class FatalGuard(_Logged):
    """Ends the process when an exception passes through, which is logged."""

    def __init__(self, node: LifecycleBase, what: str) -> None:
        """Guard ``what``, which the log names."""
        super().__init__(node)
        self._what = what

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Log, ask for the process's end, and let nobody else handle it."""
        super().__exit__(kind, error, trace)
        if error is not None:
            self._node.get_logger().fatal(f"{self._what} has failed; the node ends")
            self._node.end_process(1)
        return True
