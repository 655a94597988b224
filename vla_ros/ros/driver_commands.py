# SPDX-License-Identifier: Apache-2.0
"""What a robot's command topics say of its driver's joints, for as long as it counts.

Messages come in the thread that spins the node; any thread may ask. D joints of the driver. Stamps
are on the ROS clock, ages on the steady clock.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.errors import ActionError
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.ros.commands import command_type
from vla_ros.ros.controllers import CommandIntake
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.qos import EVENT

_LOG_EVERY_S = 5.0


class DriverCommands:
    """All command groups of a robot.

    Attributes:
        timeout_s: A command that is older, or over for longer, does not count.
    """

    def __init__(
        self, robot: RobotSpec, places: Mapping[str, Sequence[int]], size: int, *, timeout_s: float
    ) -> None:
        """Nothing is commanded yet.

        Args:
            robot: Whose groups they are.
            places: Group to where its joints stand among the driver's.
            size: D.
            timeout_s: See the class.
        """
        self.timeout_s = timeout_s
        self._groups = robot.command_groups
        self._places = {name: list(found) for name, found in places.items()}
        self._size = size
        self._lock = threading.Lock()
        self._intakes = {
            name: CommandIntake(group.interfaces) for name, group in self._groups.items()
        }
        # Group to when its newest command stops to count [s, steady clock].
        self._until_s = dict.fromkeys(self._intakes, -math.inf)

    @property
    def quiet(self) -> list[str]:
        """The groups that are not commanded now."""
        now_s = time.monotonic()
        return [name for name, until_s in self._until_s.items() if now_s > until_s]

    def listen(
        self,
        node: LifecycleBase,
        undo: contextlib.ExitStack,
        present: Callable[[], NDArray[np.float64] | None],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Take what is commanded from now on.

        Args:
            node: The driver.
            undo: Takes how that is undone.
            present: (D,) Where the joints are, if nothing is commanded; while it is None, what is
                said is not carried out.
            heard: Called after each command that counts.
        """

        def on_command(group: str, message: Any) -> None:
            now = present()
            if now is None:
                return
            try:
                self._take(group, message, node.get_clock().now().nanoseconds, now)
            except ActionError as error:
                text = f"command group {group}: ignored: {error}"
                node.get_logger().error(text, throttle_duration_sec=_LOG_EVERY_S)
            else:
                heard()

        for name, group in self._groups.items():
            kind = command_type(group)
            node.subscribe(undo, kind, group.topic, partial(on_command, name), EVENT)

    def forget(self) -> None:
        """What was said to a robot that cannot follow is not carried out later."""
        with self._lock:
            for intake in self._intakes.values():
                intake.forget()

    def target(self, now_ns: int) -> NDArray[np.float64]:
        """(D,) Where the joints shall be now; NaN: nothing is commanded.

        Args:
            now_ns: Now, on the ROS clock.
        """
        target = np.full(self._size, np.nan)
        with self._lock:
            for name, intake in self._intakes.items():
                if time.monotonic() > self._until_s[name]:
                    intake.forget()
                commanded = intake.targets(now_ns)
                if commanded is not None:
                    target[self._places[name]] = commanded
        return target

    def _take(self, group: str, message: Any, now_ns: int, present: NDArray[np.float64]) -> None:
        intake = self._intakes[group]
        with self._lock:
            if isinstance(message, JointTrajectory):
                intake.on_trajectory(message, now_ns, present[self._places[group]])
            else:
                intake.on_array(message)
            lasts_s = max(intake.ends_ns - now_ns, 0) * 1e-9
            self._until_s[group] = time.monotonic() + lasts_s + self.timeout_s
