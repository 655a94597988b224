# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import JointState

from test.core.helpers import robot
from vla_ros.core.errors import ObservationError
from vla_ros.core.joint_map import JointMap, same
from vla_ros.core.robot_spec import StateStream
from vla_ros.ros.joint_states import (
    JointStateReader,
    MeasuredPose,
    joint_state_message,
    joint_state_readers,
)

NAN = float("nan")
NAMES = ("b/position", "a/position", "b/velocity")
STREAM = StateStream("s", "joint_state", NAMES, 0.1, same(NAMES))


def message(**fields) -> JointState:
    return JointState(**fields)


def test_values_are_picked_by_name_whatever_the_order():
    reader = JointStateReader("joints", STREAM)
    first = message(name=["a", "x", "b"], position=[1.0, 9.0, 2.0], velocity=[0.1, 0.9, 0.2])
    second = message(name=["b", "a"], position=[2.0, 1.0], velocity=[0.2, 0.1])

    for found in (first, second, first):
        np.testing.assert_array_equal(reader.values(found), [2.0, 1.0, 0.2])


def test_streams_that_share_a_topic_know_whose_a_message_is():
    hand = ("c/position",)
    alone = ("d/position",)
    readers = joint_state_readers(
        {
            "arm": STREAM,
            "hand": dataclasses.replace(STREAM, interfaces=hand, map=same(hand)),
            "base": StateStream("elsewhere", "joint_state", alone, 0.1, same(alone)),
        }
    )

    def whose(*joints: str) -> list[str]:
        told = message(name=list(joints))
        return [name for name, reader in readers.items() if not reader.is_for_another(told)]

    assert whose("a", "b") == ["arm", "base"]
    assert whose("c") == ["hand", "base"]
    assert whose("a", "b", "c") == ["arm", "hand", "base"]
    # A message of nobody's is looked at, and refused with words.
    assert whose("x") == whose() == ["arm", "hand", "base"]


def test_a_message_may_carry_velocities_and_efforts():
    values = np.array([1.0, 2.0])
    stamp = Time(sec=3)

    plain = joint_state_message(NAMES[:2], values, stamp)
    full = joint_state_message(NAMES[:2], values, stamp, velocity=values / 2, effort=-values)

    assert (list(plain.velocity), list(plain.effort)) == ([], [])
    assert (full.name, full.header.stamp) == (["b", "a"], stamp)
    assert list(full.position) == [1.0, 2.0]
    assert list(full.velocity) == [0.5, 1.0]
    assert list(full.effort) == [-1.0, -2.0]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": [], "position": []}, "lacks joint 'b'; it has none"),
        ({"name": ["b"], "position": [1.0]}, "lacks joint 'a'; it has b"),
        ({"name": ["a", "b"], "position": [1.0, 2.0]}, "2 joint names and 0 values of velocity"),
        ({"name": ["a", "b"], "position": [1.0]}, "2 joint names and 1 values of position"),
        ({"name": ["a", "b", "a"], "position": [1.0, 2.0, 3.0]}, "names a joint twice"),
        (
            {"name": ["a", "b"], "position": [NAN, 2.0], "velocity": [0.0, 0.0]},
            "says a/position is nan",
        ),
    ],
)
def test_a_bad_message_is_refused_and_the_next_good_one_read(fields, text):
    reader = JointStateReader("joints", STREAM)

    with pytest.raises(ObservationError, match=f"state stream joints: .*{text}") as caught:
        reader.values(message(**fields))

    assert (caught.value.reason, caught.value.stream) == ("stale_state", "joints")
    good = message(name=["a", "b"], position=[1.0, 2.0], velocity=[3.0, 4.0])
    np.testing.assert_array_equal(reader.values(good), [2.0, 1.0, 4.0])


def test_values_of_joints_that_nobody_asked_for_may_be_nan():
    reader = JointStateReader("joints", STREAM)
    found = message(name=["a", "b", "x"], position=[1.0, 2.0, NAN], velocity=[0.0, 0.0, NAN])

    np.testing.assert_array_equal(reader.values(found), [2.0, 1.0, 0.0])


def test_a_robot_may_name_and_count_in_its_own_way():
    own = JointMap(("2", "1", "2"), (-1.0, 2.0, -1.0), (0.5, 0.0, 0.0))
    reader = JointStateReader("joints", StateStream("s", "joint_state", NAMES, 0.1, own))

    found = message(name=["1", "2"], position=[3.0, 0.1], velocity=[0.0, 4.0])
    np.testing.assert_allclose(reader.values(found), [0.4, 1.5, -4.0])


def test_a_published_message_can_be_read():
    names = ("b/position", "a/position")
    stream = StateStream("s", "joint_state", names, 0.1, same(names))

    published = joint_state_message(stream.interfaces, np.array([1.0, 2.0]), Time(sec=3))

    assert published.header.stamp == Time(sec=3)
    np.testing.assert_array_equal(JointStateReader("s", stream).values(published), [1.0, 2.0])


def test_the_pose_is_known_once_every_stream_has_spoken_and_as_old_as_its_oldest_part():
    pose = MeasuredPose(robot())  # commands a, w, g; streams joints (w, a) and hand (g)
    assert pose.streams == ("joints", "hand")

    pose.update("joints", np.array([0.2, 0.1]), 1_000_000_000)
    assert pose.read(1_000_000_000) is None
    pose.update("hand", np.array([0.3]), 1_500_000_000)

    measured = pose.read(1_600_000_000)
    assert measured is not None
    np.testing.assert_array_equal(measured.values, [0.1, 0.2, 0.3])
    assert measured.age_s == pytest.approx(0.6)

    pose.update("joints", np.array([0.5, 0.4]), 1_550_000_000)
    assert pose.read(1_600_000_000).age_s == pytest.approx(0.1)
