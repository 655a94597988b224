# SPDX-License-Identifier: Apache-2.0
"""An executor on a bench, for the core's tests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from test.core.helpers import MS, POLICY, SECOND, policy, robot
from vla_ros.core.action_chunk import ActionChunk
from vla_ros.core.executor import ActionExecutor
from vla_ros.core.executor_params import ExecutorParams
from vla_ros.core.executor_status import Command, ExecutorStatus, Hold, Measured, Move
from vla_ros.core.observation import ObservationRequest
from vla_ros.core.robot_spec import RobotSpec
from vla_ros.core.workspace import WorkspaceSpec

# The policy's interfaces, its step, and the length of a tick.
NAMES = ("a/position", "g/position")
STEP = 100 * MS
TICK = 20 * MS
T0 = 10 * SECOND
# Where the robot is at first: its command_names are a, w and g.
HOME = np.array([0.1, 0.2, 0.3])
# The first joint slides the hand along x.
SLIDE = """
<robot name="slide">
  <joint name="a" type="prismatic">
    <parent link="base"/><child link="tip"/>
    <axis xyz="1 0 0"/><limit lower="-1" upper="1"/>
  </joint>
</robot>
"""


def boxed_robot(folder: Path, *, max_speed_m_s: float | None = None) -> RobotSpec:
    """A robot whose hand may go no further than x = 0.3, and only so fast."""
    urdf = folder / "slide.urdf"
    urdf.write_text(SLIDE)
    box = WorkspaceSpec("tip", (-1.0, -1.0, -1.0), (0.3, 1.0, 1.0), max_speed_m_s)
    return dataclasses.replace(robot(), urdf=urdf, workspace=box)


class Bench:
    """An executor, a clock, and a robot that is where it was told to be.

    Without parameters plans are straight lines and nothing is smoothed or started softly, so that
    tests can say what is due.
    """

    def __init__(
        self, *, policy_text: str = POLICY, body: RobotSpec | None = None, **params: object
    ) -> None:
        given = {"soft_start_s": 0.0, "interpolation": "linear", "smoothing_steps": 0.0, **params}
        self.params = given
        spec = policy(policy_text)
        self.step = spec.step_ns
        self.executor = ActionExecutor(body or robot(), spec, ExecutorParams(**given))  # type: ignore[arg-type]
        self.now = T0
        self.pose = HOME
        self.age_s = 0.0
        self.executor.start()

    @property
    def status(self) -> ExecutorStatus:
        return self.executor.status(self.now)

    def configure(self, **params: object) -> None:
        given = {**self.params, **params}
        self.executor.configure(ExecutorParams(**given))  # type: ignore[arg-type]
        self.params = given

    def tick(self, count: int = 1, *, length: int = TICK) -> Command:
        for _ in range(count):
            self.now += length
            command = self.executor.update(self.now, Measured(self.pose, self.age_s))
            if command.positions is not None:
                self.pose = command.positions
        return command

    def path(self, count: int) -> NDArray[np.float64]:
        """(count,) Where the arm's first joint is commanded in the next ticks."""
        path = []
        for _ in range(count):
            positions = self.tick().positions
            assert positions is not None
            path.append(positions[0])
        return np.array(path)

    def poll(self) -> ObservationRequest | None:
        return self.executor.poll_request(self.now)

    def chunk(
        self, *arm: float, hand: float = 0.3, stamp: int | None = None, **more: int
    ) -> ActionChunk:
        actions = np.array([[value, hand] for value in arm])
        stamp = self.now if stamp is None else stamp
        step = more.pop("step", self.step)
        epoch = more.pop("epoch", self.status.epoch)
        return ActionChunk(stamp, step, NAMES, actions, epoch=epoch, **more)

    def offer(self, *arm: float, hand: float = 0.3, stamp: int | None = None, **more: int) -> None:
        self.executor.offer(self.chunk(*arm, hand=hand, stamp=stamp, **more), self.now)

    def moves(self) -> bool:
        return isinstance(self.tick(), Move)

    def reason(self) -> str:
        command = self.tick()
        assert isinstance(command, Hold)
        return command.reason
