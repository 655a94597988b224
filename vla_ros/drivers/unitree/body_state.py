# SPDX-License-Identifier: Apache-2.0
"""What Unitree's body and hands measure, out of their messages.

D motors of a spec, in the order of their places. Radians, rad/s, Nm; the hands' velocities and
torques are what their maker sends, in units of its own. Pure; any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.body_spec import UnitreeSpec
from vla_ros.drivers.unitree.crc import is_intact
from vla_ros.drivers.unitree.idl_go import MotorStates
from vla_ros.drivers.unitree.idl_hg import IMUState, LowState
from vla_ros.drivers.unitree.inspire import JOINTS, InspireHands

Values = NDArray[np.float64]
QuaternionOrder = Literal["xyzw", "wxyz"]
_PLACES: Mapping[QuaternionOrder, list[int]] = {"xyzw": [0, 1, 2, 3], "wxyz": [1, 2, 3, 0]}
# A quaternion that is shorter, or longer by as much, is none.
_MIN_NORM = 0.5


@dataclass(frozen=True, slots=True)
class JointValues:
    """What is measured of some joints.

    Attributes:
        position: (D,) [rad].
        velocity: (D,) [rad/s].
        effort: (D,) [Nm].
    """

    position: Values
    velocity: Values
    effort: Values

    @property
    def fingerprint(self) -> bytes:
        """The same for the same values alone."""
        return self.position.tobytes() + self.velocity.tobytes() + self.effort.tobytes()


@dataclass(frozen=True, slots=True)
class Inertial:
    """What the inertial unit measures, in its own axes.

    Attributes:
        orientation: (4,) A unit quaternion x, y, z, w; None: it says none.
        angular_velocity: (3,) [rad/s].
        acceleration: (3,) [m/s^2]; versions of unitree_sim_isaaclab send the velocity [m/s] here.
    """

    orientation: Values | None
    angular_velocity: Values
    acceleration: Values

    @property
    def fingerprint(self) -> bytes:
        """The same for the same values alone."""
        turned = b"" if self.orientation is None else self.orientation.tobytes()
        return turned + self.angular_velocity.tobytes() + self.acceleration.tobytes()


@dataclass(frozen=True, slots=True)
class BodyState:
    """A LowState.

    Attributes:
        joints: (D,) The motors.
        inertial: The inertial unit.
        mode_machine: What a command must repeat.
    """

    joints: JointValues
    inertial: Inertial
    mode_machine: int


class BodyReader:
    """Reads LowStates."""

    def __init__(
        self, spec: UnitreeSpec, *, quaternion_order: QuaternionOrder, verify_crc: bool
    ) -> None:
        """Know the body.

        Args:
            spec: Its places.
            quaternion_order: The robot sends ``wxyz``, unitree_sim_isaaclab ``xyzw``.
            verify_crc: Whether a wrong checksum matters.
        """
        self._places = [motor.place for motor in spec.motors.values()]
        self._order = _PLACES[quaternion_order]
        self._verify_crc = verify_crc

    def read(self, message: LowState) -> BodyState:
        """What it says.

        Raises:
            DeviceError: Its checksum is wrong, or a value is not finite.
        """
        if self._verify_crc and not is_intact(message):
            raise DeviceError("a state of the body has a wrong checksum")
        motors = [message.motor_state[place] for place in self._places]
        joints = _joints(
            [motor.q for motor in motors],
            [motor.dq for motor in motors],
            [motor.tau_est for motor in motors],
        )
        return BodyState(joints, self._inertial(message.imu_state), message.mode_machine)

    def _inertial(self, imu: IMUState) -> Inertial:
        quaternion = np.array(imu.quaternion, dtype=np.float64)[self._order]
        norm = float(np.linalg.norm(quaternion))
        says = _MIN_NORM < norm < 1.0 / _MIN_NORM
        return Inertial(
            quaternion / norm if says else None,
            np.array(imu.gyroscope, dtype=np.float64),
            np.array(imu.accelerometer, dtype=np.float64),
        )


def read_hands(message: MotorStates, hands: InspireHands) -> JointValues:
    """(12,) What the hands say.

    Raises:
        DeviceError: They say too little, or a value is not finite.
    """
    states = message.states[:JOINTS]
    return _joints(
        hands.radians([state.q for state in states]),
        [state.dq for state in states],
        [state.tau_est for state in states],
    )


def _joints(position: ArrayLike, velocity: ArrayLike, effort: ArrayLike) -> JointValues:
    values = np.array([position, velocity, effort], dtype=np.float64)
    if not np.isfinite(values).all():
        kind, place = np.argwhere(~np.isfinite(values))[0].tolist()
        what = ("position", "velocity", "torque")[kind]
        raise DeviceError(f"the {what} of joint {place} is {values[kind, place]}")
    return JointValues(*values)
