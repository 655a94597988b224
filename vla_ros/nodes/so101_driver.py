# SPDX-License-Identifier: Apache-2.0
"""An SO101, or another arm of Feetech servos on a serial port, behind the topics of ros2_control.

One thread asks all servos at a fixed rate, publishes what they say, and sends goals towards what
was commanded: within the robot's limits, a little per tick. An arm that hears no command keeps its
place, and so does one that was unplugged, when it is back. The stamp of a joint state lies in the
middle of its reading. Velocities are the servos' own; efforts are their load, from -1 to 1.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.publisher import Publisher
from sensor_msgs.msg import JointState
from std_srvs.srv import SetBool

from vla_ros.core.config_files import config_file
from vla_ros.core.driver_joints import driver_bounds, driver_places
from vla_ros.core.errors import DeviceError
from vla_ros.core.goal_limiter import GoalLimiter
from vla_ros.core.params import REQUIRED, param
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.core.servo_calibration import load_calibration
from vla_ros.core.servo_spec import load_servo_spec
from vla_ros.drivers.servo_arm import ServoArm
from vla_ros.drivers.servo_bus import Feedback, ServoBus
from vla_ros.nodes.servo_report import arm_statuses
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.driver_commands import DriverCommands
from vla_ros.ros.joint_states import joint_state_message
from vla_ros.ros.lifecycle import LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.qos import STATE
from vla_ros.ros.stamps import time_from_ns
from vla_ros.ros.tick_thread import TickThread
from vla_ros.ros.transport import keep_off_shared_memory


@dataclass(frozen=True, slots=True)
class So101DriverParams:
    """What the driver can be told."""

    port: str = param(REQUIRED, "Serial port, such as /dev/ttyACM0.", read_only=True)
    calibration: str = param(
        REQUIRED, "LeRobot's calibration file of this arm, a .json file.", read_only=True
    )
    robot: str = param("so101", "Robot description: a name or a .yaml file.", read_only=True)
    servos: str = param("so101", "Servo description: a name or a .yaml file.", read_only=True)
    baud_rate: int = param(1_000_000, "Bits per second on the bus.", ge=1, read_only=True)
    bus_timeout_s: float = param(
        0.02, "How long a servo may be silent [s].", ge=0.001, le=1.0, read_only=True
    )
    rate_hz: float = param(
        100.0, "Measurements and commands per second [Hz].", ge=1.0, le=500.0, read_only=True
    )
    command_timeout_s: float = param(
        0.5,
        "The arm keeps its place where the newest command is older, or over for longer [s].",
        ge=0.01,
    )
    max_step_rad: float = param(0.05, "The most that a joint's goal moves per tick [rad].", ge=0.0)
    dry_run: bool = param(
        False, "Only measure: neither goals nor torque are written.", read_only=True
    )
    torque_off_on_deactivate: bool = param(
        False, "Let go of the arm when deactivated; it falls. False: it keeps its place."
    )


class So101Driver(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("so101_driver", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Open the port and see that the arm is the one that was described; it is not moved."""
        group = self.parameters.declare(So101DriverParams)
        self._group, params = group, group.value
        robot = load_robot_spec(config_file("robots", params.robot))
        self._spec = spec = load_servo_spec(config_file("servos", params.servos))
        known = spec.interfaces
        self._measured = driver_places(robot, robot.state_streams, known, spec.source)
        self._commands = DriverCommands(
            robot,
            driver_places(robot, robot.command_groups, known, spec.source),
            len(known),
            timeout_s=params.command_timeout_s,
        )
        calibration = load_calibration(Path(params.calibration), spec)
        self._goals = goals = GoalLimiter(*driver_bounds(robot, known), params.max_step_rad)
        undo.callback(group.listen(self._on_params))
        bus = ServoBus(
            params.port, spec.ids, baud_rate=params.baud_rate, timeout_s=params.bus_timeout_s
        )
        self._arm = ServoArm(bus, spec, calibration, goals, dry_run=params.dry_run)
        self._bus_lock = threading.Lock()
        self._arm.open()
        undo.callback(self._arm.close)
        self._states: dict[str, Publisher] = {
            name: self.publisher(undo, JointState, stream.topic, STATE)
            for name, stream in robot.state_streams.items()
        }
        self.serve(undo, SetBool, "~/torque", self._on_torque)
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Hold the arm where it is, publish, and follow."""
        params: So101DriverParams = self._group.value
        if not params.dry_run:
            with self._bus_lock:
                self._arm.set_torque(on=True)
            undo.callback(self._rest)
        self._commands.listen(self, undo, lambda: self._arm.goal)
        ticks = TickThread(
            lambda _: self._tick(),
            period_ns=round(1e9 / params.rate_hz),
            realtime_priority=0,
            guard=self.fatal("the driver"),
        )
        undo.callback(ticks.stop)
        ticks.start()

    def _on_params(self, params: So101DriverParams) -> None:
        self._goals.max_step = params.max_step_rad
        self._commands.timeout_s = params.command_timeout_s

    def _rest(self) -> None:
        if self._group.value.torque_off_on_deactivate:
            with self._bus_lock, contextlib.suppress(DeviceError):
                self._arm.set_torque(on=False)

    def _on_torque(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        try:
            with self._bus_lock:
                self._arm.set_torque(on=request.data)
        except DeviceError as error:
            response.message = str(error)
        else:
            response.success = True
            response.message = "the arm holds its place" if request.data else "the arm is let go"
        self.get_logger().info(f"torque {'on' if request.data else 'off'}: {response.message}")
        return response

    def _now_ns(self) -> int:
        return self.get_clock().now().nanoseconds

    # What follows runs in the thread that ticks, apart from the statuses.

    def _tick(self) -> None:
        before_ns = self._now_ns()
        with self._bus_lock:
            feedback = self._arm.measure(time.monotonic())
            after_ns = self._now_ns()
            if self._arm.goal is None:
                self._commands.forget()
            elif feedback is not None:
                self._arm.steer(self._commands.target(after_ns))
        if feedback is not None:
            self._publish(feedback, (before_ns + after_ns) // 2)

    def _publish(self, feedback: Feedback, stamp_ns: int) -> None:
        ticks, stamp = self._arm.ticks, time_from_ns(stamp_ns)
        position = ticks.to_rad(feedback.position)
        velocity = ticks.scale * feedback.velocity
        effort = np.sign(ticks.scale) * feedback.load
        for name, publisher in self._states.items():
            places = self._measured[name]
            interfaces = [self._spec.interfaces[place] for place in places]
            message = joint_state_message(
                interfaces,
                position[places],
                stamp,
                velocity=velocity[places],
                effort=effort[places],
            )
            publisher.publish(message)

    def _statuses(self) -> Iterator[Status]:
        params: So101DriverParams = self._group.value
        yield from arm_statuses(self._arm, self._spec, port=params.port, dry_run=params.dry_run)
        quiet = self._commands.quiet
        yield Status(
            "commands",
            Level.OK,
            f"none for {', '.join(quiet)}: its place is kept" if quiet else "are followed",
        )


def main() -> int:
    """Run the node."""
    keep_off_shared_memory()
    return run(So101Driver)


if __name__ == "__main__":
    sys.exit(main())
