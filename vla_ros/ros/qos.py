# SPDX-License-Identifier: Apache-2.0
"""The qualities of service of all topics, by what travels on them."""

from __future__ import annotations

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)

try:
    from rclpy.event_handler import SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks

# Cameras and measured state: the newest counts, a lost one is not sent again.
SENSOR = qos_profile_sensor_data


def _reliable(depth: int, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=durability,
    )


# What ros2_control's broadcasters offer: readers of either reliability can take it.
STATE = _reliable(10)
# Only the newest command is of use.
COMMAND = _reliable(1)
# Requests and observations: only the newest is of use.
NEWEST = _reliable(1)
# Chunks and failures: each one answers a request of its own.
EVENT = _reliable(10)
# What holds until it is said anew: instruction, executor state, task state.
LATCHED = _reliable(1, DurabilityPolicy.TRANSIENT_LOCAL)
# For one of two subscriptions to a topic, of which the other takes what this one cannot.
UNWARNED = SubscriptionEventCallbacks(use_default_callbacks=False)
