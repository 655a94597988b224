# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vla_ros.drivers.repeats import Repeats

MS = 1_000_000


def taken(repeats: Repeats, *images: tuple[int, bytes]) -> list[int]:
    """When [ms] an image was taken."""
    return [at_ms for at_ms, image in images if repeats.takes(image, at_ms * MS)]


def test_an_image_that_came_again_is_dropped_and_counted():
    repeats = Repeats(still_after_s=0.2)

    found = taken(repeats, (0, b"a"), (33, b"a"), (66, b"b"), (100, b"b"), (133, b"c"), (166, b"c"))

    assert found == [0, 66, 133]
    assert repeats.dropped == 3


def test_a_scene_that_stands_still_is_looked_at_again_until_it_moves():
    repeats = Repeats(still_after_s=0.2)
    still = [(at_ms, b"a") for at_ms in range(0, 500, 100)]

    assert taken(repeats, *still, (500, b"b"), (600, b"b"), (800, b"b")) == [0, 300, 400, 500, 800]


def test_before_a_real_camera_the_same_image_is_an_old_one():
    repeats = Repeats(still_after_s=0.0)

    assert taken(repeats, *[(at_ms, b"a") for at_ms in range(0, 10_000, 100)]) == [0]
    assert repeats.dropped == 99


def test_how_long_an_image_has_been_the_same_is_known():
    repeats = Repeats(still_after_s=0.1)
    assert repeats.same_for_s(5 * MS) == 0.0

    taken(repeats, (100, b"a"), (400, b"a"))

    assert repeats.same_for_s(1600 * MS) == 1.5
    taken(repeats, (1700, b"b"))
    assert repeats.same_for_s(1700 * MS) == 0.0


@given(st.lists(st.tuples(st.integers(1, 400), st.sampled_from([b"a", b"b"])), min_size=1))
def test_a_new_image_is_always_taken_and_all_others_counted(steps: list[tuple[int, bytes]]):
    repeats = Repeats(still_after_s=0.2)
    now_ms, before, passed = 0, b"", 0
    for step_ms, image in steps:
        now_ms += step_ms
        passed_on = repeats.takes(image, now_ms * MS)
        assert passed_on or image == before
        passed, before = passed + passed_on, image

    assert passed + repeats.dropped == len(steps)
