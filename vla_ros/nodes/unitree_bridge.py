# SPDX-License-Identifier: Apache-2.0
"""A Unitree robot with Inspire hands, or its simulator, behind the topics of ros2_control.

It speaks Unitree's DDS in a domain of its own. States are stamped when they are received, because
they carry no time. A command is sent as soon as it comes, and again at a rate, so that goals move
on. When the node ends, arms that were taken over are given back by a ramp before it is gone.

One thread waits for states and publishes them, one ticks, one has the callbacks.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from std_srvs.srv import Trigger

from vla_ros.core.config_files import config_file
from vla_ros.core.driver_joints import driver_bounds, driver_places
from vla_ros.core.errors import DeviceError
from vla_ros.core.params import param
from vla_ros.core.robot_spec import load_robot_spec
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.body_state import BodyReader
from vla_ros.drivers.unitree.control import UnitreeControl
from vla_ros.drivers.unitree.link import RESETS, ResetKind, UnitreeLink
from vla_ros.drivers.unitree.session import MAX_DOMAIN, DdsSession
from vla_ros.nodes.unitree_report import command_status, state_status, task_status
from vla_ros.nodes.unitree_states import UnitreeStates
from vla_ros.ros.diagnostics import Diagnostics, Level, Status
from vla_ros.ros.driver_commands import DriverCommands
from vla_ros.ros.lifecycle import SHUTDOWN_S, LifecycleBase
from vla_ros.ros.process import run
from vla_ros.ros.realtime import realtime_process
from vla_ros.ros.tick_thread import TickThread
from vla_ros.ros.transport import keep_off_shared_memory

_WAIT_S = 0.1
_JOIN_S = 1.0
_LOG_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class UnitreeBridgeParams:
    """What the bridge can be told."""

    robot: str = param("g1_inspire", "Robot description: a name or a .yaml file.", read_only=True)
    unitree: str = param(
        "g1_inspire", "Its places in Unitree's messages: a name or a .yaml file.", read_only=True
    )
    domain: int = param(
        1, "Unitree's DDS domain: 1 simulators, 0 robots.", ge=0, le=MAX_DOMAIN, read_only=True
    )
    network_interface: str = param(
        "", "The one that Unitree's DDS uses, such as eth0; empty: any.", read_only=True
    )
    command_topic: Literal["lowcmd", "arm_sdk"] = param(
        "lowcmd",
        "lowcmd: simulators, and robots in debug mode; arm_sdk: robots in motion mode.",
        read_only=True,
    )
    imu_quaternion_order: Literal["xyzw", "wxyz"] = param(
        "xyzw", "xyzw: unitree_sim_isaaclab; wxyz: robots.", read_only=True
    )
    task: str = param(
        "", "The simulator's task; another one is reported. Empty: any.", read_only=True
    )
    verify_crc: bool = param(
        True, "Drop states of the body whose checksum is wrong.", read_only=True
    )
    dry_run: bool = param(False, "Only read: nothing is sent.", read_only=True)
    max_state_rate_hz: float = param(
        200.0, "More states per second than this are not published [Hz].", ge=1.0, read_only=True
    )
    command_rate_hz: float = param(
        100.0,
        "How often goals are sent beside each command [Hz].",
        ge=10.0,
        le=500.0,
        read_only=True,
    )
    realtime_priority: int = param(
        40, "SCHED_FIFO priority of all threads; 0: none.", ge=0, le=99, read_only=True
    )
    command_timeout_s: float = param(
        0.5,
        "Joints keep their place where the newest command is older, or over for longer [s].",
        ge=0.01,
    )
    release_after_s: float = param(
        5.0, "arm_sdk: the arms are given back where nobody commanded for so long [s].", ge=0.1
    )
    ramp_s: float = param(
        2.0, "arm_sdk: how long taking the arms over and giving them back last [s].", ge=0.1, le=3.0
    )
    max_velocity_rad_s: float = param(
        3.0, "How fast the body's goals may move [rad/s].", ge=0.0, le=20.0
    )
    hand_max_velocity_rad_s: float = param(
        4.0, "How fast the hands' goals may move [rad/s].", ge=0.0, le=20.0
    )


class UnitreeBridge(LifecycleBase):
    """The node."""

    def __init__(self, **kwargs: Any) -> None:
        """Create the node; ``kwargs`` go to rclpy."""
        super().__init__("unitree_bridge", **kwargs)

    def configure(self, undo: contextlib.ExitStack) -> None:
        """Enter Unitree's domain; nothing is sent."""
        group = self.parameters.declare(UnitreeBridgeParams)
        self._group, params = group, group.value
        robot = load_robot_spec(config_file("robots", params.robot))
        spec = load_unitree_spec(config_file("unitree", params.unitree))
        known = (*spec.body_interfaces, *spec.hand_interfaces)
        self._commands = DriverCommands(
            robot,
            driver_places(robot, robot.command_groups, known, spec.source),
            len(known),
            timeout_s=params.command_timeout_s,
        )
        self._reading = False
        self._began_s = time.monotonic()
        self._session = DdsSession(params.domain, params.network_interface)
        undo.callback(self._session.close)
        self._link = UnitreeLink(
            self._session,
            spec,
            BodyReader(
                spec,
                quaternion_order=params.imu_quaternion_order,
                verify_crc=params.verify_crc,
            ),
            command_topic=params.command_topic,
            max_state_rate_hz=params.max_state_rate_hz,
            dry_run=params.dry_run,
        )
        self._control = UnitreeControl(self._link, *driver_bounds(robot, known))
        self._on_params(params)
        undo.callback(group.listen(self._on_params))
        self._states = UnitreeStates(self, undo, robot, spec)
        for what in RESETS:
            self.serve(undo, Trigger, f"~/reset_{what}", partial(self._on_reset, what))
        Diagnostics(self, undo, self._statuses)

    def activate(self, undo: contextlib.ExitStack) -> None:
        """Publish what is measured, and follow what is commanded, from where the robot is then."""
        params: UnitreeBridgeParams = self._group.value
        self._begin()
        undo.enter_context(realtime_process(params.realtime_priority))
        self._reading = True
        reader = threading.Thread(target=self._read, name="read", daemon=True)
        undo.callback(self._end_reading, reader)
        reader.start()
        if params.dry_run:
            return
        ticks = TickThread(
            lambda _: self._tick(),
            period_ns=round(1e9 / params.command_rate_hz),
            realtime_priority=params.realtime_priority,
            guard=self.fatal("the bridge"),
        )
        undo.callback(ticks.stop)
        ticks.start()
        # Undone first, while there are still ticks to ramp.
        undo.callback(self._give_back)
        self._commands.listen(self, undo, lambda: self._control.place, self._tick)

    def _on_params(self, params: UnitreeBridgeParams) -> None:
        self._commands.timeout_s = params.command_timeout_s
        self._control.set_velocities(
            body_rad_s=params.max_velocity_rad_s, hands_rad_s=params.hand_max_velocity_rad_s
        )
        ramp_s = params.ramp_s if params.command_topic == "arm_sdk" else 0.0
        self._control.set_release(ramp_s=ramp_s, after_s=params.release_after_s)
        self.shutdown_s = SHUTDOWN_S + ramp_s

    def _begin(self) -> None:
        """Say nothing, until somebody commands anew."""
        self._commands.forget()
        self._control.begin()

    def _on_reset(
        self, what: ResetKind, request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        try:
            self._link.reset(what, first=self._begin)
        except DeviceError as error:
            response.message = str(error)
        else:
            self._began_s = time.monotonic()
            response.success = True
            response.message = "the simulator was told"
        self.get_logger().info(f"reset {what}: {response.message}")
        return response

    def _give_back(self) -> None:
        if not self._control.give_back():
            self.get_logger().error("the arms are not given back: the ramp did not end in time")

    def _tick(self) -> None:
        """Tell the robot what it shall do now. In the thread that ticks, and after a command."""
        try:
            self._control.tick(self._commands.target(self.get_clock().now().nanoseconds))
        except DeviceError as error:
            self.get_logger().error(str(error), throttle_duration_sec=_LOG_EVERY_S)

    # What follows runs in the thread that reads, apart from the statuses.

    def _read(self) -> None:
        with self.fatal("the reading of states"):
            # What came while the node was not active is old.
            for inlet in self._link.inlets:
                inlet.take()
            while self._reading:
                if self._session.wait(_WAIT_S):
                    self._take()

    def _take(self) -> None:
        body = self._link.body.take()
        if body is not None:
            self._control.measure_body(body)
            self._states.publish_body(body)
        hands = self._link.hands.take()
        if hands is not None:
            self._control.measure_hands(hands)
            self._states.publish_hands(hands)
        reward = self._link.rewards.take()
        if reward is not None:
            self._states.publish_task(reward, time.monotonic() - self._began_s)
        sim_state = self._link.sim_state.take()
        if sim_state is not None:
            self._states.publish_sim_state(sim_state)

    def _end_reading(self, reader: threading.Thread) -> None:
        self._reading = False
        self._session.wake()
        reader.join(_JOIN_S)

    def _statuses(self) -> Iterator[Status]:
        link, states, where = self._link, self._states, self._session.where
        if not self._reading:
            yield Status("body", Level.WARN, "is not measured: the node is not active")
            return
        yield state_status("body", link.body, states.body_rate, where)
        yield state_status("hands", link.hands, states.hands_rate, where)
        yield task_status(states.task_name, self._group.value.task)
        yield command_status(
            link, self._control.phase, self._commands.quiet, dry_run=self._group.value.dry_run
        )


def main() -> int:
    """Run the node."""
    keep_off_shared_memory()
    return run(UnitreeBridge)


if __name__ == "__main__":
    sys.exit(main())
