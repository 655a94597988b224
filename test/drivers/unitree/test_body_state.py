# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest

from vla_ros.core.config_files import config_file
from vla_ros.core.errors import DeviceError
from vla_ros.drivers.unitree.body_spec import load_unitree_spec
from vla_ros.drivers.unitree.body_state import BodyReader, QuaternionOrder, read_hands
from vla_ros.drivers.unitree.crc import sealed
from vla_ros.drivers.unitree.idl_go import MotorState as HandState
from vla_ros.drivers.unitree.idl_go import MotorStates
from vla_ros.drivers.unitree.idl_hg import LowState

SPEC = load_unitree_spec(config_file("unitree", "g1_inspire"))


def reader(order: QuaternionOrder = "xyzw", *, verify_crc: bool = True) -> BodyReader:
    return BodyReader(SPEC, quaternion_order=order, verify_crc=verify_crc)


def message(quaternion: tuple[float, ...] = (0.0, 0.0, 0.6, 0.8)) -> LowState:
    made = LowState(mode_machine=5)
    for place, motor in enumerate(made.motor_state):
        motor.q, motor.dq, motor.tau_est = 0.5 * place, 0.25 * place, -float(place)
    made.imu_state.quaternion = list(quaternion)
    made.imu_state.gyroscope = [1.0, 2.0, 3.0]
    made.imu_state.accelerometer = [4.0, 5.0, 6.0]
    return made


def test_motors_are_read_by_place():
    state = reader().read(sealed(message()))

    places = np.arange(29.0)
    np.testing.assert_array_equal(state.joints.position, 0.5 * places)
    np.testing.assert_array_equal(state.joints.velocity, 0.25 * places)
    np.testing.assert_array_equal(state.joints.effort, -places)
    assert state.mode_machine == 5


def test_the_inertial_unit_is_read():
    inertial = reader().read(sealed(message())).inertial

    assert inertial.angular_velocity.tolist() == [1.0, 2.0, 3.0]
    assert inertial.acceleration.tolist() == [4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("order", "sent"), [("xyzw", (0.0, 0.0, 0.6, 0.8)), ("wxyz", (0.8, 0.0, 0.0, 0.6))]
)
def test_quaternions_come_in_either_order(order: QuaternionOrder, sent: tuple[float, ...]):
    orientation = reader(order).read(sealed(message(sent))).inertial.orientation

    assert orientation == pytest.approx([0.0, 0.0, 0.6, 0.8])


@pytest.mark.parametrize("sent", [(0.0,) * 4, (math.nan,) * 4, (9.0,) * 4])
def test_what_is_no_rotation_is_none(sent: tuple[float, ...]):
    assert reader().read(sealed(message(sent))).inertial.orientation is None


def test_a_wrong_checksum_is_refused_unless_it_does_not_matter():
    with pytest.raises(DeviceError, match="wrong checksum"):
        reader().read(message())

    assert reader(verify_crc=False).read(message()).mode_machine == 5


@pytest.mark.parametrize(
    ("field", "what"), [("q", "position"), ("dq", "velocity"), ("tau_est", "torque")]
)
def test_a_value_that_is_not_finite_is_refused(field: str, what: str):
    wrong = message()
    setattr(wrong.motor_state[3], field, math.nan)

    with pytest.raises(DeviceError, match=f"the {what} of joint 3 is nan"):
        reader().read(sealed(wrong))


def test_a_fingerprint_is_that_of_all_values():
    state = reader().read(sealed(message()))
    same = reader().read(sealed(message()))
    for change in ("q", "dq", "tau_est"):
        other = message()
        setattr(other.motor_state[28], change, 0.125)
        assert reader().read(sealed(other)).joints.fingerprint != state.joints.fingerprint
    turned = reader().read(sealed(message((0.0, 0.0, 0.0, 0.0)))).inertial

    assert same.joints.fingerprint == state.joints.fingerprint
    assert same.inertial.fingerprint == state.inertial.fingerprint != turned.fingerprint


def test_hands_are_read_in_radians():
    sent = MotorStates([HandState(q=place / 11, dq=1.0, tau_est=2.0) for place in range(12)])

    joints = read_hands(sent, SPEC.inspire_hands())

    # 0 is closed and 1 is open; the thumbs' rotation ends at 1.3 and -0.1.
    assert joints.position[0] == pytest.approx(1.7)
    assert joints.position[5] == pytest.approx(1.3 - 1.4 * 5 / 11)
    assert joints.position[11] == pytest.approx(-0.1)
    assert joints.velocity.tolist() == [1.0] * 12
    assert joints.effort.tolist() == [2.0] * 12


def test_too_few_joints_of_the_hands_are_refused():
    with pytest.raises(DeviceError, match="there must be 12 positions of the hands"):
        read_hands(MotorStates([HandState()] * 11), SPEC.inspire_hands())
