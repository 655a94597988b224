# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from test.core.helpers import MS, SECOND, cameraless_robot, robot
from vla_ros.core.errors import ObservationError
from vla_ros.core.past_frames import PastFrame
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


def remembering(**ages_ms: int) -> Synchronizer[int]:
    """Half a second of images at 20 Hz of the left camera, and 10 Hz of the right one."""
    past = {name: PastFrame("left", age_ms * MS) for name, age_ms in ages_ms.items()}
    it = Synchronizer[int](robot(), past)
    for at_ms in range(0, 501, 50):
        it.push_image("left", SECOND + at_ms * MS, at_ms)
    for at_ms in range(0, 501, 100):
        it.push_image("right", SECOND + at_ms * MS, at_ms)
    it.push_state("joints", SECOND + 500 * MS, np.array([1.0, 2.0]))
    it.push_state("hand", SECOND + 500 * MS, np.array([3.0]))
    return it


def images(it: Synchronizer[int]) -> dict[str, int]:
    return {name: image for name, (_, image) in it.sample(SECOND + 500 * MS).images.items()}


def test_the_past_is_shown_by_the_frames_nearest_to_it() -> None:
    it = remembering(left_a=110, left_b=300, left_c=1)

    assert images(it) == {"left": 500, "right": 500, "left_a": 400, "left_b": 200, "left_c": 500}
    assert it.sample(SECOND + 500 * MS).images["left_a"] == (SECOND + 400 * MS, 400)


def test_a_past_that_is_not_long_enough_is_its_oldest_frame() -> None:
    assert images(remembering(early=2000))["early"] == 0


def test_an_episode_has_no_past_of_another_one() -> None:
    it = remembering(before=300)
    it.begin_episode(SECOND + 320 * MS)
    assert images(it)["before"] == 350

    it.begin_episode(SECOND + 480 * MS)
    assert images(it)["before"] == 500
    # Nothing is of the episode yet.
    it.begin_episode(SECOND + 510 * MS)
    assert images(it)["before"] == 500

    it.clear()
    assert it.ages_s(SECOND)["left"] is None
    again = remembering(before=300)
    again.begin_episode(SECOND + 480 * MS)
    again.clear()
    for name, at_ms in (("left", 150), ("left", 500), ("right", 500)):
        again.push_image(name, SECOND + at_ms * MS, at_ms)
    again.push_state("joints", SECOND + 500 * MS, np.array([1.0, 2.0]))
    again.push_state("hand", SECOND + 500 * MS, np.array([3.0]))
    assert images(again)["before"] == 150


def test_a_frame_of_the_past_is_never_newer_than_that_of_now() -> None:
    it = remembering(before=100)
    # The right camera is behind: now is what both have seen.
    it.push_image("left", SECOND + 510 * MS, 510)
    it.begin_episode(SECOND + 505 * MS)
    assert images(it) == {"left": 500, "right": 500, "before": 500}


def test_the_past_is_kept_for_as_long_as_a_moment_may_be_late() -> None:
    """The right camera may be 0.3 s behind, and the past counts from what it has seen."""
    past = {"before": PastFrame("left", 1000 * MS)}
    slow = Synchronizer[int](dataclasses.replace(robot(), max_camera_skew_s=1.0), past)
    for at_ms in range(0, 2001, 10):
        slow.push_image("left", SECOND + at_ms * MS, at_ms)
    slow.push_image("right", SECOND + 1750 * MS, 0)
    slow.push_state("joints", SECOND + 1750 * MS, np.array([1.0, 2.0]))
    slow.push_state("joints", 3 * SECOND, np.array([1.0, 2.0]))
    slow.push_state("hand", SECOND + 1750 * MS, np.array([3.0]))
    slow.push_state("hand", 3 * SECOND, np.array([3.0]))
    assert slow.sample(3 * SECOND).images["before"][1] == 750


def test_who_has_no_past_keeps_few_images() -> None:
    kept = []
    for past in ({}, {"before": PastFrame("left", SECOND)}):
        made = Synchronizer[NDArray[np.float64]](robot(), past)
        references = []
        for at_ms in range(100):
            for camera in ("left", "right"):
                image = np.zeros(1)
                references.append(weakref.ref(image))
                made.push_image(camera, SECOND + at_ms * MS, image)
        del image
        kept.append(sum(reference() is not None for reference in references))

    assert kept == [8, 104]
