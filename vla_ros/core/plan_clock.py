# SPDX-License-Identifier: Apache-2.0
"""The time that actions are indexed by: it passes while the robot executes them.

At full speed it runs with the ROS clock, at half speed it runs half as fast, and while the robot
holds it stands still. So an action is due when the robot has come to it: a chunk whose observation
was made before or during a hold continues where the robot is, and nothing of it is lost to the
waiting. One thread, or an external lock. Integer nanoseconds.
"""

from __future__ import annotations

from collections import deque

# How many changes of speed are remembered: more than there can be while a request is under way.
_REMEMBERED = 1024


class PlanClock:
    """Turns moments of the ROS clock into moments of the plan.

    >>> clock = PlanClock(now_ns=1000)
    >>> clock.run(1100, speed=1.0)
    >>> clock.run(1300, speed=0.5)
    >>> clock.run(1900, speed=0.0)
    >>> clock.now_ns, clock.at(1200), clock.at(1050)
    (1200, 1150, 1050)
    """

    def __init__(self, now_ns: int) -> None:
        """Agree with the ROS clock now."""
        self._plan_ns = now_ns
        self._ros_ns = now_ns
        self._speed = 1.0
        # When a speed began, on both clocks, and that speed.
        self._begun: deque[tuple[int, int, float]] = deque(maxlen=_REMEMBERED)
        self._begun.append((now_ns, now_ns, 1.0))

    @property
    def now_ns(self) -> int:
        """Now, on the plan's clock."""
        return self._plan_ns

    @property
    def speed(self) -> float:
        """How fast the plan's clock ran last, as a share of the ROS clock's speed."""
        return self._speed

    def ahead(self, now_ns: int, *, speed: float) -> int:
        """What the plan's clock will say after ``run``."""
        return self._plan_ns + round(speed * (now_ns - self._ros_ns))

    def run(self, now_ns: int, *, speed: float) -> None:
        """Let the time since the last call have passed at some speed, 0 to 1.

        Args:
            now_ns: Now, on the ROS clock; not before the last call's.
            speed: Of the plan's clock meanwhile.
        """
        if speed != self._speed:
            self._begun.append((self._ros_ns, self._plan_ns, speed))
            self._speed = speed
        self._plan_ns = self.ahead(now_ns, speed=speed)
        self._ros_ns = now_ns

    def at(self, ros_ns: int) -> int:
        """The plan's moment for a moment of the ROS clock, past or a little ahead."""
        begun_ns, plan_ns, speed = self._begun[0]
        for begun in reversed(self._begun):
            if begun[0] <= ros_ns:
                begun_ns, plan_ns, speed = begun
                break
        return plan_ns + round(speed * (ros_ns - begun_ns))
