# SPDX-License-Identifier: Apache-2.0
"""Take commands as ros2_control's controllers do, for a robot that has no ros2_control.

A message that a controller would refuse is refused whole, and what it said before stays in force:
there is no timeout. Time is an argument. One thread, or an external lock.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from vla_ros.core.errors import ActionError
from vla_ros.ros.stamps import ns_from_time


class CommandIntake:
    """The targets of some interfaces, as the newest command says.

    It takes what ForwardCommandController and JointTrajectoryController take; the newer of the two
    is in force.
    """

    def __init__(self, interfaces: tuple[str, ...]) -> None:
        """Nothing is commanded yet.

        Args:
            interfaces: (D,) In the controller's order, such as ``elbow/position``.
        """
        self._joints = [interface.rpartition("/")[0] for interface in interfaces]
        # (P,) when each point is due [ns], and (P, D) the points.
        self._due_ns: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._points: NDArray[np.float64] = np.zeros((0, len(interfaces)))

    @property
    def ends_ns(self) -> int:
        """When the newest command has been carried out, on the ROS clock; 0: at once."""
        return int(self._due_ns[-1]) if len(self._points) else 0

    def forget(self) -> None:
        """Let go of every command."""
        self._points = self._points[:0]

    def targets(self, now_ns: int) -> NDArray[np.float64] | None:
        """(D,) Where the interfaces shall be now; None before the first command.

        Between two points of a trajectory the target moves on a straight line, as it does in
        JointTrajectoryController when only positions are given.
        """
        if len(self._points) == 0:
            return None
        after = int(np.searchsorted(self._due_ns, now_ns))
        if after == 0 or after == len(self._points):
            return self._points[min(after, len(self._points) - 1)]
        begin_ns, end_ns = self._due_ns[after - 1], self._due_ns[after]
        weight = (now_ns - begin_ns) / (end_ns - begin_ns)
        between: NDArray[np.float64] = (1.0 - weight) * self._points[
            after - 1
        ] + weight * self._points[after]
        return between

    def on_array(self, message: Float64MultiArray) -> None:
        """Take positions that hold from now on.

        Raises:
            ActionError: The size is wrong, or a value is not finite.
        """
        values = self._row(message.data)
        self._due_ns, self._points = np.zeros(1, dtype=np.int64), values[np.newaxis]

    def on_trajectory(
        self, message: JointTrajectory, now_ns: int, present: NDArray[np.float64]
    ) -> None:
        """Take a trajectory, which replaces the one before; one without points stops the motion.

        Args:
            message: Joints in any order. A stamp of zero says: from now on.
            now_ns: Now, on the ROS clock.
            present: (D,) Where the interfaces are now, if nothing is commanded.

        Raises:
            ActionError: Joints are missing, unknown or named twice, times do not increase, or a
                point has the wrong size or a value that is not finite.
        """
        start = self.targets(now_ns)
        start = present if start is None else start
        order = self._order(message.joint_names)
        points = [self._row(point.positions)[order] for point in message.points]
        begin_ns = ns_from_time(message.header.stamp) or now_ns
        due_ns = [begin_ns + ns_from_time(point.time_from_start) for point in message.points]
        if any(after <= before for before, after in itertools.pairwise(due_ns)):
            raise ActionError("the trajectory's time_from_start must increase point by point")
        if due_ns and due_ns[-1] < now_ns:
            late_s = (now_ns - due_ns[-1]) * 1e-9
            raise ActionError(f"the trajectory was over {late_s:.3f} s ago")
        keep = [place for place, due in enumerate(due_ns) if due > now_ns] or [len(points) - 1]
        rest = [(due_ns[place], points[place]) for place in keep if points]
        self._due_ns = np.array([now_ns, *(due for due, _ in rest)], dtype=np.int64)
        self._points = np.array([start, *(point for _, point in rest)])

    def _row(self, values: Sequence[float]) -> NDArray[np.float64]:
        row = np.array(values, dtype=np.float64)
        if row.shape != (len(self._joints),):
            raise ActionError(
                f"the command has {len(row)} values, expected {len(self._joints)} for"
                f" {', '.join(self._joints)}"
            )
        if not np.isfinite(row).all():
            joint = self._joints[int(np.flatnonzero(~np.isfinite(row))[0])]
            raise ActionError(f"the command holds a value that is not finite (for {joint})")
        return row

    def _order(self, joints: Sequence[str]) -> NDArray[np.intp]:
        """Where each of our joints stands in a message."""
        if sorted(joints) != sorted(self._joints):
            raise ActionError(
                f"the trajectory is for joints {', '.join(joints) or 'none'}, expected all of"
                f" {', '.join(self._joints)}"
            )
        return np.array([joints.index(joint) for joint in self._joints], dtype=np.intp)
