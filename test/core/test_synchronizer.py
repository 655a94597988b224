# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from test.core.helpers import MS, SECOND, cameraless_robot, robot
from vla_ros.core.errors import ObservationError
from vla_ros.core.synchronizer import Synchronizer


def filled(now: int = SECOND) -> Synchronizer[str]:
    """Every stream has one sample, just now."""
    it = Synchronizer[str](robot())
    it.push_image("left", now, "L")
    it.push_image("right", now, "R")
    it.push_state("joints", now, np.array([1.0, 2.0]))
    it.push_state("hand", now, np.array([3.0]))
    return it


def test_a_whole_moment() -> None:
    moment = filled().sample(SECOND)
    assert moment.stamp_ns == SECOND
    assert moment.images == {"left": (SECOND, "L"), "right": (SECOND, "R")}
    assert moment.state_names == ("w/position", "a/position", "g/position")
    assert moment.state == pytest.approx([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ("left", "stale_camera"),
        ("right", "stale_camera"),
        ("joints", "stale_state"),
        ("hand", "stale_state"),
    ],
)
def test_a_stream_that_never_came_is_named(stream: str, reason: str) -> None:
    it = Synchronizer[str](robot())
    for camera in ("left", "right"):
        if camera != stream:
            it.push_image(camera, SECOND, camera)
    for name, values in (("joints", [0.0, 0.0]), ("hand", [0.0])):
        if name != stream:
            it.push_state(name, SECOND, np.array(values))
    with pytest.raises(ObservationError, match=f"{stream} has sent nothing yet") as caught:
        it.sample(SECOND)
    assert (caught.value.reason, caught.value.stream) == (reason, stream)


@pytest.mark.parametrize(
    ("stream", "max_age_s"), [("left", 0.2), ("right", 0.3), ("joints", 0.1), ("hand", 0.2)]
)
def test_a_stale_stream_is_named_with_its_age(stream: str, max_age_s: float) -> None:
    later = SECOND + round(max_age_s * SECOND) + MS
    it = filled()
    for camera in ("left", "right"):
        if camera != stream:
            it.push_image(camera, later, camera)
    for name, values in (("joints", [0.0, 0.0]), ("hand", [0.0])):
        if name != stream:
            it.push_state(name, later, np.array(values))
    with pytest.raises(ObservationError, match=f"{stream} is stale") as caught:
        it.sample(later)
    assert f"{max_age_s + 0.001:.3f} s old, allowed are {max_age_s:g} s" in str(caught.value)
    assert caught.value.stream == stream


def test_a_stream_of_the_future_is_named() -> None:
    with pytest.raises(ObservationError, match=r"0\.500 s in the future; are the clocks"):
        filled(now=SECOND + 500 * MS).sample(SECOND)


def test_cameras_out_of_step_are_named() -> None:
    it = filled()
    it.push_image("left", SECOND + 21 * MS, "later")
    it.push_image("left", SECOND + 54 * MS, "later still")
    it2 = Synchronizer[str](robot())
    it2.push_image("left", SECOND, "L")
    it2.push_image("right", SECOND + 21 * MS, "R")
    it2.push_state("joints", SECOND, np.array([1.0, 2.0]))
    it2.push_state("hand", SECOND, np.array([3.0]))
    assert it.sample(SECOND + 60 * MS).stamp_ns == SECOND  # the newest moment both have seen
    with pytest.raises(ObservationError, match=r"camera right has no frame within .* 0\.021 s"):
        it2.sample(SECOND + 21 * MS)


def test_the_state_must_not_begin_long_after_the_images() -> None:
    it = Synchronizer[str](robot())
    it.push_image("left", SECOND, "L")
    it.push_image("right", SECOND, "R")
    it.push_state("joints", SECOND + 101 * MS, np.array([1.0, 2.0]))
    it.push_state("hand", SECOND, np.array([3.0]))
    with pytest.raises(ObservationError, match=r"joints begins 0\.101 s after") as caught:
        it.sample(SECOND + 101 * MS)
    assert caught.value.stream == "joints"


def test_without_cameras_the_oldest_state_is_the_anchor() -> None:
    it = Synchronizer[str](cameraless_robot())
    it.push_state("joints", SECOND, np.array([1.0, 2.0]))
    it.push_state("joints", SECOND + 20 * MS, np.array([3.0, 4.0]))
    it.push_state("hand", SECOND + 10 * MS, np.array([3.0]))
    moment = it.sample(SECOND + 20 * MS)
    assert moment.stamp_ns == SECOND + 10 * MS
    assert moment.state == pytest.approx([2.0, 3.0, 3.0])


@given(
    st.lists(st.integers(0, 60), min_size=2, max_size=20, unique=True),
    st.integers(0, 60),
)
def test_the_state_is_interpolated_to_the_anchor(times: list[int], anchor: int) -> None:
    """A state that is linear in time is met exactly at every anchor within its samples."""
    assume(min(times) <= anchor <= max(times))
    it = filled(now=SECOND - 10 * SECOND)
    it.clear()
    for at in times:
        stamp = SECOND + at * MS
        it.push_state("joints", stamp, np.array([2.0 * at, -1.0 * at]))
    it.push_state("hand", SECOND + anchor * MS, np.array([7.0]))
    for camera in ("left", "right"):
        it.push_image(camera, SECOND + anchor * MS, camera)
    moment = it.sample(SECOND + max(*times, anchor) * MS)
    assert moment.state == pytest.approx([2.0 * anchor, -1.0 * anchor, 7.0])


def test_ages_are_told_for_every_stream() -> None:
    it = Synchronizer[str](robot())
    it.push_image("left", SECOND, "L")
    assert it.ages_s(SECOND + 50 * MS) == {
        "left": pytest.approx(0.05),
        "right": None,
        "joints": None,
        "hand": None,
    }
    assert not it.push_image("left", SECOND, "again")
    assert it.push_state("hand", SECOND, np.array([0.0]))
