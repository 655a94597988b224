# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from vla_ros.drivers.unitree.body_state import Inertial
from vla_ros.nodes.unitree_states import imu_message
from vla_ros.ros.stamps import ns_from_time


def inertial(orientation: np.ndarray | None) -> Inertial:
    return Inertial(orientation, np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))


def test_an_inertial_unit_is_told_as_rep_145_has_it():
    message = imu_message(inertial(np.array([0.1, 0.2, 0.3, 0.9])), "base", 1_500_000_000)

    turned, rates, pulled = (
        message.orientation,
        message.angular_velocity,
        message.linear_acceleration,
    )
    assert [turned.x, turned.y, turned.z, turned.w] == [0.1, 0.2, 0.3, 0.9]
    assert [rates.x, rates.y, rates.z] == [1.0, 2.0, 3.0]
    assert [pulled.x, pulled.y, pulled.z] == [4.0, 5.0, 6.0]
    assert message.header.frame_id == "base"
    assert ns_from_time(message.header.stamp) == 1_500_000_000
    # Zeros say that it is not known how good they are.
    assert not any(message.orientation_covariance)
    assert not any(message.angular_velocity_covariance)
    assert not any(message.linear_acceleration_covariance)


def test_no_orientation_is_said_to_be_none():
    message = imu_message(inertial(None), "base", 0)

    assert message.orientation_covariance[0] == -1.0
    assert message.orientation.w == 1.0
