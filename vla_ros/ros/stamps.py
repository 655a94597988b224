# SPDX-License-Identifier: Apache-2.0
"""Between ROS times and integer nanoseconds. Pure; any thread may call."""

from __future__ import annotations

from builtin_interfaces.msg import Duration, Time

_NS = 1_000_000_000


def ns_from_time(stamp: Time | Duration) -> int:
    """A ROS time or duration in nanoseconds."""
    return int(stamp.sec) * _NS + int(stamp.nanosec)


def time_from_ns(stamp_ns: int) -> Time:
    """Nanoseconds since the epoch of the ROS clock as a ROS time."""
    sec, nanosec = divmod(stamp_ns, _NS)
    return Time(sec=sec, nanosec=nanosec)


def duration_from_ns(duration_ns: int) -> Duration:
    """Nanoseconds as a ROS duration."""
    sec, nanosec = divmod(duration_ns, _NS)
    return Duration(sec=sec, nanosec=nanosec)
