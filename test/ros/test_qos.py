# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from rclpy.qos import QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.qos import qos_profile_sensor_data as best_effort

from vla_ros.ros.qos import COMMAND, EVENT, LATCHED, NEWEST, SENSOR, STATE

SYSTEM_DEFAULT = QoSProfile(depth=10)


@pytest.mark.parametrize(
    ("publisher", "subscription"),
    [
        (best_effort, SENSOR),
        (SYSTEM_DEFAULT, SENSOR),
        (STATE, best_effort),
        (STATE, SYSTEM_DEFAULT),
        (COMMAND, SYSTEM_DEFAULT),
        (NEWEST, NEWEST),
        (EVENT, EVENT),
        (LATCHED, LATCHED),
        (LATCHED, EVENT),
    ],
)
def test_who_publishes_is_heard(publisher: QoSProfile, subscription: QoSProfile):
    compatibility, reason = qos_check_compatible(publisher, subscription)

    assert compatibility != QoSCompatibility.ERROR, reason


@pytest.mark.parametrize(("publisher", "subscription"), [(SENSOR, STATE), (EVENT, LATCHED)])
def test_who_promises_too_little_is_not_heard(publisher: QoSProfile, subscription: QoSProfile):
    assert qos_check_compatible(publisher, subscription)[0] == QoSCompatibility.ERROR
