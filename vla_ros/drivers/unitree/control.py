# SPDX-License-Identifier: Apache-2.0
"""Body and hands of a robot, led together: what is measured comes in, what is told goes out.

Any thread may call; a lock keeps what is told in order. Whoever calls ``tick`` at a rate keeps
goals moving. D joints: the body's motors, then the hands'; radians.
"""

from __future__ import annotations

import threading
import time

import numpy as np

from vla_ros.drivers.unitree.body_command import Angles, BodyCommander, JointFollower, Phase
from vla_ros.drivers.unitree.body_state import BodyState, JointValues
from vla_ros.drivers.unitree.inspire import JOINTS
from vla_ros.drivers.unitree.link import UnitreeLink

# Beside the ramp [s].
_PATIENCE_S = 1.0


class UnitreeControl:
    """The robot, as it is commanded."""

    def __init__(self, link: UnitreeLink, lower: Angles, upper: Angles) -> None:
        """Leave it alone at first.

        Args:
            link: The way to it.
            lower: (D,) Least goals.
            upper: (D,) Greatest goals.
        """
        self._link = link
        self._motors = motors = len(lower) - JOINTS
        self._body = JointFollower(lower[:motors], upper[:motors])
        self._hands = JointFollower(lower[motors:], upper[motors:])
        self._commander = BodyCommander(self._body)
        self._mode_machine = 0
        self._lock = threading.Lock()
        self._ending = False
        self._released = threading.Event()

    @property
    def phase(self) -> Phase:
        """How the body stands to what commands it."""
        return self._commander.phase

    @property
    def place(self) -> Angles | None:
        """(D,) Where the joints are told to be, or else are; None while nobody knows."""
        with self._lock:
            body, hands = self._body.place, self._hands.place
        return None if body is None or hands is None else np.concatenate([body, hands])

    def set_velocities(self, *, body_rad_s: float, hands_rad_s: float) -> None:
        """Bound how fast goals move."""
        self._body.max_velocity_rad_s = body_rad_s
        self._hands.max_velocity_rad_s = hands_rad_s

    def set_release(self, *, ramp_s: float, after_s: float) -> None:
        """Say how the body is taken over and given back; see ``BodyCommander``."""
        self._commander.ramp_s = ramp_s
        self._commander.release_after_s = after_s

    def begin(self) -> None:
        """Tell nothing, until somebody commands; then from where the robot is."""
        with self._lock:
            self._ending = False
            self._released.clear()
            self._commander.begin()
            self._hands.forget()

    def measure_body(self, state: BodyState) -> None:
        """Know where the body is."""
        with self._lock:
            self._mode_machine = state.mode_machine
            self._body.measure(state.joints.position, time.monotonic())

    def measure_hands(self, joints: JointValues) -> None:
        """Know where the hands are."""
        with self._lock:
            self._hands.measure(joints.position, time.monotonic())

    def tick(self, target: Angles) -> None:
        """Tell the robot what it shall do now.

        Args:
            target: (D,) What is commanded; NaN: nothing.

        Raises:
            DeviceError: It cannot be sent.
        """
        with self._lock:
            if self._ending:
                target = np.full_like(target, np.nan)
            now_s = time.monotonic()
            body = self._commander.tick(target[: self._motors], now_s)
            hands = self._hands.follow(target[self._motors :], now_s)
            if self._ending and self._commander.released:
                self._released.set()
            if body is not None:
                self._link.tell_body(body, self._mode_machine)
            if hands is not None:
                self._link.tell_hands(hands)

    def give_back(self) -> bool:
        """Let go of what was taken over, while somebody ticks; whether that is done.

        Returns when it is, but waits little longer than the ramp lasts.
        """
        with self._lock:
            self._ending = True
            self._commander.release()
        return self._released.wait(self._commander.ramp_s + _PATIENCE_S)
