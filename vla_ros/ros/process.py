# SPDX-License-Identifier: Apache-2.0
"""A node as a process: spin in the main thread, end cleanly, in time, with an honest exit code.

rclpy's own signal handlers shut the context down before a node could publish its last word, so they
stay off: a thread hears of the signals and wakes the main thread, which undoes everything. Whatever
is not undone after the node's ``shutdown_s`` is cut off.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from vla_ros.core.errors import ConfigError
from vla_ros.ros.lifecycle import LifecycleBase

_LAST_WORDS_S = 0.02
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(make_node: Callable[[], LifecycleBase], args: Sequence[str] | None = None) -> int:
    """Run a node until it is told to end.

    Args:
        make_node: Creates the node; called once ROS is initialized.
        args: The command line; None for the process's own.

    Returns:
        0 after SIGINT, SIGTERM or a shutdown transition; 1 after a failure.
    """
    heard = _hear_signals()
    rclpy.init(
        args=sys.argv if args is None else list(args),
        signal_handler_options=SignalHandlerOptions.NO,
    )
    logging.getLogger("vla_ros").addHandler(_RosLogHandler())
    logging.getLogger("vla_ros").setLevel(logging.INFO)
    try:
        return _spin(make_node(), heard)
    except ConfigError as error:
        get_logger("vla_ros").fatal(str(error))
        return 1
    finally:
        rclpy.shutdown()


def _spin(node: LifecycleBase, heard: int) -> int:
    node.exit_code.add_done_callback(lambda _: _cut_off_later(node))
    threading.Thread(
        target=_wait_for_signal, args=(node, heard), name="signals", daemon=True
    ).start()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        if node.autostart and not node.start():
            node.end_process(1)
        executor.spin_until_future_complete(node.exit_code)
        if node.fall_silent():
            # Whoever waits for the end of something, such as an action's client, is told of it.
            executor.spin_until_future_complete(Future(), _LAST_WORDS_S)
    finally:
        node.tear_down()
        executor.shutdown()
        node.destroy_node()
    return int(node.exit_code.result())


def _hear_signals() -> int:
    """Let signals be written to a pipe, and return where it is read.

    Python's own handlers would wait until the main thread comes back from ROS. Blocking the signals
    would need every thread to do so, also those that libraries have started by now.
    """
    readable, writable = os.pipe()
    os.set_blocking(writable, False)
    signal.set_wakeup_fd(writable)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    return readable


def _wait_for_signal(node: LifecycleBase, heard: int) -> None:
    number = os.read(heard, 1)[0]
    node.get_logger().info(f"got {signal.Signals(number).name}; ending")
    node.end_process(0)


def _cut_off_later(node: LifecycleBase) -> None:
    patience_s = node.shutdown_s

    def cut_off() -> None:
        node.get_logger().fatal(f"still not ended {patience_s} s after it should; cutting it off")
        os._exit(1)

    timer = threading.Timer(patience_s, cut_off)
    timer.daemon = True
    timer.start()


class _RosLogHandler(logging.Handler):
    """Hands what vla_ros logs below the nodes to ROS."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record; called by ``logging``."""
        logger = get_logger(record.name)
        text = self.format(record)
        if record.levelno >= logging.ERROR:
            logger.error(text)
        elif record.levelno >= logging.WARNING:
            logger.warning(text)
        elif record.levelno >= logging.INFO:
            logger.info(text)
        else:
            logger.debug(text)
